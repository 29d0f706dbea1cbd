"""Takes away the oldest segments, so that the log itself says so: the only way that records go.

In this order, so that a crash at any point leaves a journal that is whole:

1. A `prune` record is appended: how many records go, their root, the digest of the last of them.
2. When a checkpoint over it is durable, `base` is replaced: the journal begins later now.
3. The segments before it are removed, oldest first, and the folder is flushed.

After 1 alone, nothing has changed. After 2, segments that are still there count no more, and go at
the next start.

Only whole segments go, whose last record is older than the retention; only what a durable
checkpoint signs; never the last two. The age is reckoned from the time of a beat that the authority
has signed, not from this wall clock: a clock that is wrong must not cost evidence. So nothing is
pruned without a lease. What the disk holds is compared with what is said of it before anything
goes; where that differs, or something fails, nothing is pruned any more, and somebody is told.

Source: hardening E-J10.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from sidecar import durable
from sidecar.audit import beginning, segments
from sidecar.audit.beginning import Base, Cut
from sidecar.core import canonical
from sidecar.core.canonical import Json
from sidecar.core.log import record
from sidecar.core.log.record import Record
from sidecar.core.reason import ProtocolError, Reason

T = TypeVar("T")

KEPT_SEGMENTS = 2  # the one that is written, and the one before


def reach(folder: Path, cuts: Sequence[Cut], signed: int, before_ms: int) -> Cut | None:
    """How far a journal may be pruned.

    Args:
        folder: Of the journal.
        cuts: The beginning of each segment that is there, in order.
        signed: Records under a durable checkpoint.
        before_ms: What was written before this is old enough; ms since 1970.

    Returns:
        The place before which everything may go; None: nothing may.

    Raises:
        ProtocolError: a segment does not hold what it must.
        OSError: one cannot be read.
    """
    found = None
    for oldest, cut in pairwise(cuts[: len(cuts) - KEPT_SEGMENTS + 1]):
        if cut.size > signed or _last(folder, oldest, cut).ts >= before_ms:
            break
        found = cut
    return found


def carry_out(folder: Path, begins: Base) -> None:
    """Let a journal begin later, and remove what stands before that.

    Args:
        folder: Of the journal.
        begins: Said by a record that a durable checkpoint covers.

    Raises:
        ProtocolError: the segment that it would begin with is another; nothing was changed.
        OSError: the disk failed; the journal is whole.
    """
    cut = begins.cut
    first = record.parse(next(segments.read(folder / segments.name(cut.segment), 0), b"")[:-1])
    if (first.seq, first.prev) != (cut.size, cut.prev):
        raise _differs(cut.segment)
    durable.replace(folder / beginning.BASE, beginning.encode(begins), segments.FILE_MODE)
    remove(folder, begins)


def remove(folder: Path, begins: Base) -> None:
    """Remove the segments before the beginning, oldest first.

    Raises:
        OSError: some are still there; they do not count.
    """
    old = segments.pruned(folder, begins.cut.segment)
    for path in old:
        path.unlink()
    if old:
        durable.sync_folder(folder)


class Pruner:
    """Prunes one journal while it is written, a step at a time.

    Args:
        folder: Of the journal.
        begins: Where it begins.
        cuts: The beginning of each segment, in order; whoever extends the tree adds to it.
        retention_ms: How old a record has to be.
        signed: Records under a durable checkpoint, now.
        signed_ms: A time that the authority has signed lately, ms since 1970; None: there is none.
        write: Appends a record of type `prune`; its index, or None when that failed.
        tell: Told what was pruned, or what is in the way.

    Attributes:
        begins: Where it begins now.
    """

    def __init__(
        self,
        folder: Path,
        begins: Base,
        cuts: list[Cut],
        retention_ms: int,
        *,
        signed: Callable[[], int],
        signed_ms: Callable[[], int | None],
        write: Callable[[Mapping[str, Json]], int | None],
        tell: Callable[[Base | Exception], None],
    ) -> None:
        self._folder = folder
        self.begins = begins
        self._cuts = cuts
        self._retention_ms = retention_ms
        self._signed = signed
        self._signed_ms = signed_ms
        self._write = write
        self._tell = tell
        self._said: Base | None = None  # by a record that may not be signed yet
        self._cleared = False
        self._broken = False

    async def turn(self) -> None:
        """Take the next step, if there is one."""
        if self._broken:
            return
        try:
            await self._step()
        except (ProtocolError, OSError) as error:
            self._broken = True
            self._tell(error)

    async def _step(self) -> None:
        if not self._cleared:  # left by a process that was killed on the way
            await _in_thread(lambda: remove(self._folder, self.begins))
            self._cleared = True
        if self._said is None:
            await self._announce()
        elif self._signed() > self._said.record:
            said, self._said = self._said, None
            await _in_thread(lambda: carry_out(self._folder, said))
            del self._cuts[: said.cut.segment - self._cuts[0].segment]
            self.begins = said
            self._tell(said)

    async def _announce(self) -> None:
        now_ms = self._signed_ms()
        if not self._retention_ms or now_ms is None:
            return
        before_ms, signed = now_ms - self._retention_ms, self._signed()
        cuts = tuple(self._cuts)
        cut = await _in_thread(lambda: reach(self._folder, cuts, signed, before_ms))
        if cut is None or cut.size <= self.begins.pruned:
            return
        index = self._write(beginning.claim(cut, cuts[0].segment, before_ms))
        if index is not None:
            self._said = Base(cut, index)


def _last(folder: Path, begins: Cut, ends: Cut) -> Record:
    """The last record of a segment, which has to be the one before the next."""
    path = folder / segments.name(begins.segment)
    start = max(path.stat().st_size - segments.LINE_MAX, 0)
    line = [b"", *segments.read(path, start)][-1].removesuffix(b"\n")
    if canonical.digest(line) != ends.prev:
        raise _differs(begins.segment)
    return record.parse(line)


def _differs(segment: int) -> ProtocolError:
    detail = f"{segments.name(segment)} is not what was written; nothing is pruned any more"
    return ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)


async def _in_thread(work: Callable[[], T]) -> T:
    """Do blocking work; a cancellation waits for its end, so that nobody is in the folder then."""
    job = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(job)
    finally:
        if not job.done():
            await asyncio.wait([job])
