"""One log to one sink: read a batch, send it, remember that, go on.

Rules:

* One batch at a time. The next one is read only when this one was acknowledged, so order cannot
  change, and a sink that is dead costs nothing but one attempt each `PAUSE_MAX_S`.
* Whatever goes wrong is an attempt that failed: it is counted, said once, and tried again with a
  pause that doubles, and is shortened at random so that a fleet does not come back all at once.
* The cursor is stored when everything was sent, else at most once a second: a crash costs repeats,
  and the disk is the journal's.
* A cursor that cannot be used, or is ahead of the log, ends this pump before it begins.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from sidecar.audit.sinks import cursor, feed
from sidecar.audit.sinks.cursor import Cursor, CursorError
from sidecar.audit.sinks.feed import BATCH_RECORDS, Batch
from sidecar.audit.sinks.lag import Lag
from sidecar.audit.sinks.outlet import Outlet, RefusedError, SinkError, Thread, TooLargeError
from sidecar.audit.sinks.sealed import Sealed
from sidecar.clock import Clock
from sidecar.core.instant import NS_PER_MS
from sidecar.core.reason import ProtocolError

PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 5.0
WAIT_MAX_S = 60.0  # as long as a receiver may ask to be left alone
STORE_MS = 1_000

FAILING, SENDING, SKIPPED, LOST, STOPPED = "failing", "sending", "skipped", "lost", "stopped"


class Pump:
    """Copies one log to one receiver.

    Args:
        sealed: What of the log may be sent.
        outlet: Takes it.
        path: Of the cursor; its folder exists.
        timeout_ms: Longest wait for one acknowledgement.
        thread: Runs what blocks.
        clock: Both clocks.
        draw: Randomness: `draw(n)` gives n bytes.
        told: Takes what people should know: `told(what, log, fields)`.

    Attributes:
        cursor: The next record; None: there is no telling, and nothing is sent.
        records: Acknowledged by the receiver, in this process.
        failures: Attempts that were not.
        refused: Of these, because the receiver does not want the records.
        dropped: Records that it will never get: pruned before they were sent, or thrown away there.
        why: What is wrong at present; empty: nothing.
        idle: Set while nothing waits.
    """

    def __init__(
        self,
        sealed: Sealed,
        outlet: Outlet,
        path: Path,
        *,
        timeout_ms: int,
        thread: Thread,
        clock: Clock,
        draw: Callable[[int], bytes],
        told: Callable[[str, str, dict[str, object]], None],
    ) -> None:
        self.log = sealed.log
        self.cursor: Cursor | None = None
        self.records = self.failures = self.refused = self.dropped = 0
        self.why = ""
        self.idle = asyncio.Event()
        self._sealed = sealed
        self._outlet = outlet
        self._path = path
        self._timeout_s = timeout_ms / 1000
        self._thread = thread
        self._clock = clock
        self._draw = draw
        self._told = told
        self._lag = Lag()
        self._news = asyncio.Event()
        self._limit = BATCH_RECORDS
        self._pause_s = PAUSE_MIN_S
        self._stored: tuple[int, int] = (0, 0)  # seq, boot ns

    def open(self) -> None:
        """Find the place to go on from, and how old the next record is. Blocks."""
        sealed = self._sealed
        try:
            found = self._place()
        except CursorError as error:
            self.why = "its cursor cannot be used; see the log lines"
            self.failures += 1
            self._told(STOPPED, self.log, {"why": str(error)})
            return
        self.cursor = found
        self._stored = (found.seq, self._clock().boot)
        self.idle.set()
        if sealed.size > found.seq:
            self._grew(sealed.size, self._age_ms(found))
        sealed.grew.append(self._grew)

    def _place(self) -> Cursor:
        found, size = cursor.load(self._path, self.log), self._sealed.size
        if found.seq > size and not self._sealed.why:
            how = f"{found.seq} records were sent, but the log is signed up to {size}"
            raise CursorError(f"{self._path}: {how}: keep both as evidence")
        return found

    def _age_ms(self, found: Cursor) -> int:
        try:
            oldest = feed.read(self._sealed.folder, found, self._sealed.size, 1).entries[0]
        except (OSError, ProtocolError):
            return 0  # `run` meets it again, and says so
        return max(0, self._clock().wall - oldest.ts)

    def lag_ms(self) -> int | None:
        """How long the oldest record has been waiting; None: nothing can be sent at all."""
        if self.cursor is None:
            return None
        now = self._clock()
        return max(self._lag.ms(now), self._sealed.blind_ms(now))

    def _grew(self, size: int, age_ms: int = 0) -> None:
        self._lag.seen(size, self._clock(), age_ms)
        self.idle.clear()
        self._news.set()

    async def run(self) -> None:
        """Send, until cancelled."""
        while self.cursor is not None:
            while self.cursor.seq < self._sealed.size:
                self.cursor = await self._step(self.cursor)
            self.idle.set()
            await self._news.wait()
            self._news.clear()

    async def _step(self, found: Cursor) -> Cursor:
        """Send one batch; where the next one begins."""
        wait_s = 0.0
        try:
            folder, size, limit = self._sealed.folder, self._sealed.size, self._limit
            batch = await self._thread(lambda: feed.read(folder, found, size, limit))
            found = self._skipped(batch)
            if not await self._sent(batch):
                return found
            found = batch.after
            self._acknowledged(batch)
            await self._keep(found, wholly=found.seq >= self._sealed.size)
        except SinkError as error:
            self.refused += isinstance(error, RefusedError)
            wait_s = min(error.wait_s, WAIT_MAX_S)
            self._failed(str(error))
        except ProtocolError as error:
            self._failed(str(error))
        except OSError as error:
            self._failed(error.strerror or type(error).__name__)
        except Exception as error:  # noqa: BLE001 (a receiver must not be able to end the sidecar)
            self._failed(f"{type(error).__name__} while sending")
        if self.why:
            await self._rest(wait_s)
        return found

    async def _sent(self, batch: Batch) -> bool:
        """Send it; False: it was too large, and the next one will be smaller."""
        count = len(batch.entries)
        if not count:  # what is kept is not signed yet
            return True
        try:
            async with asyncio.timeout(self._timeout_s):
                lost = await self._outlet.send(self.log, batch.entries)
        except TimeoutError:
            raise SinkError(f"no answer within {self._timeout_s:g} s") from None
        except TooLargeError:
            if count == 1:
                raise
            self._limit = count // 2
            return False
        if lost:
            self.dropped += lost
            self._told(LOST, self.log, {"records": lost, "from": batch.before.seq})
        return True

    def _skipped(self, batch: Batch) -> Cursor:
        if batch.skipped:
            self.dropped += batch.skipped
            self._told(SKIPPED, self.log, {"records": batch.skipped, "to": batch.before.seq})
        return batch.before

    def _acknowledged(self, batch: Batch) -> None:
        self.records += len(batch.entries)
        self._lag.acknowledged(batch.after.seq)
        self._limit = min(2 * self._limit, BATCH_RECORDS)
        self._pause_s = PAUSE_MIN_S
        if self.why:
            self.why = ""
            self._told(SENDING, self.log, {"seq": batch.after.seq})

    def _failed(self, why: str) -> None:
        self.failures += 1
        if why != self.why:
            self.why = why
            self._told(FAILING, self.log, {"why": why})

    async def _rest(self, wait_s: float) -> None:
        (drawn,) = self._draw(1)
        pause_s = self._pause_s * (256 + drawn) / 512
        self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)
        await asyncio.sleep(max(pause_s, wait_s))

    async def _keep(self, found: Cursor, *, wholly: bool) -> None:
        boot = self._clock().boot
        seq, stored_ns = self._stored
        if found.seq == seq or not (wholly or boot - stored_ns >= STORE_MS * NS_PER_MS):
            return
        await self._thread(lambda: cursor.store(self._path, found))
        self._stored = (found.seq, boot)

    async def close(self) -> None:
        """Store how far it came, when nothing runs any more."""
        if self.cursor is not None:
            await self._keep(self.cursor, wholly=True)
