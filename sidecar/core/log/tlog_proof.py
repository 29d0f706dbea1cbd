"""One record's place in a log, as a text file that stands alone: `.tlog-proof`.

    c2sp.org/tlog-proof@v1
    index 17
    <hash, base64>            one line each, from the leaf up to the root
    ...

    <the signed checkpoint, as it is>

Whoever holds the record, this file and the key of the log needs nothing else, and asks nobody.

Source: C2SP tlog-proof v1.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from sidecar.core.log.checkpoint import ROOT_BYTES
from sidecar.core.log.note import MAX_BYTES as NOTE_MAX_BYTES
from sidecar.core.reason import ProtocolError, Reason

HEADER = "c2sp.org/tlog-proof@v1"
HASHES_MAX = 63  # of a path: sizes are below 2^63
MAX_BYTES = NOTE_MAX_BYTES + 8 * 1024
_INDEX = "index "
_EXTRA = "extra "


@dataclass(frozen=True, slots=True)
class TlogProof:
    """What such a file says; believed by nobody until it was checked.

    Attributes:
        index: Of the record, from 0.
        hashes: From the leaf up, 32 bytes each.
        checkpoint: The signed note, untrusted.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes

    def text(self) -> bytes:
        """The file."""
        lines = [HEADER, f"{_INDEX}{self.index}", *map(_base64, self.hashes), ""]
        return "".join(f"{line}\n" for line in lines).encode() + self.checkpoint


def parse(raw: bytes) -> TlogProof:
    """Read a file; extra data, which this log never writes, is passed over.

    Raises:
        ProtocolError: NONCANONICAL or OVERSIZE.
    """
    if len(raw) > MAX_BYTES:
        raise ProtocolError(Reason.OVERSIZE, f"{len(raw)} bytes, limit {MAX_BYTES}")
    head, blank, checkpoint = raw.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise ProtocolError(Reason.NONCANONICAL, f"proof: {error}") from None
    if not blank or lines[0] != HEADER:
        raise ProtocolError(Reason.NONCANONICAL, f"does not begin with {HEADER}")
    if lines[1:] and lines[1].startswith(_EXTRA):
        del lines[1]
    if len(lines) < 2 or not lines[1].startswith(_INDEX):  # noqa: PLR2004
        raise ProtocolError(Reason.NONCANONICAL, "a proof names an index")
    if len(lines) - 2 > HASHES_MAX:
        raise ProtocolError(Reason.OVERSIZE, f"more than {HASHES_MAX} hashes")
    return TlogProof(_index(lines[1]), tuple(_hashes(lines[2:])), checkpoint)


def _index(line: str) -> int:
    digits = line.removeprefix(_INDEX)
    if not digits.isdigit() or len(digits) > 19 or str(int(digits)) != digits:  # noqa: PLR2004
        raise ProtocolError(Reason.NONCANONICAL, "index is not canonical")
    return int(digits)


def _hashes(lines: Iterable[str]) -> Iterable[bytes]:
    for line in lines:
        try:
            raw = base64.b64decode(line, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ProtocolError(Reason.NONCANONICAL, f"hash: {error}") from None
        if len(raw) != ROOT_BYTES or _base64(raw) != line:
            raise ProtocolError(Reason.NONCANONICAL, "a hash has 32 bytes")
        yield raw


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
