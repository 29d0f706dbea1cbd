"""One sidecar: the gate, what feeds it, and what it guards.

SIGTERM: serve on for `drain.delay` while endpoints are removed, deny new work, wait for what runs,
write the last checkpoint, end with status 0. Source: protocol b.9, b.16.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar import __version__, clock, signer
from sidecar.audit.journal import Journal
from sidecar.audit.recorder import Recorder
from sidecar.audit.sequencer import Sequencer
from sidecar.config import check, read
from sidecar.config.sections import Address, SidecarConfig
from sidecar.core import layout, marks
from sidecar.core.follower import Follower, Setting
from sidecar.core.gate import Gate
from sidecar.core.lease import Terms
from sidecar.core.log import checkpoint
from sidecar.core.objects.trust import Trust
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import Hold, HoldKind, Snapshot
from sidecar.proxy.server import Server
from sidecar.roles.start import (
    StartError,
    fresh_bytes,
    listen,
    open_peers,
    stopping,
    verified,
    why,
)  # fmt: skip
from sidecar.roles.transitions import Transitions
from sidecar.signer import FileSigner
from sidecar.sync.driver import Driver
from sidecar.sync.peer import Peer
from sidecar.sync.store import MarksStore
from sidecar.telemetry import admin, logs
from sidecar.telemetry.logs import Log
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.observer import Observer
from sidecar.telemetry.state import describe

INSTANCE_KEY = "instance.key"


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a sidecar is made of."""

    config: SidecarConfig
    trust: Trust
    log: Log
    gate: Gate
    journal: Journal
    recorder: Recorder
    sequencer: Sequencer
    metrics: Metrics
    observer: Observer
    transitions: Transitions
    server: Server

    def state(self) -> Mapping[str, object]:
        """The answer to /v1/state."""
        gauges = self.sequencer.gauges
        return {
            **describe(self.gate.snapshot, clock.now()),
            "service": self.config.service,
            "peers": self.observer.peers(),
            "audit": {
                "records": gauges.records, "size": gauges.size, "durable": gauges.durable,
                "checkpoint_size": gauges.checkpoint_size, "backlog": gauges.backlog,
            },
            "guarantee": check.guarantee(self.config, self.trust),
        }  # fmt: skip

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
    parts = _build(path)
    config = parts.config
    peers = open_peers(config.sync.peers, config.sync.timeout_ms)
    driver = _driver(parts, peers)
    app = admin.build(
        not_ready=parts.observer.not_ready, state=parts.state, metrics=parts.exposition
    )
    runner = await listen(app, config.status, parts.log)
    try:
        async with asyncio.TaskGroup() as tasks:
            last = tasks.create_task(parts.sequencer.run())
            others = [tasks.create_task(parts.transitions.watch(parts.gate))]
            if driver is not None:
                others.append(tasks.create_task(driver.run()))
            await _serve(parts, stop)
            for task in others:
                task.cancel()
            parts.recorder.state("stop", {}, clock.now())
            parts.sequencer.stop()
            await last
    finally:
        await runner.cleanup()
        for peer in peers.values():
            peer.close()
        parts.journal.close()
    parts.log.info(logs.STOPPED)


def _build(path: Path) -> Parts:
    """Make every part, in order; the gate is closed and nothing listens yet."""
    config = read.read_sidecar(path, os.environ).config
    trust = verified(config)
    metrics = Metrics(clock.now, [peer.id for peer in config.sync.peers])
    log = logs.setup(config.log_level, sys.stdout, metrics.log_messages.add)
    log.info(logs.STARTED, version=__version__, role="sidecar", service=config.service)
    log.info(logs.GUARANTEE, **check.guarantee(config, trust))

    observers: list[Callable[[Snapshot], None]] = []
    gate = Gate(lambda snapshot: _tell(observers, snapshot))
    key = _instance(config)
    boot = fresh_bytes(8).hex()
    origin = checkpoint.origin(trust.domain, f"{config.service}-{key.key_id[:16]}")
    journal = _journal(config)
    _recover(journal, lambda: journal.recover(key, origin, boot, origin, clock.now()), gate, log)
    later = asyncio.get_running_loop().call_soon
    recorder = Recorder(journal, boot, origin, gate.place, later)
    recorder.state("start", {"version": __version__, "trust": trust.sha256}, clock.now())
    sequencer = Sequencer(
        journal, key, origin, config.audit, clock=clock.now, place=gate.place, lift=gate.lift
    )
    metrics.audit = lambda: sequencer.gauges
    metrics.quorum_required.set(max(config.sync.quorum, trust.body.quorum.r))
    observer = Observer(metrics, log, clock.now)
    transitions = Transitions(recorder, observer)
    server = Server(config.proxy, gate, clock.now, recorder, observer)
    observers += [server.gate_changed, transitions.look]
    return Parts(
        config, trust, log, gate, journal, recorder, sequencer, metrics, observer, transitions,
        server,
    )  # fmt: skip


