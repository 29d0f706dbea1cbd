"""What makes a sidecar follow its peers: a driver around a follower that knows its marks."""

from collections.abc import Callable, Mapping

from sidecar import clock
from sidecar.config.sections import SidecarConfig
from sidecar.core import layout, marks
from sidecar.core.events import Conflict, RoundEnded
from sidecar.core.follower import Follower, Setting
from sidecar.core.gate import Gate
from sidecar.core.lease import Terms
from sidecar.core.objects.trust import Trust
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.roles.start import fresh_bytes
from sidecar.sync.driver import Driver
from sidecar.sync.peer import Peer
from sidecar.sync.store import MarksStore
from sidecar.telemetry.logs import Log


def open_driver(
    config: SidecarConfig,
    trust: Trust,
    peers: Mapping[PeerId, Peer],
    gate: Gate,
    log: Log,
    told: Callable[[RoundEnded | Conflict], None],
) -> Driver | None:
    """The loop around the follower; None when it must not go on from its marks: the gate is held.

    Args:
        config: Of the sidecar.
        trust: The pinned document.
        peers: By id.
        gate: Gets each snapshot.
        log: Told why the marks cannot be used.
        told: Takes what people should know.
    """
    store = MarksStore(config.state_dir)
    try:
        raw = store.load()
        stored = None if raw is None else marks.decode(raw, trust.domain)
        follower = Follower(trust, _setting(config, trust), stored)
    except (OSError, ProtocolError) as error:
        log.complain("marks", store.path, error)
        gate.place(Hold(Reason.STATE_CORRUPT, HoldKind.LATCHED))
        return None
    disowned = None if stored is None else marks.disowned(stored, trust)
    if disowned is not None:
        log.complain("trust document", config.trust_file, disowned)
        gate.place(Hold(disowned.reason, HoldKind.LATCHED))
        return None
    return Driver(
        follower, peers, store,
        clock=clock.now, publish=gate.publish, told=told, draw=fresh_bytes,
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
    return Setting(
        config.service, config.region, peers, quorum, terms, sync.poll_ms,
        integrity_max_age_ms=config.integrity.max_age_ms,
    )  # fmt: skip
