"""One worker: a gate of its own, a data plane, a log; fed by the process that follows the peers.

Rules:

* Snapshots come through memory (`sidecar/shared.py`). The worker compares the deadlines with its
  own clocks for each request, so whoever feeds it can only fail to prolong a lease.
* One that cannot be read is not taken: the worker keeps what it has, and that runs out.
* When the process that feeds it is gone, its lease is still good for what is left of it. Then the
  worker ends: it would else keep the port from a sidecar that is started anew.
* When that process is frozen, the worker denies from the end of its lease on, and goes on once a
  new one comes.

Started by `crew.py`, never by hand. Source: hardening E-G9, S02.
"""

import asyncio
import socket
import sys
from collections.abc import Callable, Sequence

import msgspec
import uvloop

from sidecar import __version__, clock, shared
from sidecar.core import share
from sidecar.core.gate import Gate, lapsed
from sidecar.core.reason import ProtocolError
from sidecar.core.snapshot import CLOSED, Snapshot
from sidecar.proxy.server import Server
from sidecar.roles import descent, descriptors, logbook, serving
from sidecar.roles.brief import REPORT_S, Brief, Report, receive
from sidecar.roles.fencing import sealing
from sidecar.roles.logbook import Logbook
from sidecar.roles.start import StartError, stopping
from sidecar.roles.transitions import Transitions
from sidecar.signer import KeyFileError
from sidecar.telemetry import figures, logs
from sidecar.telemetry.logs import Log
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.observer import Observer

EXIT_UNAVAILABLE = 69
_CHUNK_BYTES = 4096


class Feed:
    """Takes snapshots from memory to the gate.

    Args:
        channel: Says when there is a new one, and ends with the process at its other end.
        reader: Where they are.
        gate: Gets each.
        log: Told what could not be read.

    Attributes:
        alone: Whether nobody will bring another.
        snapshot: The last one.
    """

    def __init__(self, channel: socket.socket, reader: shared.Reader, gate: Gate, log: Log) -> None:
        self._channel = channel
        self._reader = reader
        self._gate = gate
        self._log = log
        self.alone = False
        self.snapshot = CLOSED

    @property
    def generation(self) -> int:
        """Number of the last snapshot that was read; 0: none."""
        return self._reader.generation

    def start(self) -> None:
        """Look now, and whenever something is said."""
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._notified)
        self.look()

    def look(self) -> None:
        """Take what is new."""
        body = self._reader.read()
        if body is None:
            return
        try:
            self.snapshot = share.decode(body, self.snapshot)
        except ProtocolError as error:
            self._log.complain("shared snapshot", self._reader.generation, error)
            return
        self._gate.publish(self.snapshot)

    def _notified(self) -> None:
        try:
            said = self._channel.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        self.look()
        if not said:
            self.alone = True
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._log.error(logs.ALONE)


class Worker:
    """The parts of one worker, and what it reports."""

    def __init__(self, brief: Brief, channel: socket.socket) -> None:
        self.config = config = brief.config
        self.metrics = Metrics(clock.now)
        self.log = logs.setup(
            config.log_level, sys.stdout, self.metrics.log_messages.add, worker=brief.index
        )
        self.log.info(logs.STARTED, version=__version__, role="worker")
        observers: list[Callable[[Snapshot], None]] = []
        self.gate = Gate(lambda snapshot: _tell(observers, snapshot))
        self.logbook = self._logbook(brief)
        self.metrics.audit = lambda: self.logbook.sequencer.gauges
        observer = Observer(self.metrics, self.log, clock.now)
        self.transitions = Transitions(self.logbook.recorder, observer)
        key = None if brief.fence_key is None else bytes.fromhex(brief.fence_key)
        parents = [bytes.fromhex(key) for key in brief.parent_keys]
        socks = [socket.socket(fileno=number) for number in brief.socks]
        self.server = Server(
            descriptors.fitted(config.proxy, self.log), self.gate, clock.now, self.logbook.recorder,
            observer, sealing(key), tokens=descent.tokens(parents, config), socks=socks,
        )  # fmt: skip
        observers += [self.server.gate_changed, self.transitions.look, self.logbook.lag.changed]
        self.feed = Feed(channel, shared.Reader(brief.snapshots), self.gate, self.log)
        self._reports = shared.Writer(brief.reports, alone=False)

    def _logbook(self, brief: Brief) -> Logbook:
        return logbook.open_logbook(
            self.config.audit, logbook.keys(self.config), brief.origin, self.gate, self.log,
            state_dir=self.config.state_dir, trust=brief.trust, worker=brief.index,
        )  # fmt: skip

    async def watch(self, ended: asyncio.Event) -> None:
        """Look at the memory and the clocks again and again, and report; end when left alone."""
        while True:
            self.feed.look()
            self.transitions.look(self.gate.snapshot)
            self.report()
            if self.feed.alone and lapsed(self.feed.snapshot, clock.now()) is not None:
                ended.set()
            await asyncio.sleep(REPORT_S)

    def report(self) -> None:
        """Say how things are."""
        snapshot, now = self.gate.snapshot, clock.now()
        reason = lapsed(snapshot, now)
        self.metrics.inflight.set(self.server.in_flight)
        self.metrics.connections.set(self.server.connections)
        said = Report(
            boot=now.boot,
            generation=self.feed.generation,
            state=snapshot.state(now).value,
            reason=None if reason is None else reason.code,
            holds=tuple(hold.reason.code for hold in snapshot.holds),
            in_flight=self.server.in_flight,
            connections=self.server.connections,
            audit=self.logbook.state(),
            figures=figures.of(self.metrics.series()),
        )
        self._reports.publish(msgspec.json.encode(said))


async def run_worker(channel: socket.socket) -> None:
    """One worker, until SIGTERM, or until it was left alone and its lease has run out.

    Args:
        channel: To the process that started it.

    Raises:
        StartError, KeyFileError: it cannot start.
    """
    ended = stopping()
    worker = Worker(receive(channel), channel)
    channel.setblocking(False)  # noqa: FBT003 (its one argument)
    worker.feed.start()  # first: nobody shall be denied for want of a look
    try:
        await worker.server.start()
    except OSError as error:
        raise serving.not_bound(worker.config.proxy, error) from None
    try:
        async with asyncio.TaskGroup() as tasks:
            last = tasks.create_task(worker.logbook.run())
            watching = tasks.create_task(worker.watch(ended))
            await ended.wait()
            if worker.feed.alone:
                await serving.finish(worker.server, worker.config.drain.timeout_ms)
            else:
                await serving.drain(worker.server, worker.gate, worker.config.drain, worker.log)
            watching.cancel()
            worker.logbook.end()
            await last
    finally:
        worker.report()
        worker.logbook.journal.close()
    worker.log.info(logs.STOPPED)


def _tell(observers: Sequence[Callable[[Snapshot], None]], snapshot: Snapshot) -> None:
    for observer in observers:
        observer(snapshot)


def main(descriptor: int) -> int:
    """Run a worker to its end.

    Args:
        descriptor: Of the channel to the process that started it.

    Returns:
        Its exit status.
    """
    with socket.socket(fileno=descriptor) as channel:
        try:
            uvloop.run(run_worker(channel))
        except (StartError, KeyFileError, EOFError) as error:
            sys.stderr.write(f"error: worker: {error}\n")
            return EXIT_UNAVAILABLE
    return 0
