"""Runs the follower on asyncio: commands become reads, timers and fsyncs; results become events.

Rules:

* All events pass through one queue and one loop. An exception there ends the process: a follower
  with a bug must not go on answering for the gate, and without it the lease runs out.
* One worker per peer, so one read outstanding per peer, and a slow one delays nobody else.
* Hints (something changed, look now) only bring the next look forward. They are never believed,
  and at most one round per `HINT_GAP_S` starts because of them.
* Nothing here judges what was read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Protocol

from sidecar.clock import Clock
from sidecar.core import clockwatch
from sidecar.core import events as ev
from sidecar.core.follower import Follower
from sidecar.core.quorum import PeerId
from sidecar.core.snapshot import Snapshot
from sidecar.sync.peer import PeerError

HINT_GAP_S = 0.02
NONCE_BYTES = 32
RESUBSCRIBE_S = 1.0


class PeerReader(Protocol):
    """What the driver needs of a peer."""

    async def ask(
        self, want: ev.ReadPeer, tag: bytes
    ) -> tuple[Mapping[str, tuple[bytes, ...]], bool]:
        """Write and read, bound to `tag`: what was found, and whether all writes were taken.

        Raises PeerError, and never blocks for longer than agreed.
        """

    def hints(self, channel: str) -> AsyncIterator[None]:
        """Yield whenever somebody pushes on the channel; ends or raises PeerError at a fault."""


class Saver(Protocol):
    """Makes bytes durable; blocks, raises OSError."""

    def save(self, body: bytes) -> None:
        """Return once the bytes survive a power loss."""


class Driver:
    """The loop around one follower.

    Args:
        follower: The machine.
        peers: By id, in the follower's order.
        saver: Where marks go.
        clock: Both clocks.
        publish: Takes each new snapshot, at once.
        told: Takes what people should know.
        draw: Randomness: `draw(n)` gives n bytes.
        channel: Where hints come from.
        standing: What other parts say about themselves, for reports.
    """

    def __init__(
        self,
        follower: Follower,
        peers: Mapping[PeerId, PeerReader],
        saver: Saver,
        *,
        clock: Clock,
        publish: Callable[[Snapshot], None],
        told: Callable[[ev.Told], None],
        draw: Callable[[int], bytes],
        channel: str,
        standing: Callable[[], ev.Standing] = ev.Standing,
    ) -> None:
        self._follower = follower
        self._peers = peers
        self._saver = saver
        self._clock = clock
        self._publish = publish
        self._told = told
        self._draw = draw
        self._channel = channel
        self._standing = standing
        self._events: asyncio.Queue[ev.Event] = asyncio.Queue()
        self._reads: dict[PeerId, asyncio.Queue[ev.ReadPeer]] = {
            peer: asyncio.Queue() for peer in peers
        }
        self._stores: asyncio.Queue[ev.Store] = asyncio.Queue()
        self._saving: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def show(self) -> None:
        """Publish what is known without any peer: halts, holds, and targets that are exempt."""
        self._publish(self._follower.snapshot)

    async def run(self) -> None:
        """Follow the peers until cancelled, then store what is not stored yet."""
        self.show()
        try:
            async with asyncio.TaskGroup() as tasks:
                for peer in self._peers:
                    tasks.create_task(self._read_loop(peer))
                    tasks.create_task(self._hint_loop(peer))
                tasks.create_task(self._store_loop())
                tasks.create_task(self._tick_loop())
                self._due()
                while True:
                    event = await self._events.get()
                    for command in self._follower.handle(event, self._clock()):
                        self._execute(command)
        finally:
            await self._part()

    def feed(self, event: ev.Event) -> None:
        """Hand the follower something that no peer said; from within the loop."""
        self._events.put_nowait(event)

    def _execute(self, command: ev.Command) -> None:
        match command:
            case ev.ReadPeer():
                self._reads[command.peer].put_nowait(command)
            case ev.WakeAfter():
                self._wake(command.delay_ms / 1000)
            case ev.Store():
                self._stores.put_nowait(command)
            case ev.Publish():
                self._publish(command.snapshot)
            case ev.RoundEnded() | ev.Conflict() | ev.Passage() | ev.TrustAdopted():
                self._told(command)

    def _wake(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._due)

    def _due(self) -> None:
        # The nonce is drawn now, not when the timer was set: nobody can know it before.
        due = ev.RoundDue(self._jitter(), self._draw(NONCE_BYTES), self._standing())
        self._events.put_nowait(due)

    def _jitter(self) -> float:
        return int.from_bytes(self._draw(2)) / 0xFFFF

    async def _read_loop(self, peer: PeerId) -> None:
        while True:
            want = await self._reads[peer].get()
            try:
                found, wrote = await self._peers[peer].ask(want, self._draw(16))
            except PeerError as error:
                self._events.put_nowait(ev.PeerFailed(peer, want.round, error.kind))
            else:
                self._events.put_nowait(ev.PeerReplied(peer, want.round, found, wrote))

    async def _store_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            store = await self._stores.get()
            self._saving = loop.run_in_executor(None, self._saver.save, store.body)
            try:
                await asyncio.shield(self._saving)
            except OSError:
                self._events.put_nowait(ev.StoreFailed(store.generation))
            else:
                self._events.put_nowait(ev.Stored(store.generation))

    async def _part(self) -> None:
        # Not both at once: the older one must not be the last to be written.
        if self._saving is not None:
            await asyncio.wait([self._saving])
        body = self._follower.parting()
        if body is not None:
            with suppress(OSError):  # a disk that fails has contained already (EG406)
                await asyncio.get_running_loop().run_in_executor(None, self._saver.save, body)

    async def _hint_loop(self, peer: PeerId) -> None:
        while True:
            try:
                async for _ in self._peers[peer].hints(self._channel):
                    self._events.put_nowait(
                        ev.Hinted(self._jitter(), self._draw(NONCE_BYTES), self._standing(), peer)
                    )
                    await asyncio.sleep(HINT_GAP_S)
            except PeerError:
                pass  # polling goes on; the next line tries again
            await asyncio.sleep(RESUBSCRIBE_S)

    async def _tick_loop(self) -> None:
        while True:
            self._events.put_nowait(ev.Ticked())
            await asyncio.sleep(clockwatch.PERIOD_MS / 1000)