def _tell(observers: Sequence[Callable[[Snapshot], None]], snapshot: Snapshot) -> None:
    for observer in observers:
        observer(snapshot)


def _instance(config: SidecarConfig) -> FileSigner:
    """This instance's own key, made on the first start."""
    path = config.state_dir / INSTANCE_KEY
    if not path.exists():
        FileSigner(fresh_bytes(signer.SEED_BYTES)).save(path)
    return signer.load(path)


async def _serve(parts: Parts, stop: asyncio.Event) -> None:
    """Take requests until told to stop, then drain."""
    server, where, drain = parts.server, parts.config.proxy.inbound, parts.config.drain
    try:
        host, port = await server.start()
    except OSError as error:
        how = f"{why(error)}; change spec.listen.inbound or stop what listens there"
        raise StartError(f"inbound port: {where}: {how}") from None
    parts.log.info(logs.LISTENING, address=str(Address(host, port)))
    await stop.wait()
    parts.log.info(logs.DRAINING, delay_ms=drain.delay_ms, timeout_ms=drain.timeout_ms)
    await asyncio.sleep(drain.delay_ms / 1000)
    parts.gate.place(Hold(Reason.DRAINING, HoldKind.PASSING))
    server.stop_accepting()
    await server.wait_idle(drain.timeout_ms)
    await server.close()


def _journal(config: SidecarConfig) -> Journal:
    try:
        return Journal(config.audit.dir, config.audit.segment_bytes)
    except BlockingIOError:
        how = "another process writes it; each sidecar needs its own spec.audit.dir"
    except OSError as error:
        how = f"{why(error)}; check spec.audit.dir"
    raise StartError(f"audit log: {config.audit.dir}: {how}")


def _recover(journal: Journal, recover: Callable[[], object], gate: Gate, log: Log) -> None:
    """Check what the journal holds; what is wrong with it holds the gate."""
    try:
        recover()
    except (ProtocolError, OSError) as error:
        wrong = error.reason if isinstance(error, ProtocolError) else Reason.AUDIT_UNWRITABLE
        log.complain("audit log", journal.folder, error)
        gate.place(Hold(wrong, HoldKind.LATCHED))


def _driver(parts: Parts, peers: Mapping[PeerId, Peer]) -> Driver | None:
    """The loop around the follower; None when it must not go on from its marks."""
    trust, gate = parts.trust, parts.gate
    store = MarksStore(parts.config.state_dir)
    try:
        raw = store.load()
        stored = None if raw is None else marks.decode(raw, trust.domain)
        follower = Follower(trust, _setting(parts.config, trust), stored)
    except (OSError, ProtocolError) as error:
        parts.log.complain("marks", store.path, error)
        gate.place(Hold(Reason.STATE_CORRUPT, HoldKind.LATCHED))
        return None
    disowned = None if stored is None else marks.disowned(stored, trust)
    if disowned is not None:
        parts.log.complain("trust document", parts.config.trust_file, disowned)
        gate.place(Hold(disowned.reason, HoldKind.LATCHED))
        return None
    return Driver(
        follower, peers, store,
        clock=clock.now, publish=gate.publish, told=parts.transitions.told, draw=fresh_bytes,
        channel=layout.push_channel(trust.domain),
    )  # fmt: skip


def _setting(config: SidecarConfig, trust: Trust) -> Setting:
    """What the follower is told; of signed and local numbers the tighter one."""
    sync, limits = config.sync, trust.body.limits
    terms = Terms(
        min(sync.ttl_ms, limits.ttl_max_ms),
        max(sync.skew_ms, limits.skew_max_ms),
        max(sync.drift_ppm, limits.drift_ppm),
    )
    quorum = max(sync.quorum, trust.body.quorum.r)
    peers = tuple(PeerId(peer.id) for peer in sync.peers)
    return Setting(config.service, config.region, peers, quorum, terms, sync.poll_ms)
