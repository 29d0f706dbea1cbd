"""The next records of a log, from a cursor on. Blocks: run it in a thread.

Rules:

* Every line has to continue the one before it: number and digest. What does not is never sent.
* Where the segment of the cursor and all before it are gone, the log was pruned: it goes on with
  the oldest one kept, and says how many records are missing. One that is missing between others is
  a broken log.
* As few bytes as a receiver can be expected to take at once, but one record at least.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sidecar.audit import segments
from sidecar.audit.sinks.cursor import Cursor
from sidecar.core.reason import ProtocolError, Reason

BATCH_RECORDS = 256
BATCH_BYTES = 512 * 1024


class _Links(msgspec.Struct):
    prev: str
    seq: int
    ts: int


_links = msgspec.json.Decoder(_Links).decode


@dataclass(frozen=True, slots=True)
class Entry:
    """One record. `ts`: when it was written, ms since 1970. `line`: its bytes, without newline."""

    seq: int
    ts: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records, and the cursors around them.

    Attributes:
        entries: Oldest first.
        before: Where they begin: the cursor that was asked for, or the oldest record kept.
        after: Where the next one will stand.
        skipped: Records between the cursor that was asked for and `before`: they were pruned.
    """

    entries: tuple[Entry, ...]
    before: Cursor
    after: Cursor
    skipped: int = 0


def read(folder: Path, cursor: Cursor, signed: int, records: int = BATCH_RECORDS) -> Batch:
    """The next records, as long as they are signed.

    Args:
        folder: Of the journal.
        cursor: Where to begin.
        signed: Records under the newest checkpoint; more than `cursor.seq`.
        records: At most so many.

    Raises:
        ProtocolError: the log is broken, or holds less than was signed.
        OSError: it cannot be read.
    """
    before, skipped = _kept(folder, cursor)
    entries: list[Entry] = []
    after, size = before, 0
    for line, number, offset in _lines(folder, before.number, before.offset):
        size += len(line)
        enough = len(entries) >= records or (entries and size > BATCH_BYTES)
        if enough or after.seq >= signed:
            break
        entry = _next(line, after)
        entries.append(entry)
        digest = hashlib.sha256(line).hexdigest()
        after = Cursor(log=cursor.log, number=number, offset=offset, prev=digest, seq=entry.seq + 1)
    if not entries and before.seq < signed:
        what = f"{signed} records are signed, {before.seq} can be read"
        raise ProtocolError(Reason.AUDIT_TRUNCATED, what)
    return Batch(tuple(entries), before, after, skipped)


def _next(line: bytes, cursor: Cursor) -> Entry:
    links = _read(line)
    if (links.seq, links.prev) != (cursor.seq, cursor.prev):
        what = f"record {links.seq} does not continue what was sent before record {cursor.seq}"
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, what)
    return Entry(links.seq, links.ts, line)


def _read(line: bytes) -> _Links:
    try:
        return _links(line)
    except msgspec.MsgspecError as error:
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, f"no record: {error}") from None


def _lines(folder: Path, number: int, offset: int) -> Iterator[tuple[bytes, int, int]]:
    """Whole lines without their newlines, each with its segment and where it ends there."""
    while (path := folder / segments.name(number)).exists():
        for line in segments.read(path, offset):
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield line[:-1], number, offset
        number, offset = number + 1, 0


def _kept(folder: Path, cursor: Cursor) -> tuple[Cursor, int]:
    """The cursor, or the oldest record that was kept; and how many records lie between."""
    if (folder / segments.name(cursor.number)).exists():
        return cursor, 0
    kept = sorted(int(path.stem) for path in folder.glob("[0-9]*.jsonl") if path.stem.isdigit())
    if not kept or kept[0] < cursor.number:
        what = f"{segments.name(cursor.number)} is missing"
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, what)
    line = next(_lines(folder, kept[0], 0), None)
    if line is None:
        what = f"{segments.name(kept[0])}, the oldest segment, holds no record"
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, what)
    links = _read(line[0])
    skipped = links.seq - cursor.seq
    if skipped < 0 or (skipped == 0 and links.prev != cursor.prev):
        what = f"record {links.seq} does not continue what was sent before record {cursor.seq}"
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, what)
    return Cursor(log=cursor.log, number=kept[0], offset=0, prev=links.prev, seq=links.seq), skipped
