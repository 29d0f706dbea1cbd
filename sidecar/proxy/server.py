"""The listener, the clock tick, and what operators may count.

Rules:

* A timer is never the reason why something stops: when it fires, everybody looks at the clocks and
  the gate. There is one for the deadline of the lease and one coarse tick for all the rest, so a
  request costs no timer at all.
* The tick also looks at the gate: a clock that was stepped moves no timer.

Source: hardening E-G5; T32.
"""

import asyncio
import socket
from collections.abc import Sequence

from sidecar.clock import Clock
from sidecar.config import sections
from sidecar.config.sections import Address, UnixAddress
from sidecar.core.gate import Gate, alike, lapsed
from sidecar.core.instant import NS_PER_MS
from sidecar.core.parent import Tokens
from sidecar.core.snapshot import Snapshot
from sidecar.proxy.answer import AnswerShell
from sidecar.proxy.body import Bounds
from sidecar.proxy.connections import Connections
from sidecar.proxy.downstream import Downstream
from sidecar.proxy.fence import Fence
from sidecar.proxy.listener import Inbound, Listener
from sidecar.proxy.plane import Observer, Plane, Recorder
from sidecar.proxy.shell import Shell
from sidecar.proxy.upstream import Pool

TICK_S = 0.25  # timeouts are late by at most this
WAIT_STEP_S = 0.02
TURN_LINES = 256  # lines of a chunked body that are read in one turn: half a millisecond


class Server:
    """The data plane of one process.

    Args:
        settings: Where to listen, limits, timeouts.
        gate: Its snapshot is read for each decision.
        clock: Both clocks.
        recorder: Journals decisions before they take effect.
        observer: Counts.
        fence: Seals permitted requests for the service behind; None: it checks no seal.
        tokens: Of parent decisions; None: there is no key for them.
        socks: Sockets that listen already, from `listener.open_sockets`; none: made here.
    """

    def __init__(
        self,
        settings: sections.Proxy,
        gate: Gate,
        clock: Clock,
        recorder: Recorder,
        observer: Observer,
        fence: Fence | None = None,
        *,
        tokens: Tokens | None = None,
        socks: Sequence[socket.socket] = (),
    ) -> None:
        limits = settings.limits
        self._pool = Pool(settings)
        self._connections: Connections[Downstream] = Connections(limits.connections)
        self._listener = Listener(settings, socks)
        self._tick: asyncio.TimerHandle | None = None
        self._lapse: asyncio.TimerHandle | None = None
        self._seen = gate.snapshot
        self._plane = Plane(
            limits=limits,
            timeouts=settings.timeouts,
            gate=gate,
            clock=clock,
            recorder=recorder,
            observer=observer,
            fence=fence,
            tokens=tokens,
            pool=self._pool,
            inbound=Inbound(settings),
            shell=Shell(limits),
            answers=AnswerShell(limits),
            request_bounds=Bounds(
                limits.chunk_line_bytes, limits.trailer_bytes, limits.body_bytes, TURN_LINES
            ),
            response_bounds=Bounds(limits.chunk_line_bytes, limits.trailer_bytes),
        )

    @property
    def connections(self) -> int:
        """Open client connections."""
        return len(self._connections)

    @property
    def upstream_connections(self) -> int:
        """Open upstream connections, used or warm."""
        return self._pool.count

    @property
    def in_flight(self) -> int:
        """Exchanges that have begun and not ended."""
        return self._plane.in_flight

    @property
    def address(self) -> Address | UnixAddress:
        """What is listened on; with the port that was given, once it has started."""
        return self._listener.address

    async def start(self) -> tuple[str, int]:
        """Listen.

        Returns:
            Host and port that are listened on; the path and 0 for a Unix socket.

        Raises:
            OSError: The address can not be bound.
        """
        await self._listener.start(lambda: Downstream(self._plane, self._connections))
        self._tick = asyncio.get_running_loop().call_later(TICK_S, self._ticked)
        self.gate_changed(self._plane.gate.snapshot)
        where = self.address
        return (where.host, where.port) if isinstance(where, Address) else (str(where.path), 0)

    def gate_changed(self, snapshot: Snapshot) -> None:
        """The gate has another snapshot: running exchanges look again, now."""
        if self._tick is None:
            return  # not started: nothing runs
        if snapshot.routes is not self._seen.routes:
            self._pool.clear()
        self._look(snapshot)
        self._seen = snapshot
        self._set_lapse(snapshot)

    def stop_accepting(self) -> None:
        """Begin to drain: no new connections, idle ones close, running exchanges finish."""
        self._plane.draining = True
        self._listener.close()
        for connection in tuple(self._connections):
            connection.drain()

    async def wait_idle(self, timeout_ms: int) -> bool:
        """Wait until no exchange runs.

        Args:
            timeout_ms: Longest wait.

        Returns:
            Whether that was reached.
        """
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while self._plane.in_flight:  # noqa: ASYNC110 (an event would cost each exchange)
                    await asyncio.sleep(WAIT_STEP_S)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """End everything that is left."""
        self.stop_accepting()
        for handle in (self._tick, self._lapse):
            if handle is not None:
                handle.cancel()
        for connection in tuple(self._connections):
            connection.abort()
        await self._pool.close()
        await self._listener.wait_closed()
        await asyncio.sleep(0)  # connections that were aborted say goodbye in the next turn

    def _look(self, snapshot: Snapshot) -> None:
        now = self._plane.clock()
        if alike(snapshot, self._seen) and lapsed(snapshot, now) is None:
            return  # nothing that a running exchange depends on has changed
        for connection in tuple(self._connections):
            connection.look(now)

    def _set_lapse(self, snapshot: Snapshot) -> None:
        if self._lapse is not None:
            self._lapse.cancel()
            self._lapse = None
        if snapshot.lease is None:
            return
        now = self._plane.clock()
        left_ns = min(
            snapshot.lease.deadline - now.boot,
            (snapshot.lease.wall_deadline - now.wall) * NS_PER_MS,
        )
        if left_ns > 0:
            loop = asyncio.get_running_loop()
            self._lapse = loop.call_later(left_ns / 1e9, self._lapsed)

    def _lapsed(self) -> None:
        snapshot = self._plane.gate.snapshot
        self._look(snapshot)
        self._set_lapse(snapshot)

    def _ticked(self) -> None:
        self._tick = asyncio.get_running_loop().call_later(TICK_S, self._ticked)
        self._look(self._plane.gate.snapshot)
        now = self._plane.clock()
        for connection in tuple(self._connections):
            connection.tick(now)
