"""C2SP cosignatures: what a witness signs when it has seen a log grow and nothing vanish from it.

    cosignature/v1
    time 1679315147
    <the text of the checkpoint>

Rules:

* A trusted witness is known by its key alone. The key id of a line is reckoned from the name on it
  and that key, so the names of witnesses are nothing that anybody has to configure.
* Each key counts once, whatever names it signs under: the name is not part of what is signed.
* A line that names a trusted key and does not verify refuses the whole note.

Source: C2SP tlog-cosignature v1.0.1 (Ed25519, 0x04) and signed-note v1.0.0.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sidecar.core.envelope import PublicKey, verify
from sidecar.core.instant import WallMs
from sidecar.core.log import note
from sidecar.core.reason import ProtocolError, Reason

ALGORITHM = b"\x04"
TIME_LIMIT_S = 2**63  # exclusive
NAME_DIGITS = 16  # of the key id, at the end of an authority's name as a witness
_BLOB_BYTES = 4 + 8 + 64  # key id, time, signature


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Who may cosign, and how many of them have to.

    Attributes:
        keys: Public key -> when it ends, milliseconds since 1970; None: it does not.
        threshold: How many.
    """

    keys: Mapping[PublicKey, int | None] = field(default_factory=dict)
    threshold: int = 1

    def usable(self, now: WallMs) -> frozenset[PublicKey]:
        """The keys that count now."""
        return frozenset(key for key, end in self.keys.items() if end is None or now < end)


NO_WITNESSES = Witnesses()


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """The key of a witness and the name that it signs under."""

    name: str
    public: PublicKey

    @property
    def id(self) -> bytes:
        """4 bytes that stand before each of its signatures."""
        body = self.name.encode() + b"\n" + ALGORITHM + self.public
        return hashlib.sha256(body).digest()[:4]

    def __str__(self) -> str:
        """The verifier key as text: `name+hex id+base64`, to be given to other tools."""
        body = base64.b64encode(ALGORITHM + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{body}"


def parse_key(text: str) -> WitnessKey:
    """Read the verifier key of a witness, as `str(key)` writes it.

    Raises:
        ProtocolError: NONCANONICAL.
    """
    name, _, rest = text.partition("+")
    try:
        raw = base64.b64decode(rest.partition("+")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(Reason.NONCANONICAL, f"verifier key: {error}") from None
    key = WitnessKey(name, PublicKey(raw[1:]))
    if not note.valid_name(name) or len(raw) != 1 + note.PUBLIC_BYTES or str(key) != text:
        raise ProtocolError(Reason.NONCANONICAL, "is not the Ed25519 verifier key of a witness")
    return key


@dataclass(frozen=True, slots=True)
class Cosignature:
    """Who cosigned; when, by its own clock, seconds since 1970; and the signature, 64 bytes."""

    key: WitnessKey
    time_s: int
    signature: bytes

    @property
    def line(self) -> str:
        """The signature line."""
        return note.line(
            self.key.name, self.key.id + self.time_s.to_bytes(8, "big") + self.signature
        )


def witness_name(domain: str, key_id: str) -> str:
    """The name that an authority's witness signs under."""
    return f"epochgate/{domain}/witness/{key_id[:NAME_DIGITS]}"


def message(text: str, time_s: int) -> bytes:
    """What is signed.

    Args:
        text: Of the checkpoint.
        time_s: Seconds since 1970.
    """
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def find(raw: bytes, trusted: Iterable[PublicKey]) -> tuple[str, list[Cosignature]]:
    """Who of the trusted has cosigned a note.

    Args:
        raw: Untrusted. That the log itself signed it is not looked at here.
        trusted: Keys of witnesses.

    Returns:
        The text, and the first cosignature of each key; every other line is passed over.

    Raises:
        ProtocolError: NONCANONICAL, OVERSIZE, or SIG_INVALID when one of a trusted key fails.
    """
    text, lines = note.signatures(raw)
    known = tuple(trusted)
    found: dict[PublicKey, Cosignature] = {}
    for name, blob in lines:
        for key in (WitnessKey(name, public) for public in known):
            if blob[:4] == key.id:
                found.setdefault(key.public, _verified(text, key, blob))
    return text, list(found.values())


def _verified(text: str, key: WitnessKey, blob: bytes) -> Cosignature:
    time_s = int.from_bytes(blob[4:12], "big")
    sound = len(blob) == _BLOB_BYTES and time_s < TIME_LIMIT_S
    if not sound or not verify(key.public, message(text, time_s), blob[12:]):
        raise ProtocolError(Reason.SIG_INVALID, f"cosignature of {key.name} fails")
    return Cosignature(key, time_s, blob[12:])
