"""C2SP signed notes: text that ends in a newline, a blank line, and signature lines.

Rules:

* The text is used only after a signature of a known key was verified.
* Unknown (name, key id) pairs are ignored. A known key whose signature fails refuses the note.
* Names are not empty and hold no white space and no `+`.

Source: C2SP signed-note v1.0.0.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.core.envelope import PublicKey, verify
from sidecar.core.reason import ProtocolError, Reason

ED25519 = b"\x01"
PUBLIC_BYTES = 32
MAX_BYTES = 64 * 1024  # bytes; a checkpoint with its cosignatures is a few hundred
SIGNATURES_MAX = 16  # lines; the specification asks readers for at least 16

_NAME = re.compile(r"[^\s+]+")
_LINE = re.compile("— ([^\\s+]+) ([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A key that may sign notes: its name, and its Ed25519 public key (32 bytes)."""

    name: str
    public: PublicKey

    @property
    def id(self) -> bytes:
        """4 bytes that tell this key from others of the same name."""
        body = self.name.encode() + b"\n" + ED25519 + self.public
        return hashlib.sha256(body).digest()[:4]

    def __str__(self) -> str:
        """The verifier key as text: `name+hex id+base64`, to be given to other tools."""
        body = base64.b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{body}"


def valid_name(name: str) -> bool:
    """Whether a key may have that name."""
    return _NAME.fullmatch(name) is not None


def parse_key(text: str) -> NoteKey:
    """Read a verifier key, as `str(key)` writes it.

    Raises:
        ProtocolError: NONCANONICAL.
    """
    name, _, rest = text.partition("+")
    _, _, body = rest.partition("+")
    try:
        raw = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(Reason.NONCANONICAL, f"verifier key: {error}") from None
    key = NoteKey(name, PublicKey(raw[1:]))
    # Written again and compared: key id, algorithm, length and base64 padding in one check.
    if not valid_name(name) or len(raw) != 1 + PUBLIC_BYTES or str(key) != text:
        raise ProtocolError(Reason.NONCANONICAL, "is not an Ed25519 verifier key")
    return key


def seal(text: str, key: NoteKey, signature: bytes) -> str:
    """Write a note.

    Args:
        text: Ends in a newline; what was signed, in UTF-8.
        key: Who signed.
        signature: 64 bytes, Ed25519 over the text.
    """
    assert text.endswith("\n"), "a note text ends in a newline"
    return f"{text}\n{line(key.name, key.id + signature)}"


def open_note(raw: bytes, keys: Mapping[str, NoteKey]) -> str:
    """Verify a note and hand out its text.

    Args:
        raw: Untrusted bytes.
        keys: Known keys by name.

    Raises:
        ProtocolError: NONCANONICAL, OVERSIZE, KEY_UNKNOWN (no known key) or SIG_INVALID.
    """
    text, lines = signatures(raw)
    verified = False
    for name, blob in lines:
        key = keys.get(name)
        if key is None or blob[:4] != key.id:
            continue
        if not verify(key.public, text.encode(), blob[4:]):
            raise ProtocolError(Reason.SIG_INVALID, f"signature of {name} fails")
        verified = True
    if not verified:
        raise ProtocolError(Reason.KEY_UNKNOWN, "no signature by a known key")
    return text


def keep(raw: bytes, key: NoteKey) -> str:
    """A note as it is signed by one key, without the signatures of others.

    Args:
        raw: Opened with this key before.
        key: Who signed.
    """
    text, lines = _split(raw)
    ours = next(line for line in lines if _signed_by(line, key))
    return f"{text}\n{ours}\n"


def _signed_by(line: str, key: NoteKey) -> bool:
    name, blob = _signature(line)
    return name == key.name and blob[:4] == key.id


def line(name: str, blob: bytes) -> str:
    """A signature line: who signed, and key id with signature."""
    return f"— {name} {base64.b64encode(blob).decode()}\n"


def signatures(raw: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """The text of a note that nobody has checked, and who claims to have signed it.

    Returns:
        The text; of each signature line the name, and key id (4 bytes) with signature.

    Raises:
        ProtocolError: NONCANONICAL or OVERSIZE.
    """
    text, lines = _split(raw)
    return text, [_signature(line) for line in lines]


def unverified(raw: bytes) -> str:
    """The text of a note that nobody has checked: to be shown, and believed for nothing.

    Raises:
        ProtocolError: NONCANONICAL or OVERSIZE.
    """
    return _split(raw)[0]


def _split(raw: bytes) -> tuple[str, list[str]]:
    if len(raw) > MAX_BYTES:
        raise ProtocolError(Reason.OVERSIZE, f"{len(raw)} bytes, limit {MAX_BYTES}")
    try:
        whole = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError(Reason.NONCANONICAL, str(error)) from None
    if any(ord(letter) < 0x20 and letter != "\n" for letter in whole):  # noqa: PLR2004
        raise ProtocolError(Reason.NONCANONICAL, "control character in a note")
    text, blank, signatures = whole.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise ProtocolError(Reason.NONCANONICAL, "not a signed note")
    lines = signatures.split("\n")[:-1]
    if len(lines) > SIGNATURES_MAX:
        raise ProtocolError(Reason.OVERSIZE, f"more than {SIGNATURES_MAX} signatures")
    return text + "\n", lines


def _signature(line: str) -> tuple[str, bytes]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ProtocolError(Reason.NONCANONICAL, "malformed signature line")
    try:
        blob = base64.b64decode(match[2], validate=True)
    except binascii.Error as error:
        raise ProtocolError(Reason.NONCANONICAL, f"base64: {error}") from None
    if len(blob) <= len(ED25519) + 3 or base64.b64encode(blob).decode() != match[2]:
        raise ProtocolError(Reason.NONCANONICAL, "malformed signature")
    return match[1], blob
