"""One sidecar: the gate, what feeds it, and what it guards; here all in one process.

With `workers` other than 1 the same parts are spread over several: see `workers.py`.

SIGTERM: drain (`serving.py`), write the last checkpoint, end with status 0.
Source: protocol b.9, b.16.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar import __version__, clock
from sidecar.config import check, read
from sidecar.config.read import Loaded
from sidecar.config.sections import SidecarConfig
from sidecar.core.events import Standing
from sidecar.core.gate import Gate
from sidecar.core.log import checkpoint
from sidecar.core.objects import report
from sidecar.core.objects.trust import Trust
from sidecar.core.reporter import Identity
from sidecar.core.snapshot import Snapshot
from sidecar.proxy.server import Server
from sidecar.roles import descent, descriptors, following, logbook, serving, workers
from sidecar.roles.fencing import hand_over, new_key, sealing
from sidecar.roles.logbook import Logbook
from sidecar.roles.measuring import Measuring
from sidecar.roles.opening import listen, open_peers
from sidecar.roles.sinks import Sinks, open_sinks
from sidecar.roles.start import stopping, verified
from sidecar.roles.transitions import Transitions
from sidecar.telemetry import admin, logs
from sidecar.telemetry.logs import Log
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.observer import Observer
from sidecar.telemetry.state import describe


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a sidecar is made of."""

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
    server: Server
    sinks: Sinks
    seal: bytes | None

    def state(self) -> Mapping[str, object]:
        """The answer to /v1/state."""
        return {
            **describe(self.gate.snapshot, clock.now()),
            "service": self.config.service,
            "instance": self.identity.instance,
            "peers": self.observer.peers(),
            "runtime": self.measuring.state(),
            "audit": self.logbook.state(),
            "sinks": self.sinks.state(),
            "guarantee": check.guarantee(self.config, self.trust),
        }

    def standing(self) -> Standing:
        """What goes into the reports."""
        return following.standing(self.metrics, self.logbook.sequencer.head)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The answer to /metrics; what others count is fetched now."""
        self.metrics.inflight.set(self.server.in_flight)
        self.metrics.connections.set(self.server.connections)
        return self.metrics.render(accept)


async def run_sidecar(path: Path) -> None:
    """One sidecar, until SIGTERM.

    Args:
        path: Its configuration.

    Raises:
        ConfigError, StartError, KeyFileError: it cannot start; no socket was opened for traffic.
    """
    stop = stopping()
    loaded = read.read_sidecar(path, os.environ)
    count = workers.count(loaded.config)
    if count > 1:
        await workers.run_workers(loaded, count, stop)
    else:
        await _run_alone(loaded, stop)


async def _run_alone(loaded: Loaded[SidecarConfig], stop: asyncio.Event) -> None:
    parts, config = _build(loaded), loaded.config
    peers = open_peers(config.sync.peers, config.sync.timeout_ms)
    driver = following.open_driver(
        config, parts.trust, peers, parts.gate, parts.log, parts.transitions.told,
        identity=parts.identity, standing=parts.standing,
    )  # fmt: skip
    logs_here = {parts.logbook.origin: config.audit.dir}
    remembering = following.open_remembering(
        config, parts.trust, parts.identity, logs_here, parts.gate, parts.log
    )
    app = admin.build(
        not_ready=parts.observer.not_ready, state=parts.state, metrics=parts.exposition
    )
    runner = await listen(app, config.status, parts.log)
    try:
        async with asyncio.TaskGroup() as tasks:
            last = tasks.create_task(parts.logbook.run())
            others = [tasks.create_task(parts.transitions.watch(parts.gate))]
            others.append(tasks.create_task(parts.measuring.run(driver)))
            others.append(tasks.create_task(following.follow(driver, remembering)))
            copying = tasks.create_task(parts.sinks.run())
            await _serve(parts, stop)
            for task in others:
                task.cancel()
            parts.logbook.end()
            await last
            await asyncio.gather(remembering.part(), parts.sinks.part())
            copying.cancel()
    finally:
        await parts.sinks.close()
        await runner.cleanup()
        for peer in peers.values():
            peer.close()
        await remembering.close()
        parts.logbook.journal.close()
    parts.log.info(logs.STOPPED)


def _build(loaded: Loaded[SidecarConfig]) -> Parts:
    """Make every part, in order; the gate is closed and nothing listens yet."""
    config = loaded.config
    trust = verified(config)
    metrics = Metrics(clock.now, [peer.id for peer in config.sync.peers])
    log = logs.setup(config.log_level, sys.stdout, metrics.log_messages.add)
    log.info(logs.STARTED, version=__version__, role="sidecar", service=config.service)
    log.info(logs.GUARANTEE, **check.guarantee(config, trust))

    observers: list[Callable[[Snapshot], None]] = []
    gate = Gate(lambda snapshot: _tell(observers, snapshot))
    keys = logbook.keys(config)
    key = keys.signs
    instance = report.instance_name(config.service, key.key_id)
    origin = checkpoint.origin(trust.domain, instance)
    book = logbook.open_logbook(
        config.audit, keys, origin, gate, log, state_dir=config.state_dir, trust=trust.sha256
    )
    metrics.audit = lambda: book.sequencer.gauges
    metrics.quorum_required.set(max(config.sync.quorum, trust.body.quorum.r))
    observer = Observer(metrics, log, clock.now)
    transitions = Transitions(book.recorder, observer, book.state)
    measuring = Measuring(loaded, book.recorder, log, metrics)
    seal = new_key(config.fence_key_file)
    proxy = descriptors.fitted(config.proxy, log)
    tokens = descent.tokens(descent.parent_keys(config.parent_key_file), config)
    server = Server(proxy, gate, clock.now, book.recorder, observer, sealing(seal), tokens=tokens)
    observers += [server.gate_changed, transitions.look, book.lag.changed]
    who = following.identity(config, key)
    sinks = open_sinks(config, trust.domain, key.public, {origin: config.audit.dir}, gate, log)
    metrics.sinks = sinks.sinks
    return Parts(
        config, trust, who, log, gate, book, metrics, observer, transitions, measuring, server,
        sinks, seal,
    )  # fmt: skip


def _tell(observers: Sequence[Callable[[Snapshot], None]], snapshot: Snapshot) -> None:
    for observer in observers:
        observer(snapshot)


async def _serve(parts: Parts, stop: asyncio.Event) -> None:
    """Take requests until told to stop, then drain."""
    try:
        await parts.server.start()
    except OSError as error:
        raise serving.not_bound(parts.config.proxy, error) from None
    hand_over(parts.config.fence_key_file, parts.seal)
    parts.log.info(logs.LISTENING, address=str(parts.server.address))
    await stop.wait()
    await serving.drain(parts.server, parts.gate, parts.config.drain, parts.log)
