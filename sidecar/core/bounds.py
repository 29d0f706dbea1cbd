"""What holds when configuration, trust document, epoch, profile and policy each say something.

Of every bound the tighter one, and nothing else: a profile or the budgets of a policy are signed by
the epoch, and none of them can loosen what another says.

    local   profile   together
    clock   clock     clock
    nonce   nonce     nonce
    clock   nonce     both: one anchor more is never weaker than the one that was asked for

Source: protocol b.6, b.15 section 10.
"""

from dataclasses import dataclass, replace

from msgspec import UNSET, UnsetType

from sidecar.core.lease import Freshness, Terms
from sidecar.core.log.cosignature import Witnesses
from sidecar.core.objects.epoch import Epoch
from sidecar.core.policy import Policy
from sidecar.core.profile import Profile
from sidecar.core.recording import Recording


@dataclass(frozen=True, slots=True)
class Lags:
    """How far the audit log may be behind; milliseconds, 0: any distance.

    Attributes:
        unsigned_ms: How long a record may go without a signed checkpoint over it.
        unacked_ms: Without one that enough witnesses have cosigned.
    """

    unsigned_ms: int = 0
    unacked_ms: int = 0


def terms(base: Terms, profile: Profile, policy: Policy) -> Terms:
    """What a lease has to keep."""
    budgets = policy.budgets
    age_ms = budgets.max_age_ms if budgets is not None else UNSET
    return replace(
        base,
        ttl_ms=_least(base.ttl_ms, profile.ttl_ms, age_ms),
        skew_ms=max(base.skew_ms, profile.skew_ms),
        freshness=_freshness(base.freshness, profile.freshness),
    )


def quorum(base: int, profile: Profile, policy: Policy) -> int:
    """How many peers have to agree."""
    least = policy.budgets.min_quorum if policy.budgets is not None else UNSET
    return max(base, profile.read, least if isinstance(least, int) else 0)


def poll_ms(local_ms: int, profile: Profile) -> int:
    """How long a sidecar waits from round to round."""
    return _least(local_ms, profile.poll_ms)


def lags(epoch: Epoch | None, profile: Profile, policy: Policy) -> Lags:
    """How far the audit log may be behind."""
    said = epoch.says.audit if epoch is not None else None
    budget_ms = policy.budgets.max_audit_lag_ms if policy.budgets is not None else UNSET
    return Lags(
        _limit(said.max_checkpoint_age_ms if said else 0, profile.checkpoint_age_ms, budget_ms),
        _limit(said.max_unacked_ms if said else 0, profile.unacked_ms),
    )


def witnesses(known: Witnesses, profile: Profile) -> Witnesses:
    """Who may cosign the audit log, and how many have to."""
    if profile.witnesses <= known.threshold:
        return known
    return replace(known, threshold=profile.witnesses)


def recording(said: Recording, profile: Profile) -> Recording:
    """What records say, and how sure they are."""
    if not profile.strict and not profile.pathless:
        return said
    return replace(
        said, strict=said.strict or profile.strict, paths=said.paths and not profile.pathless
    )


def drain_ms(rule_ms: int, *profiles: Profile) -> int:
    """How long a running exchange may outlive its lease; 0: not at all."""
    return _least(rule_ms, *(profile.drain_max_ms for profile in profiles))


def _freshness(base: Freshness, wanted: Freshness | None) -> Freshness:
    return base if wanted in (None, base) else "both"


def _least(base: int, *others: int | UnsetType | None) -> int:
    return min((base, *(other for other in others if isinstance(other, int))))


def _limit(*limits: int | UnsetType) -> int:
    """The least of what is limited at all; 0: nothing is."""
    return min((limit for limit in limits if isinstance(limit, int) and limit), default=0)
