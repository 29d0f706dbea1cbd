"""What a beat says: everything that could be withheld, at one instant. And when there is none.

Source: protocol b.1 (beat), b.10, b.11.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.core.envelope import KeyId, PublicKey
from sidecar.core.instant import WallMs
from sidecar.core.issued import SEQ_MAX, Issued
from sidecar.core.issuing import Fact
from sidecar.core.log.merkle import EMPTY_ROOT
from sidecar.core.objects import beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import LogHead, Mark, Role, Trust, TrustRef
from sidecar.core.quorum import PeerId

EXPIRING_MS = 86_400_000  # a key is said to end soon within this, or a tenth of its life if shorter
LAST_BEATS = 5  # a key that ends within so many beats ends now: clocks differ


@dataclass(frozen=True, slots=True)
class Setting:
    """What an issuer is told once.

    Attributes:
        key_id: Of this replica's beat key.
        public: The same key, 32 bytes.
        peers: Whom to read and write.
        ttl_ms: Life of a beat; the signed ceiling shortens it.
        interval_ms: From the start of one beat to the start of the next.
    """

    key_id: KeyId
    public: PublicKey
    peers: tuple[PeerId, ...]
    ttl_ms: int
    interval_ms: int


def says(
    trust: Trust,
    setting: Setting,
    issued: Issued,
    current: Epoch,
    fleet: beat.Fleet,
    at: WallMs,
    *,
    head: LogHead | None = None,
) -> beat.Body:
    """The next beat of the stream.

    Args:
        trust: The trust document in force.
        setting: Whose stream.
        issued: Number, chain link and orders.
        current: The epoch that is vouched for.
        fleet: Whose reports it covers.
        at: Wall clock, sampled after the reports were read and before orders and epochs were.
        head: Of the governance log; None: none is kept.
    """
    # Only global halts stop everything. The state repeats them, so that a sidecar which cannot read
    # the order itself stops all the same.
    stop = any(order.says.scope.kind == "global" for order in issued.halts.active)
    return beat.Body(
        type=beat.TYPE,
        domain=trust.domain,
        issuer=setting.key_id,
        seq=issued.used + 1,
        prev_sha256=issued.prev_sha256,
        issued_at=at,
        ttl_ms=min(setting.ttl_ms, trust.body.limits.ttl_max_ms),
        interval_ms=setting.interval_ms,
        trust=TrustRef(version=trust.version, sha256=trust.sha256),
        epoch=Mark(seq=current.seq, sha256=current.sha256),
        halts=Mark(seq=issued.halts.seq, sha256=issued.halts.sha256),
        state="halt" if stop else "run",
        fleet=fleet,
        gov_log=head
        or LogHead(origin=f"epochgate/{trust.domain}/governance", size=0, root=EMPTY_ROOT.hex()),
    )


def refusals(
    trust: Trust, setting: Setting, issued: Issued, answered: int, at: WallMs
) -> Mapping[Fact, str]:
    """Why there must be no beat now: fact -> detail, empty where it is not so.

    Args:
        trust: The trust document in force.
        setting: Whose stream.
        issued: What is vouched for.
        answered: How many peers answered this look.
        at: Wall clock.
    """
    held = setting.key_id in trust.keys[Role.BEAT]
    key, need = setting.key_id[:16], trust.body.quorum.r
    ends = _ends(trust, setting) if held else None
    lapsed = ends is not None and at + LAST_BEATS * setting.interval_ms >= ends
    few = answered < need
    return {
        Fact.KEY_RETIRED: "" if held else f"trust version {trust.version} retired key {key}",
        Fact.KEY_EXPIRED: f"key {key} ends at {ends} ms" if lapsed else "",
        Fact.TOO_FEW_PEERS: f"{answered} of {need} peers answered" if few else "",
        # Too few answers are no reason to say that there is no epoch.
        Fact.NO_EPOCH: (
            "no peer holds an epoch to vouch for" if issued.epoch is None and not few else ""
        ),
        Fact.STREAM_FULL: (
            f"number {issued.used} is used; replace the key" if issued.used >= SEQ_MAX else ""
        ),
    }


def expiring(trust: Trust, setting: Setting, at: WallMs) -> str:
    """That the own key ends soon, for people; empty when it does not."""
    ends = _ends(trust, setting)
    if ends is None or at < ends - min(EXPIRING_MS, (ends - trust.body.issued_at) // 10):
        return ""
    return f"key {setting.key_id[:16]} ends at {ends} ms; a rotation has to bring the next one"


def _ends(trust: Trust, setting: Setting) -> int | None:
    described = trust.body.keys.get(setting.key_id)
    return None if described is None else described.not_after
