"""The only holder of private keys.

A key file is canonical JSON with the key's id, its public key and its 32-byte seed, mode 0600. The
file is refused when others may read it, when the seed does not belong to the public key, or when it
is anything else. A seed is never printed, logged, or part of an error or a repr.

`Signer` is what the rest of the program sees; a KMS or HSM can stand behind the same three names.
"""

import os
from pathlib import Path
from typing import Protocol

from nacl.signing import SigningKey

from sidecar.core import canonical, envelope
from sidecar.core.canonical import Sha256, Strict
from sidecar.core.envelope import KeyId, PublicKey
from sidecar.core.reason import ProtocolError

TYPE = "urn:epochgate:key:v1"
MAX_BYTES = 4096
SEED_BYTES = 32


class KeyFileError(Exception):
    """A key file cannot be used; the message says which, why, and what to do."""


class KeyFileRefusedError(KeyFileError):
    """The file's mode is the problem: we may not read it, or others may."""


class Signer(Protocol):
    """Something that signs with one Ed25519 key and never shows it."""

    @property
    def key_id(self) -> KeyId:
        """Id of the key."""

    @property
    def public(self) -> PublicKey:
        """Its public half, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """Signature over the message, 64 bytes."""


class _KeyFile(Strict, frozen=True):
    type: str
    keyid: Sha256
    public: Sha256
    seed: Sha256


class FileSigner:
    """A key held in memory, usually read from a file.

    Args:
        seed: 32 secret bytes.
    """

    __slots__ = ("_key", "key_id", "public")

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.public = PublicKey(bytes(self._key.verify_key))
        self.key_id = envelope.key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Signature over the message, 64 bytes."""
        return bytes(self._key.sign(message).signature)

    def save(self, path: Path) -> None:
        """Write the key to a new file, mode 0600.

        Raises:
            FileExistsError: rather than replace a key that something may depend on.
        """
        body = _KeyFile(
            type=TYPE, keyid=self.key_id, public=self.public.hex(), seed=bytes(self._key).hex()
        )
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(canonical.dump(body) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def __repr__(self) -> str:
        return f"<FileSigner {self.key_id[:16]}>"


def load(path: Path) -> FileSigner:
    """Read a key file.

    Raises:
        KeyFileError: with what is wrong and what to do; KeyFileRefusedError when its mode is.
    """
    try:
        mode = path.stat().st_mode
        raw = path.read_bytes()
    except PermissionError as error:
        raise KeyFileRefusedError(f"{path}: cannot be read: {error.strerror}") from None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise KeyFileRefusedError(f"{path}: others may read this key; run: chmod 600 {path}")
    try:
        body = canonical.load(raw.removesuffix(b"\n"), _KeyFile, MAX_BYTES)
    except ProtocolError as error:
        # The detail could quote the seed, so only the kind of failure is told.
        raise KeyFileError(f"{path}: is not an Epochgate key file ({error.reason.slug})") from None
    key = FileSigner(bytes.fromhex(body.seed))
    if body.type != TYPE or (key.key_id, key.public.hex()) != (body.keyid, body.public):
        raise KeyFileError(f"{path}: seed, public key and key id do not belong together")
    return key


def sign(payload_type: str, payload: bytes, *signers: Signer) -> bytes:
    """Seal a payload with one or more keys.

    Args:
        payload_type: Media type that the signatures are bound to.
        payload: Canonical bytes.
        signers: At least one; each signs once.

    Returns:
        The envelope's canonical bytes.
    """
    message = envelope.pae(payload_type, payload)
    return envelope.seal(
        payload_type, payload, {signer.key_id: signer.sign(message) for signer in signers}
    )
