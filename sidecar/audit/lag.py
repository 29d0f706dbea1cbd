"""How far the log is behind with what is demanded of it, and the holds that follow.

An epoch demands it, or the profile or the policy that it names: of these the tightest counts.

Rules:

* A record counts from when it was seen in the log, or before: what came between two looks is as old
  as the look before. What an earlier process left behind is as old as the file that ends before it.
* A hold is passing: it ends when everything that was too late is covered. The records that a hold
  itself causes, as it begins and ends, make nothing late; or a log without any traffic would hold
  its gate again and again because of them.
* A checkpoint counts as acknowledged when the log's own key and enough of the witnesses in force
  have signed it. Whoever fetched it, it is judged here, where the log is written.
* The file is read in a thread, and nobody waits for it: on a disk that hangs the log grows older.

Source: protocol b.13; hardening J12.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from sidecar.audit import checkpoints
from sidecar.audit.journal import Journal
from sidecar.clock import Clock
from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.cosignature import Witnesses
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import Hold, HoldKind, Snapshot

LOOK_S = 0.1
MARKS_MAX = 1024


class Ages:
    """When the records of a log came, told by looking at their number now and then.

    Args:
        records: How many there are.
        since: How old they are at most.
    """

    def __init__(self, records: int, since: BootNs) -> None:
        self._marks = deque([(since, records)])  # this many were there, the last ones since then
        self._count = records
        self._looked = since

    def look(self, records: int, now: BootNs) -> None:
        """Tell the number."""
        if records > self._count:
            self._marks.append((self._looked, records))
            self._count = records
        self._looked = now
        if len(self._marks) > MARKS_MAX:
            # Every second one: what it told of is now as old as what came before it.
            kept = list(self._marks)
            pairs = zip(kept[::2], [*kept[1::2], kept[-1]], strict=False)
            self._marks = deque((older[0], newer[1]) for older, newer in pairs)

    def skip(self, records: int) -> None:
        """Tell the number; what is new makes nothing late."""
        self._count = max(self._count, records)

    def oldest(self, covered: int) -> BootNs | None:
        """Since when there is a record beyond the first `covered`, which never become fewer."""
        while self._marks and self._marks[0][1] <= covered:
            self._marks.popleft()
        return self._marks[0][0] if self._marks else None


class Lag:
    """Watches one log.

    Args:
        journal: Recovered.
        key: Of the log.
        head: Its newest checkpoint that is durable, or None.
        snapshot: What the gate decides by.
        place: Places a hold at the gate.
        lift: Lifts a passing hold.
        clock: Both clocks.
        watched: Whether to look for cosigned checkpoints also while no epoch demands them.
    """

    def __init__(
        self,
        journal: Journal,
        key: NoteKey,
        *,
        head: Callable[[], Checkpoint | None],
        snapshot: Callable[[], Snapshot],
        place: Callable[[Hold], None],
        lift: Callable[[Reason], None],
        clock: Clock,
        watched: bool,
    ) -> None:
        self._journal = journal
        self._key = key
        self._head = head
        self._snapshot = snapshot
        self._place = place
        self._lift = lift
        self._clock = clock
        self._watched = watched
        now = clock()
        left = 0 if journal.recovery is None else journal.recovery.chain.tree.size
        self._signed = Ages(left, _written(journal.folder / checkpoints.CHECKPOINT, now))
        self._cosigned = Ages(left, _written(journal.folder / checkpoints.COSIGNED, now))
        self._signed.look(left, now.boot)
        self._cosigned.look(left, now.boot)
        self._acked = 0
        self._seen: tuple[object, ...] = ()
        self._held: set[Reason] = set()
        self._news = asyncio.Event()
        self._under = self._snapshot().epoch

    @property
    def acked(self) -> int:
        """Records under the newest checkpoint that enough witnesses have cosigned, as last read."""
        return self._acked

    def changed(self, snapshot: Snapshot) -> None:
        """Look at once when another epoch is in force."""
        if snapshot.epoch is not self._under:
            self._under = snapshot.epoch
            self._news.set()

    async def run(self) -> None:
        """Look again and again until cancelled."""
        loop = asyncio.get_running_loop()
        reading: asyncio.Future[None] | None = None
        while True:
            if reading is None and self._behind():
                now, witnesses = self._clock().wall, self._snapshot().cosigners
                reading = loop.run_in_executor(None, self._read, witnesses, now)
            if reading is not None:
                done, _ = await asyncio.wait([reading], timeout=LOOK_S)
                reading = None if done else reading
            self.look(self._clock())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            self._news.clear()

    def _behind(self) -> bool:
        demanded = self._snapshot().lags.unacked_ms > 0
        return (demanded or self._watched) and self._acked < self._journal.seq

    def look(self, now: Now) -> None:
        """Place what has to be placed, lift what may be lifted."""
        records = self._journal.seq
        self._signed.look(records, now.boot)
        self._cosigned.look(records, now.boot)
        head, limits = self._head(), self._snapshot().lags
        stale = self._signed.oldest(0 if head is None else head.size)
        unacked = self._cosigned.oldest(self._acked)
        self._judge(Reason.CHECKPOINT_STALE, stale, limits.unsigned_ms, now)
        self._judge(Reason.CHECKPOINT_UNACKED, unacked, limits.unacked_ms, now)

    def _judge(self, reason: Reason, since: BootNs | None, limit_ms: int, now: Now) -> None:
        late = bool(limit_ms) and since is not None and now.boot - since > limit_ms * NS_PER_MS
        if late == (reason in self._held):
            return
        if late:
            self._held.add(reason)
            self._place(Hold(reason, HoldKind.PASSING))
        else:
            self._held.discard(reason)
            self._lift(reason)
        self._signed.skip(self._journal.seq)
        self._cosigned.skip(self._journal.seq)

    def _read(self, witnesses: Witnesses, now: WallMs) -> None:
        """In a thread: see how many records are acknowledged."""
        path = self._journal.folder / checkpoints.COSIGNED
        # What cannot be read acknowledges nothing; whoever writes it says what is wrong.
        with contextlib.suppress(OSError, ProtocolError):
            found = path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size, witnesses)
            if seen != self._seen:
                made = checkpoints.cosigned(self._journal.folder, self._key, witnesses, now)
                self._seen = seen
                self._acked = max(self._acked, 0 if made is None else made.size)


def _written(path: Path, now: Now) -> BootNs:
    """When a file was written, by the boot clock; the beginning of time where there is none."""
    try:
        wall_ms = path.stat().st_mtime_ns // NS_PER_MS
    except OSError:
        return BootNs(0)
    return BootNs(now.boot - max(0, now.wall - wall_ms) * NS_PER_MS)
