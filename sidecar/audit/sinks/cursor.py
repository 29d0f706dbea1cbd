"""How far a sink is in a log: a small file, replaced durably.

Rules:

* Only a file that is not there means the beginning. One that cannot be read, or that is of another
  log, is an error: to start over silently would hide that something is wrong with the state folder.
* It holds the digest of the last line that was sent. So it fits one history of the log only.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from sidecar import durable
from sidecar.core import canonical
from sidecar.core.canonical import Count, Sha256, Strict
from sidecar.core.log.record import FIRST_PREV
from sidecar.core.reason import ProtocolError

FOLDER = "sinks"  # in the state folder
MAX_BYTES = 4096


class CursorError(Exception):
    """A cursor cannot be used; the message says which file, why, and what to do."""


class Cursor(Strict, frozen=True):
    """The place of the next record.

    Attributes:
        log: Name of the log.
        number: Of its segment.
        offset: In that segment; bytes.
        prev: SHA-256 of the record before it, hex.
        seq: Index of the record.
    """

    log: str
    number: Count
    offset: Count
    prev: Sha256
    seq: Count
    v: Literal[1] = 1


def where(folder: Path, sink: str, log: str) -> Path:
    """The file of one sink and one log.

    Args:
        folder: Of all sinks.
        sink: Its name.
        log: Name of the log.
    """
    return folder / sink / f"{log.rpartition('/')[2]}.json"


def reached(folder: Path, sinks: Iterable[str], log: str) -> int | None:
    """How many records of a log all of these sinks have; None: there are no sinks.

    What a sink is at cannot be known from a damaged cursor: then it is taken to have nothing.
    """
    counts = []
    for sink in sinks:
        try:
            counts.append(load(where(folder, sink, log), log).seq)
        except CursorError:
            counts.append(0)
    return min(counts, default=None)


def load(path: Path, log: str) -> Cursor:
    """Where a sink goes on in a log; its beginning when nothing was stored.

    Raises:
        CursorError: the file cannot be used.
    """
    try:
        found = canonical.load(path.read_bytes(), Cursor, MAX_BYTES)
    except FileNotFoundError:
        return Cursor(log=log, number=0, offset=0, prev=FIRST_PREV, seq=0)
    except (OSError, ProtocolError) as error:
        raise CursorError(_unusable(path, str(error))) from None
    if found.log != log:
        raise CursorError(_unusable(path, f"it is of the log {found.log}, not of {log}"))
    return found


def store(path: Path, cursor: Cursor) -> None:
    """Replace what is stored. Blocks.

    Raises:
        OSError: the old cursor still stands: some records will be sent again.
    """
    durable.replace(path, canonical.dump(cursor))


def _unusable(path: Path, why: str) -> str:
    return f"{path}: {why}; move it away, and the log is sent again from its beginning"
