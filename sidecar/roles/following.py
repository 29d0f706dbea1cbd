"""What makes a sidecar follow its peers: a driver around a follower that knows its marks."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession

from sidecar import __version__, clock, signer
from sidecar.config.sections import SidecarConfig
from sidecar.core import layout, marks
from sidecar.core.envelope import PublicKey
from sidecar.core.events import Standing, Told
from sidecar.core.follower import Follower, Setting
from sidecar.core.gate import Gate
from sidecar.core.lease import Terms
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.objects import report
from sidecar.core.objects.report import AuditHead
from sidecar.core.objects.trust import Trust
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.reporter import Identity
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.roles.heads import Heads
from sidecar.roles.opening import open_peers
from sidecar.roles.start import fresh_bytes
from sidecar.roles.witnessing import Witnessing
from sidecar.signer import FileSigner
from sidecar.sync.driver import Driver
from sidecar.sync.peer import Peer
from sidecar.sync.store import MarksStore
from sidecar.sync.witness import WitnessClient, open_session
from sidecar.telemetry import figures
from sidecar.telemetry.logs import Log
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.series import Counter

PART_S = 2.0  # for witnesses, when a sidecar ends


@dataclass(frozen=True, slots=True)
class Remembering:
    """Whoever remembers what the logs of this sidecar hold."""

    heads: Heads
    witnessing: Witnessing
    session: ClientSession

    async def recall(self) -> None:
        """Ask all of them."""
        await asyncio.gather(self.heads.recall(), self.witnessing.recall())

    async def run(self) -> None:
        """Tell all of them, until cancelled."""
        await asyncio.gather(self.heads.run(), self.witnessing.run())

    async def part(self) -> None:
        """Tell them once more, when the last checkpoints are written."""
        await asyncio.gather(self.heads.part(), self.witnessing.part(PART_S))

    async def close(self) -> None:
        """Let go of them."""
        self.heads.close()
        await self.session.close()


def open_driver(
    config: SidecarConfig,
    trust: Trust,
    peers: Mapping[PeerId, Peer],
    gate: Gate,
    log: Log,
    told: Callable[[Told], None],
    *,
    identity: Identity,
    standing: Callable[[], Standing],
) -> Driver | None:
    """The loop around the follower; None when it must not go on from its marks: the gate is held.

    Args:
        config: Of the sidecar.
        trust: The pinned document.
        peers: By id.
        gate: Gets each snapshot.
        log: Told why the marks cannot be used.
        told: Takes what people should know.
        identity: Who reports.
        standing: What other parts say about themselves, for reports.
    """
    store = MarksStore(config.state_dir)
    reason = Reason.STATE_CORRUPT
    try:
        raw = store.load()
        stored = None if raw is None else marks.decode(raw, trust.domain)
        in_force = _in_force(stored, trust)
        if isinstance(in_force, ProtocolError):
            reason = in_force.reason
            raise in_force
        follower = Follower(in_force, _setting(config, identity), stored)
    except (OSError, ProtocolError) as error:
        log.complain("marks", store.path, error)
        gate.place(Hold(reason, HoldKind.LATCHED))
        return None
    return Driver(
        follower, peers, store,
        clock=clock.now, publish=gate.publish, told=told, draw=fresh_bytes,
        channel=layout.push_channel(trust.domain), standing=standing,
    )  # fmt: skip


def open_remembering(
    config: SidecarConfig,
    trust: Trust,
    who: Identity,
    logs: Mapping[str, Path],
    gate: Gate,
    log: Log,
) -> Remembering:
    """Who remembers the heads of logs, by their names: every peer, and the witnesses."""
    public = PublicKey(bytes.fromhex(who.public))
    heads = Heads(
        logs, public, trust.domain, open_peers(config.sync.peers, config.sync.timeout_ms),
        place=gate.place, log=log, draw=fresh_bytes,
        period_s=config.audit.checkpoint_period_ms / 1000,
    )  # fmt: skip
    session = open_session()
    witnessing = Witnessing(
        logs, public, [WitnessClient(one.url, session) for one in config.audit.witnesses],
        trusted=lambda: gate.snapshot.cosigners, place=gate.place, log=log, clock=clock.now,
        period_s=min(1.0, config.audit.checkpoint_period_ms / 4000),
    )  # fmt: skip
    return Remembering(heads, witnessing, session)


async def follow(driver: Driver | None, others: Remembering) -> None:
    """Ask what others remember of the logs, then follow the peers, and keep all informed."""
    if driver is not None:
        driver.show()
    await others.recall()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(others.run())
        if driver is not None:
            tasks.create_task(driver.run())


def _in_force(stored: marks.Marks | None, pinned: Trust) -> Trust | ProtocolError:
    try:
        return marks.in_force(stored, pinned, clock.now().wall)
    except ProtocolError as error:
        return error


def _setting(config: SidecarConfig, identity: Identity) -> Setting:
    """What the follower is told; it tightens the local numbers by the signed ones itself."""
    sync = config.sync
    terms = Terms(sync.ttl_ms, sync.skew_ms, sync.drift_ppm, sync.freshness)
    peers = tuple(PeerId(peer.id) for peer in sync.peers)
    return Setting(
        config.service, config.region, peers, sync.quorum, terms, sync.poll_ms, sync.step_ms,
        config.integrity.max_age_ms, identity.instance, identity,
        parent_key=config.parent_key_file is not None,
    )  # fmt: skip


def identity(config: SidecarConfig, key: FileSigner) -> Identity:
    """Who this sidecar is in its reports."""
    return Identity(
        instance=report.instance_name(config.service, key.key_id),
        key_id=key.key_id,
        public=key.public.hex(),
        boot_id=fresh_bytes(16).hex(),
        service=config.service,
        region=config.region,
        build=__version__,
        seal=lambda payload_type, payload: signer.sign(payload_type, payload, key),
    )


def standing(metrics: Metrics, head: Checkpoint | None) -> Standing:
    """What other parts say about themselves in reports: requests finished, the log's head.

    Args:
        metrics: Count requests by result.
        head: Newest checkpoint of the log of this process: who reads the report remembers it.
    """
    whole = figures.together(metrics.requests, metrics.others())
    assert isinstance(whole, Counter), "as the one that was given"
    counters = {labels[0].replace("_", "-"): count for labels, count in whole.values.items()}
    if head is None:
        return Standing(counters)
    return Standing(counters, AuditHead(origin=head.origin, size=head.size, root=head.root.hex()))
