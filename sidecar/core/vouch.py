"""What a beat says: everything that could be withheld, at one instant.

Source: protocol b.1 (beat), b.10.
"""

from dataclasses import dataclass

from sidecar.core.envelope import KeyId, PublicKey
from sidecar.core.instant import WallMs
from sidecar.core.issued import Issued
from sidecar.core.log.merkle import EMPTY_ROOT
from sidecar.core.objects import beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import LogHead, Mark, Trust, TrustRef
from sidecar.core.quorum import PeerId


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


def says(trust: Trust, setting: Setting, issued: Issued, current: Epoch, at: WallMs) -> beat.Body:
    """The next beat of the stream.

    Args:
        trust: The trust document in force.
        setting: Whose stream.
        issued: Number, chain link and orders.
        current: The epoch that is vouched for.
        at: Wall clock, sampled after all reads.
    """
    # Only global halts stop everything. The state repeats them, so that a sidecar which cannot read
    # the order itself stops all the same.
    stop = any(order.says.scope.kind == "global" for order in issued.halts.active)
    empty = EMPTY_ROOT.hex()  # neither reports nor the governance log are collected yet
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
        fleet=beat.Fleet(root=empty, size=0, expected=0, diverged=0),
        gov_log=LogHead(origin=f"epochgate/{trust.domain}/governance", size=0, root=empty),
    )
