"""DSSE envelopes: the exact bytes that were signed, and by how many distinct keys.

Rules:

* A signature covers `PAE(payload_type, payload)`, so an object of one type can never pass as
  another, and the payload is parsed only after its signatures were counted.
* A threshold counts distinct *public keys*, not key ids and not signatures: one key listed under
  two names is still one vote.
* A key id is a hint where to look. It is unauthenticated and decides nothing.
* A bad signature of a known key does not count; it does not spoil an envelope that meets its
  threshold with others, or anybody on the way could void a document by adding a line.
* A key id that appears twice refuses the envelope: our writer never makes one.

Ed25519 is checked by libsodium alone (PyNaCl): it refuses small-order points and non-canonical
encodings. Two verifiers with different rules would let a sidecar and an auditor disagree.

Source: DSSE protocol.md and envelope.md; protocol 1.3 and b.1.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType

import msgspec
from nacl.bindings import crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import BadSignatureError

from sidecar.core import canonical
from sidecar.core.canonical import Strict
from sidecar.core.reason import ProtocolError, Reason

KeyId = NewType("KeyId", str)  # 64 hex, SHA-256 of the canonical key description
PublicKey = NewType("PublicKey", bytes)  # 32 bytes, Ed25519

SIGNATURES_MAX = 16  # more than any threshold in use; bounds the work per envelope
OVERHEAD = 2  # base64 and signatures at most double a payload's size


class _Signature(Strict, frozen=True):
    keyid: str
    sig: str


class _Wire(Strict, frozen=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: tuple[_Signature, ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed, unverified envelope.

    Attributes:
        payload_type: What the signer says the payload is.
        unverified_payload: The bytes that were signed, before anybody checked by whom.
        signatures: Key id and signature (64 bytes), in the order of the envelope.
    """

    payload_type: str
    unverified_payload: bytes
    signatures: tuple[tuple[KeyId, bytes], ...]


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes that enough distinct keys of the right role have signed.

    Attributes:
        body: The canonical bytes.
        payload_type: Checked against what the reader expected.
        sha256: Digest of `body`, hex: the name of the object.
        signers: Key ids whose signatures were valid, sorted.
        sealed: The envelope that it came in; None where there was none.
    """

    body: bytes
    payload_type: str
    sha256: str
    signers: tuple[KeyId, ...]
    sealed: Envelope | None = None


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that a signature covers."""
    kind = payload_type.encode("ascii")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(public: PublicKey) -> KeyId:
    """The key id of an Ed25519 public key, equal to what TUF and securesystemslib compute."""
    description: dict[str, canonical.Json] = {
        "keytype": "ed25519",
        "keyval": {"public": public.hex()},
        "scheme": "ed25519",
    }
    return KeyId(canonical.digest(canonical.encode(description)))


def seal(payload_type: str, payload: bytes, signatures: Mapping[KeyId, bytes]) -> bytes:
    """Write an envelope: canonical JSON, signatures sorted by key id.

    Args:
        payload_type: Media type that was signed.
        payload: The bytes that were signed.
        signatures: Key id -> 64-byte signature over `pae(payload_type, payload)`.
    """
    wire = _Wire(
        payload=base64.b64encode(payload).decode(),
        payload_type=payload_type,
        signatures=tuple(
            _Signature(keyid=key, sig=base64.b64encode(signatures[key]).decode())
            for key in sorted(signatures)
        ),
    )
    return canonical.dump(wire)


def encode(sealed: Envelope) -> bytes:
    """The bytes of an envelope, as `parse` took them but for the order of its signatures."""
    return seal(sealed.payload_type, sealed.unverified_payload, dict(sealed.signatures))


def parse(raw: bytes, max_bytes: int) -> Envelope:
    """Read an envelope without believing it.

    Args:
        raw: Untrusted bytes.
        max_bytes: Limit of the payload; the envelope may be `OVERHEAD` times that plus signatures.

    Raises:
        ProtocolError: OVERSIZE, NONCANONICAL or TYPE_CONFUSION.
    """
    wire = canonical.load(raw, _Wire, max_bytes * OVERHEAD + SIGNATURES_MAX * 256)
    if len(wire.signatures) > SIGNATURES_MAX:
        raise ProtocolError(Reason.OVERSIZE, f"more than {SIGNATURES_MAX} signatures")
    payload = _base64(wire.payload)
    if len(payload) > max_bytes:
        raise ProtocolError(Reason.OVERSIZE, f"payload of {len(payload)} bytes, limit {max_bytes}")
    signatures = tuple((KeyId(item.keyid), _base64(item.sig)) for item in wire.signatures)
    if len({key for key, _ in signatures}) != len(signatures):
        raise ProtocolError(Reason.NONCANONICAL, "a key id appears twice")
    if not wire.payload_type.isascii():
        raise ProtocolError(Reason.NONCANONICAL, "payload type is not ASCII")
    return Envelope(wire.payload_type, payload, signatures)


def signed_by(envelope: Envelope, keys: Mapping[KeyId, PublicKey]) -> tuple[KeyId, ...]:
    """The keys of `keys` whose signature on the envelope is valid, one per distinct public key."""
    message = pae(envelope.payload_type, envelope.unverified_payload)
    seen: dict[PublicKey, KeyId] = {}
    for key, signature in envelope.signatures:
        public = keys.get(key)
        if public is not None and public not in seen and verify(public, message, signature):
            seen[public] = key
    return tuple(sorted(seen.values()))


def verify(public: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether a 64-byte Ed25519 signature over `message` is valid under `public`."""
    if len(signature) != crypto_sign_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


# RFC 8032 section 7.1, test 2: secret key 4ccd..., message 0x72.
_KNOWN_PUBLIC = PublicKey(
    bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
)
_KNOWN_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def sound() -> bool:
    """Whether the verifier still tells a good signature from a bad one: a known-answer test."""
    return verify(_KNOWN_PUBLIC, b"\x72", _KNOWN_SIGNATURE) and not verify(
        _KNOWN_PUBLIC, b"\x73", _KNOWN_SIGNATURE
    )


def _base64(text: str) -> bytes:
    # One alphabet and exact padding: the URL-safe form of the same bytes would be a second spelling
    # of one envelope. DSSE asks readers for both; our writers only ever make this one.
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(Reason.NONCANONICAL, f"base64: {error}") from None
    if base64.b64encode(raw).decode() != text:
        raise ProtocolError(Reason.NONCANONICAL, "base64 with stray bits")
    return raw


def payload_type_of(raw: bytes) -> str | None:
    """What an envelope says it holds, for tools that sort files; None when it is no envelope."""
    try:
        return msgspec.json.decode(raw, type=_Wire).payload_type
    except msgspec.DecodeError:
        return None
