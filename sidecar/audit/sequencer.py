"""Turns appended records into durable, signed ones, out of band.

Every `sync_period_ms`, and at once when an answer waits for the disk: leaf-hash what was appended
and extend the tree; see whether the trip to the disk came back; start the next one if there is
something to take along; hold the gate when the disk is too far behind. Every
`checkpoint_period_ms`, a trip also carries a checkpoint.

Rules:

* Order: records durable, then the checkpoint over them signed, then the checkpoint durable. One
  function does it, in one thread, so that nothing can come in between.
* Hashing never waits for the disk. So what waits in memory is bounded by how often the event loop
  comes round, however slow the disk is; a backlog beyond `BACKLOG_MAX` holds the gate all the same.
* A passing hold (EG703) ends when the disk has caught up, and when there is room within the disk
  budget. An error latches (EG702): nothing is tried again, and the last checkpoint stays what it
  was.
* Where a segment begins, what the tree was there is kept: so the log can be pruned before it.
* A checkpoint is signed only over a tree that extends the one signed before: this process read the
  log up to it, and only appends.

Source: hardening E-J3, E-J7; protocol b.13.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.audit import checkpoints
from sidecar.audit.beginning import Cut
from sidecar.audit.disk import Level, Use
from sidecar.audit.flush import Flush
from sidecar.audit.journal import Journal
from sidecar.clock import Clock
from sidecar.config import sections
from sidecar.core.instant import NS_PER_MS, NS_PER_US, Now
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.merkle import Tree, leaf_hash
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.signer import Signer

BATCH_RECORDS = 256  # leaf-hashed in one go: about half a millisecond of the event loop
BACKLOG_MAX = 65_536  # records, some 60 MB
UNSYNCED_MAX = 64 * 1024 * 1024  # bytes; at a disk's pace of 30 MB/s those of `unsynced_max_ms`
SYNC_BOUNDS_US = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000)

BEHIND = Hold(Reason.AUDIT_BACKPRESSURE, HoldKind.PASSING)
UNWRITABLE = Hold(Reason.AUDIT_UNWRITABLE, HoldKind.LATCHED)


@dataclass(frozen=True, slots=True)
class Gauges:
    """What metrics show of the log.

    Attributes:
        records: With the kernel.
        size: In the tree.
        durable: On the disk.
        checkpoint_size: Under the newest checkpoint.
        checkpoint_wall_ms: When that was written by this process; 0 before.
        checkpoints: Written by this process.
        backlog: Records that wait for the tree.
        sync_counts: fdatasync calls by duration: at most `SYNC_BOUNDS_US[i]`, the last: longer.
        sync_sum_us: Time they took together.
        sync_last_us: Time the last one took.
        disk_bytes: That the journal takes; 0 before anybody looked.
        disk_budget_bytes: That it may take; 0: without a bound.
    """

    records: int
    size: int
    durable: int
    checkpoint_size: int
    checkpoint_wall_ms: int
    checkpoints: int
    backlog: int
    sync_counts: tuple[int, ...]
    sync_sum_us: int
    sync_last_us: int
    disk_bytes: int
    disk_budget_bytes: int


@dataclass(frozen=True, slots=True)
class _Trip:
    """One trip to the disk under way: what, and since when."""

    flush: Flush
    carries: Checkpoint | None
    began: Now
    result: "asyncio.Future[tuple[int | None, int]]"  # prepared segment; microseconds


class Sequencer:
    """The out-of-band half of the log.

    Args:
        journal: Recovered. One that is not gets a latched hold and nothing else.
        signer: The instance key.
        origin: Name of the log.
        settings: Periods and bounds.
        clock: Both clocks.
        place: Places a hold at the gate.
        lift: Lifts a passing hold.

    Attributes:
        head: The newest checkpoint that is durable here, or None.
        cuts: The beginning of each segment so far, in order; whoever prunes removes from it.
        sealed: Called when there is a newer one.
    """

    def __init__(
        self,
        journal: Journal,
        signer: Signer,
        origin: str,
        settings: sections.Audit,
        *,
        clock: Clock,
        place: Callable[[Hold], None],
        lift: Callable[[Reason], None],
    ) -> None:
        recovery = journal.recovery
        self._journal = journal
        self._signer = signer
        self._origin = origin
        self._settings = settings
        self._clock = clock
        self._place = place
        self._lift = lift
        self._tree = Tree() if recovery is None else recovery.chain.tree
        self.cuts: list[Cut] = [] if recovery is None else list(recovery.cuts)
        signed = None if recovery is None else recovery.checkpoint
        self.head = signed
        self.sealed: Callable[[], None] = _nobody
        self._signed_wall_ms = 0
        self._signed_count = 0
        self._next_checkpoint_ns = 0
        self._clean_ns = clock().boot  # everything appended before then is durable
        self._trip: _Trip | None = None
        self._behind = self._full = False
        self._disk_bytes = 0
        self._sync_counts = [0] * (len(SYNC_BOUNDS_US) + 1)
        self._sync_sum_us = self._sync_last_us = 0
        self._stopping = asyncio.Event()
        self._news = asyncio.Event()  # a record after a time without any, or the end
        self._soon = asyncio.Event()  # somebody waits, or the end
        journal.waiting = self._news.set
        journal.hurry = self._hurry

    @property
    def _signed_size(self) -> int:
        return 0 if self.head is None else self.head.size

    @property
    def gauges(self) -> Gauges:
        """What metrics show, now."""
        return Gauges(
            records=self._journal.seq,
            size=self._tree.size,
            durable=self._journal.durable,
            checkpoint_size=self._signed_size,
            checkpoint_wall_ms=self._signed_wall_ms,
            checkpoints=self._signed_count,
            backlog=len(self._journal.fresh),
            sync_counts=tuple(self._sync_counts),
            sync_sum_us=self._sync_sum_us,
            sync_last_us=self._sync_last_us,
            disk_bytes=self._disk_bytes,
            disk_budget_bytes=self._settings.disk_budget_bytes,
        )

    def see(self, use: Use, level: Level) -> None:
        """Take over what the journal takes of the disk; full holds the gate."""
        self._disk_bytes, self._full = use.taken_bytes, level is Level.FULL
        if self._full:
            self._news.set()

    def stop(self) -> None:
        """Ask `run` to write the last checkpoint and return."""
        self._stopping.set()
        self._news.set()
        self._soon.set()

    async def run(self) -> None:
        """Work until stopped or cancelled, then write the last checkpoint.

        Returns early never: after an error it waits to be stopped, so that the process stays up and
        goes on denying.
        """
        try:
            while self._journal.failed is None and not self._stopping.is_set():
                self._watch_backlog()
                await self._integrate(len(self._journal.fresh))
                self._visit_disk(self._clock())
                await self._pause()
            if self._journal.failed is not None:
                self._place(UNWRITABLE)
                await self._stopping.wait()
        finally:
            await self._finish()

    async def _pause(self) -> None:
        self._news.clear()
        if self._idle():
            await self._news.wait()
            self._clean_ns = self._clock().boot  # all until now was durable
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.sync_period_ms / 1000):
                await self._soon.wait()
        if not self._stopping.is_set():
            self._soon.clear()

    def _hurry(self) -> None:
        # A trip under way left before the record came: who waits is taken along by the next one.
        if self._trip is None or self._trip.result.done():
            self._soon.set()

    def _back(self, _: object) -> None:
        if self._journal.waited_for:
            self._soon.set()

    def _idle(self) -> bool:
        # Whether the next visit could change anything, if no record comes before.
        journal = self._journal
        settled = journal.failed is None and not journal.fresh and journal.durable == journal.seq
        signed = self._trip is None and self._tree.size == self._signed_size
        return settled and signed and not (self._behind or self._stopping.is_set())

    async def _integrate(self, count: int) -> None:
        # `count` is fixed beforehand: under a flood of records the rest of the work still gets its
        # turn.
        fresh, tree, begun = self._journal.fresh, self._tree, self._journal.begun
        while count > 0:
            batch = min(count, BATCH_RECORDS)
            if begun:
                batch = min(batch, begun[0][1] - tree.size)
            for _ in range(batch):
                tree.append(leaf_hash(fresh.popleft()))
            self._cut()
            count -= batch
            await asyncio.sleep(0)
        self._cut()  # a segment may have begun after the last record so far

    def _cut(self) -> None:
        begun = self._journal.begun
        if begun and begun[0][1] == self._tree.size:
            number, size, prev = begun.popleft()
            self.cuts.append(Cut(number, size, prev, self._tree.subtrees))

    def _watch_backlog(self) -> None:
        if len(self._journal.fresh) > BACKLOG_MAX:
            self._hold()

    def _visit_disk(self, now: Now) -> None:
        if self._trip is not None and self._trip.result.done():
            self._returned(self._trip, now)
        if self._journal.failed is None and self._trip is None:
            self._set_out(now)
        self._judge_age(now)

    def _set_out(self, now: Now) -> None:
        due = now.boot >= self._next_checkpoint_ns and self._tree.size > self._signed_size
        if not due and self._journal.durable == self._journal.seq:
            return
        # Every record in the tree was appended before this flush, so it makes them all durable.
        made = Checkpoint(self._origin, self._tree.size, self._tree.root()) if due else None
        try:
            flush = self._journal.flush()
        except OSError:
            self._place(UNWRITABLE)
            return
        loop = asyncio.get_running_loop()
        result = loop.run_in_executor(None, self._carry, flush, made)
        result.add_done_callback(self._back)
        self._trip = _Trip(flush, made, now, result)

    def _carry(self, flush: Flush, made: Checkpoint | None) -> tuple[int | None, int]:
        """In a thread: records durable, then the checkpoint."""
        began_ns = self._clock().boot
        prepared = flush.run()
        took_us = (self._clock().boot - began_ns) // NS_PER_US
        if made is not None:
            checkpoints.write(flush.folder, checkpoints.seal(made, self._signer))
        return prepared, took_us

    def _returned(self, trip: _Trip, now: Now) -> None:
        self._trip = None
        try:
            prepared, took_us = trip.result.result()
            self._journal.flushed(trip.flush, prepared)
        except OSError as error:
            self._journal.fail(error)
            self._place(UNWRITABLE)
            return
        self._clean_ns = trip.began.boot
        self._count_sync(took_us)
        if trip.carries is not None:
            self.head = trip.carries
            self._signed_wall_ms = now.wall
            self._signed_count += 1
            period_ns = self._settings.checkpoint_period_ms * NS_PER_MS
            self._next_checkpoint_ns = trip.began.boot + period_ns
            self.sealed()

    def _judge_age(self, now: Now) -> None:
        journal = self._journal
        if journal.durable == journal.seq:
            self._clean_ns = now.boot
        late = now.boot - self._clean_ns > self._settings.unsynced_max_ms * NS_PER_MS
        if late or self._full or journal.unsynced_bytes > UNSYNCED_MAX:
            self._hold()
        elif self._behind and len(journal.fresh) <= BACKLOG_MAX:
            self._behind = False
            self._lift(BEHIND.reason)

    def _hold(self) -> None:
        self._behind = True
        self._place(BEHIND)

    def _count_sync(self, took_us: int) -> None:
        slot = sum(took_us > bound for bound in SYNC_BOUNDS_US)
        self._sync_counts[slot] += 1
        self._sync_sum_us += took_us
        self._sync_last_us = took_us

    async def _finish(self) -> None:
        await self._arrive()
        if self._journal.failed is not None:
            return
        await self._integrate(len(self._journal.fresh))
        self._next_checkpoint_ns = 0
        self._set_out(self._clock())
        await self._arrive()

    async def _arrive(self) -> None:
        if self._trip is not None:
            await asyncio.wait([self._trip.result])
            self._returned(self._trip, self._clock())


def _nobody() -> None:
    """Waits for checkpoints."""
