"""C2SP checkpoints: origin, size and root of a log, as the text of a signed note.

    epochgate/<domain>/<instance>
    1842
    yn7hS0hZ4kqVbGvYHIqXTn0mV0Jk8m7C2fJ1k0bq3nM=

Rules:

* Only the canonical form is read: decimal size without leading zeros, base64 with exact padding.
* No extension lines are written; on reading they are refused, since this log never signed one.
* A log signs a checkpoint only for a tree that extends the one it signed before.

Source: C2SP tlog-checkpoint v1.0.0.
"""

import base64
import binascii
from dataclasses import dataclass

from sidecar.core.reason import ProtocolError, Reason

ROOT_BYTES = 32
SIZE_LIMIT = 2**63  # exclusive


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to.

    Attributes:
        origin: Name of the log.
        size: Number of leaves.
        root: RFC 6962 root over them, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The text to sign."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def origin(domain: str, instance: str) -> str:
    """The name of an instance's log; also the name of the key that signs it."""
    return f"epochgate/{domain}/{instance}"


def parse(text: str) -> Checkpoint:
    """Read the text of a verified note.

    Raises:
        ProtocolError: NONCANONICAL.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:  # noqa: PLR2004
        raise ProtocolError(Reason.NONCANONICAL, "a checkpoint has three lines")
    name, size, root = lines[:3]
    if not size.isascii() or not size.isdigit() or str(_size(size)) != size:
        raise ProtocolError(Reason.NONCANONICAL, "size is not canonical")
    try:
        raw = base64.b64decode(root, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(Reason.NONCANONICAL, f"root: {error}") from None
    if len(raw) != ROOT_BYTES or base64.b64encode(raw).decode() != root:
        raise ProtocolError(Reason.NONCANONICAL, "root is not 32 bytes")
    return Checkpoint(name, _size(size), raw)


def _size(text: str) -> int:
    if len(text) > len(str(SIZE_LIMIT)) or int(text) >= SIZE_LIMIT:
        raise ProtocolError(Reason.NONCANONICAL, "size out of range")
    return int(text)
