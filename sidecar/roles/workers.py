"""One sidecar in several processes: this one follows the peers, its workers carry the traffic.

    this process: driver, marks, trust, status port, metrics, a log of its own ("follower")
          | snapshot, in memory that only it can write; one byte in a channel: look
    worker 0 ... N-1: gate, data plane, log of its own ("worker-<i>")

Rules:

* No request passes through this process, and no decision waits for it. When it is dead or frozen,
  the workers' leases run out.
* All workers accept from the one listening socket, which stays open here: what waits in its backlog
  when a worker dies is served by another. With SO_REUSEPORT each worker would have a queue of its
  own, one that is frozen would strand its share of clients, and any process of the same user could
  join and take a share of the traffic around the gate.
* What this process holds (marks that cannot be used, a log that cannot be written) holds every
  worker; what a worker holds (its own log) holds that worker.
* Each log is whole by itself: its own folder, origin, boot id and checkpoints, one instance key.

Source: hardening E-G9, E-J1, S02.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar import __version__, clock, shared
from sidecar.config import check
from sidecar.config.read import Loaded
from sidecar.config.sections import Address, SidecarConfig, UnixAddress
from sidecar.config.table import WORKERS_MAX
from sidecar.core import share
from sidecar.core.events import Standing
from sidecar.core.gate import Gate
from sidecar.core.log import checkpoint
from sidecar.core.objects import report
from sidecar.core.objects.trust import Trust
from sidecar.core.reason import Reason
from sidecar.core.reporter import Identity
from sidecar.core.snapshot import Hold, HoldKind, Snapshot
from sidecar.proxy.listener import open_sockets
from sidecar.roles import brief, descent, following, logbook, serving
from sidecar.roles.brief import Brief
from sidecar.roles.crew import Worker
from sidecar.roles.fencing import fence_key
from sidecar.roles.logbook import Logbook
from sidecar.roles.measuring import Measuring
from sidecar.roles.opening import listen, open_peers
from sidecar.roles.sinks import Sinks, open_sinks
from sidecar.roles.start import StartError, verified, why
from sidecar.roles.transitions import Transitions
from sidecar.telemetry import admin, logs
from sidecar.telemetry.figures import Figures
from sidecar.telemetry.logs import Log
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.observer import Observer
from sidecar.telemetry.state import describe

GRACE_S = 5.0  # after drain.delay and drain.timeout: last records, last checkpoint
FOLLOWER = "follower"


def count(config: SidecarConfig) -> int:
    """How many processes carry traffic; 1: this one, and there are no others."""
    return config.workers or min(WORKERS_MAX, len(os.sched_getaffinity(0)))


@dataclass(slots=True)
class Entry:
    """What no two sidecars may have at once: the way in, and the key that the service knows.

    The key is made when the sockets are open, not before: workers that outlive their follower for
    their lease keep the port, and the service must not be taught another key meanwhile.
    """

    socks: Sequence[socket.socket] = ()
    fence_key: bytes | None = None

    def open(self, config: SidecarConfig) -> None:
        """Listen, then make the key.

        Raises:
            StartError: the port is taken, or the key cannot be written.
        """
        try:
            self.socks = open_sockets(config.proxy)
        except OSError as error:
            raise serving.not_bound(config.proxy, error) from None
        self.fence_key = fence_key(config.fence_key_file)

    def close(self, config: SidecarConfig) -> None:
        """Once: who comes after us may have made the same file anew."""
        where = config.proxy.inbound
        if self.socks and isinstance(where, UnixAddress):
            with suppress(OSError):
                where.path.unlink()
        for sock in self.socks:
            sock.close()
        self.socks = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that the process which follows is made of."""

    config: SidecarConfig
    trust: Trust
    identity: Identity
    log: Log
    gate: Gate
    logbook: Logbook
    metrics: Metrics
    observer: Observer
    transitions: Transitions
    measuring: Measuring
    board: shared.Writer
    entry: Entry
    workers: Sequence[Worker]
    folders: Mapping[str, Path]  # name of every log that is written here -> where
    sinks: Sinks

    def standing(self) -> Standing:
        """What goes into the reports, over all processes."""
        return following.standing(self.metrics, self.logbook.sequencer.head)

    def share(self, snapshot: Snapshot) -> None:
        """Show a snapshot to every worker."""
        self.board.publish(share.encode(snapshot))
        for worker in self.workers:
            worker.notify()

    def state(self) -> Mapping[str, object]:
        """The answer to /v1/state."""
        workers = [worker.state() for worker in self.workers]
        return {
            **describe(self.gate.snapshot, clock.now()),
            "service": self.config.service,
            "instance": self.identity.instance,
            "peers": self.observer.peers(),
            "generation": self.board.generation,
            "workers": workers,
            "runtime": self.measuring.state(),
            "audit": self._audit([worker.get("audit") for worker in workers]),
            "sinks": self.sinks.state(),
            "guarantee": check.guarantee(self.config, self.trust),
        }

    def _audit(self, others: Sequence[object]) -> Mapping[str, int]:
        total = self.logbook.state()
        for said in others:
            if isinstance(said, dict):
                total = {key: value + int(said.get(key, 0)) for key, value in total.items()}
        return total

    def not_ready(self) -> Reason | None:
        """Why it has never served, or cannot: no worker is up."""
        if not any(worker.up for worker in self.workers):
            return Reason.STARTING
        return self.observer.not_ready()

    def figures(self) -> list[Figures]:
        """What the workers counted."""
        return [figures for worker in self.workers for figures in worker.figures()]

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The answer to /metrics: the sum over all processes, as they last told."""
        for worker in self.workers:
            report, name = worker.look(), str(worker.index)
            self.metrics.worker_up.set(int(worker.up), name)
            running = report is not None and report.reason is None and worker.up
            self.metrics.worker_running.set(int(running), name)
            self.metrics.worker_restarts.values[name,] = worker.restarts
        return self.metrics.render(accept)


async def run_workers(loaded: Loaded[SidecarConfig], number: int, stop: asyncio.Event) -> None:
    """One sidecar in several processes, until told to stop.

    Args:
        loaded: The configuration.
        number: How many workers.
        stop: Set by SIGTERM.

    Raises:
        ConfigError, StartError, KeyFileError: it cannot start; no worker was started.
    """
    memory, board = _shared_memory()
    try:
        parts = _build(loaded, number, (memory, board))
        await _run(parts, stop)
    finally:
        board.close()
        os.close(memory)
    parts.log.info(logs.STOPPED)


def _shared_memory() -> tuple[int, shared.Writer]:
    try:
        memory = shared.create("epochgate-snapshot", share.MAX_BYTES)
        return memory, shared.Writer(memory, alone=True)
    except OSError as error:
        how = f"{why(error)}; it takes Linux 5.1 or later, or spec.workers: 1"
        raise StartError(f"shared memory: {how}") from None


async def _run(parts: Parts, stop: asyncio.Event) -> None:
    config = parts.config
    peers = open_peers(config.sync.peers, config.sync.timeout_ms)
    driver = following.open_driver(
        config, parts.trust, peers, parts.gate, parts.log, parts.transitions.told,
        identity=parts.identity, standing=parts.standing,
    )  # fmt: skip
    remembering = following.open_remembering(
        config, parts.trust, parts.identity, parts.folders, parts.gate, parts.log
    )
    app = admin.build(not_ready=parts.not_ready, state=parts.state, metrics=parts.exposition)
    runner = await listen(app, config.status, parts.log)
    try:
        parts.entry.open(config)
        parts.share(parts.gate.snapshot)
        async with asyncio.TaskGroup() as tasks:
            last = tasks.create_task(parts.logbook.run())
            others = [tasks.create_task(parts.transitions.watch(parts.gate))]
            others.append(tasks.create_task(parts.measuring.run(driver)))
            others.append(tasks.create_task(following.follow(driver, remembering)))
            copying = tasks.create_task(parts.sinks.run())
            crew = [tasks.create_task(worker.keep()) for worker in parts.workers]
            parts.log.info(logs.LISTENING, address=str(_address(config, parts.entry.socks)))
            await stop.wait()
            await _drain(parts, crew)
            for task in others:
                task.cancel()
            parts.logbook.end()
            await last
            await asyncio.gather(remembering.part(), parts.sinks.part())
            copying.cancel()
    finally:
        for worker in parts.workers:
            worker.kill()
        parts.entry.close(config)
        await parts.sinks.close()
        await runner.cleanup()
        for peer in peers.values():
            peer.close()
        await remembering.close()
        parts.logbook.journal.close()


def _build(
    loaded: Loaded[SidecarConfig], number: int, snapshots: tuple[int, shared.Writer]
) -> Parts:
    """Make every part, in order; no worker runs and nothing listens yet."""
    config = loaded.config
    trust = verified(config)
    metrics = Metrics(clock.now, [peer.id for peer in config.sync.peers])
    log = logs.setup(config.log_level, sys.stdout, metrics.log_messages.add)
    log.info(
        logs.STARTED, version=__version__, role="sidecar", service=config.service, workers=number
    )
    log.info(logs.GUARANTEE, **check.guarantee(config, trust))

    observers: list[Callable[[Snapshot], None]] = []
    gate = Gate(lambda snapshot: _tell(observers, snapshot))
    keys = logbook.keys(config)
    key = keys.signs
    name = report.instance_name(config.service, key.key_id)
    origin = checkpoint.origin(trust.domain, f"{name}-{FOLLOWER}")
    settings = replace(config.audit, dir=config.audit.dir / FOLLOWER)
    book = logbook.open_logbook(
        settings, keys, origin, gate, log, state_dir=config.state_dir, trust=trust.sha256
    )
    metrics.audit = lambda: book.sequencer.gauges
    metrics.quorum_required.set(max(config.sync.quorum, trust.body.quorum.r))
    observer = Observer(metrics, log, clock.now)
    transitions = Transitions(book.recorder, observer, book.state)
    measuring = Measuring(loaded, book.recorder, log, metrics)
    memory, board = snapshots
    entry = Entry()
    parents = tuple(key.hex() for key in descent.parent_keys(config.parent_key_file))

    def brief_for(index: int, reports: int) -> Brief:
        return Brief(
            index=index,
            origin=_worker_origin(trust, name, index),
            trust=trust.sha256,
            settings=brief.settings_for(config, index),
            fence_key=None if entry.fence_key is None else entry.fence_key.hex(),
            parent_keys=parents,
            snapshots=memory,
            reports=reports,
            socks=tuple(sock.fileno() for sock in entry.socks),
        )

    workers = tuple(Worker(index, brief_for, log) for index in range(number))
    who = following.identity(config, key)
    folders = {origin: settings.dir} | {
        _worker_origin(trust, name, index): brief.log_folder(config, index)
        for index in range(number)
    }
    sinks = open_sinks(config, trust.domain, key.public, folders, gate, log)
    metrics.sinks = sinks.sinks
    parts = Parts(
        config, trust, who, log, gate, book, metrics, observer, transitions, measuring, board,
        entry, workers, folders, sinks,
    )  # fmt: skip
    metrics.others = parts.figures
    observers += [parts.share, transitions.look, book.lag.changed]
    return parts


def _worker_origin(trust: Trust, name: str, index: int) -> str:
    return checkpoint.origin(trust.domain, f"{name}-worker-{index}")


def _tell(observers: Sequence[Callable[[Snapshot], None]], snapshot: Snapshot) -> None:
    for observer in observers:
        observer(snapshot)


def _address(config: SidecarConfig, socks: Sequence[socket.socket]) -> Address | UnixAddress:
    where = config.proxy.inbound
    return where if isinstance(where, UnixAddress) else Address(*socks[0].getsockname()[:2])


async def _drain(parts: Parts, crew: Sequence["asyncio.Task[None]"]) -> None:
    """Let every worker drain; snapshots still come meanwhile, so that what runs may finish."""
    settings = parts.config.drain
    parts.log.info(logs.DRAINING, delay_ms=settings.delay_ms, timeout_ms=settings.timeout_ms)
    for worker in parts.workers:
        worker.end()
    _, running = await asyncio.wait(crew, timeout=settings.delay_ms / 1000)
    parts.gate.place(Hold(Reason.DRAINING, HoldKind.PASSING))
    # From now on nobody accepts: a client shall be refused, not left waiting in the backlog.
    parts.entry.close(parts.config)
    if running:
        limit_s = settings.timeout_ms / 1000 + GRACE_S
        _, running = await asyncio.wait(running, timeout=limit_s)
    for worker in parts.workers:
        worker.kill()
    if running:
        await asyncio.wait(running)
