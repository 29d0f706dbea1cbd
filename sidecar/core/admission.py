"""What an epoch demands of a sidecar, and whether it is met.

Rules:

* Every demand that an epoch can state is judged here, where it can be measured, or makes the epoch
  inadmissible (EG205). None is ignored.
* Demands about reports are judged where a lease would be granted. A running lease is not taken away
  for them: it lapses within ttl.
* While a fleet moves from one epoch to the next nearly all of it differs. So divergence counts only
  once this sidecar itself has held the epoch for a while.

Source: protocol b.3 step 6, b.8 (validations 3, 5 and 8).
"""

from dataclasses import dataclass

from msgspec import UNSET

from sidecar.core import bounds
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.objects import epoch
from sidecar.core.objects.beat import Fleet
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.parent import Demand
from sidecar.core.policy import Policy
from sidecar.core.profile import Profile
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.reporter import Reporter
from sidecar.core.setting import Setting


@dataclass(frozen=True, slots=True)
class Telling:
    """How the reports of this sidecar fare.

    Attributes:
        reporter: Who makes them, or None.
        took: Peers that took the latest.
        need: How many a write needs.
    """

    reporter: Reporter | None
    took: int
    need: int


def of_scope(found: Epoch, setting: Setting, now: Now) -> None:
    """Whether the epoch is for this sidecar, and for this time.

    Raises:
        ProtocolError: why not.
    """
    wrong = epoch.inadmissible(found, setting.service, setting.region, now.wall)
    if wrong is not None:
        raise ProtocolError(wrong, "epoch does not admit this sidecar now")
    roster, identity = found.says.scope.instances, setting.identity
    if roster and (identity is None or identity.key_id not in roster):
        raise ProtocolError(Reason.SERVICE_NOT_AUTHORIZED, "the roster does not list this instance")


def of_policy(policy: Policy, setting: Setting) -> None:
    """Whether the policy wants to be used here.

    Raises:
        ProtocolError: REGION_NOT_AUTHORIZED.
    """
    regions = policy.budgets.regions if policy.budgets is not None else UNSET
    if isinstance(regions, tuple) and setting.region not in regions:
        detail = f"the policy is for {', '.join(regions)}"
        raise ProtocolError(Reason.REGION_NOT_AUTHORIZED, detail)


def of_peers(profile: Profile, policy: Policy, trust: Trust, known: int) -> None:
    """Whether there are as many peers as the profile and the policy ask for.

    Args:
        profile: Of the epoch.
        policy: Likewise.
        trust: The document in force; says how many there are.
        known: How many are configured here.

    Raises:
        ProtocolError: PROFILE_UNSUPPORTED.
    """
    have = min(known, trust.body.quorum.n)
    need = max(profile.peers, profile.write, bounds.quorum(0, profile, policy))
    if have < need:
        detail = f"profile and policy ask for {need} peers, there are {have}"
        raise ProtocolError(Reason.PROFILE_UNSUPPORTED, detail)


def of_audit(found: Epoch, profile: Profile, trust: Trust, now: Now) -> None:
    """Whether there can be as many witnesses as the epoch or its profile asks for.

    How far the log lags behind is judged where it is written: `audit/lag.py`.

    Raises:
        ProtocolError: PROFILE_UNSUPPORTED.
    """
    if not found.says.audit.max_unacked_ms and not profile.unacked_ms:
        return
    have = len(trust.usable(Role.WITNESS, now.wall))
    need = max(trust.role(Role.WITNESS).threshold, profile.witnesses)
    if have < need:
        detail = f"asks for {need} witnesses of the audit log, the trust document has {have}"
        raise ProtocolError(Reason.PROFILE_UNSUPPORTED, detail)


def of_parent(demand: Demand | None, setting: Setting) -> None:
    """Whether parent decisions can be told and believed here, where policy or profile ask for them.

    Raises:
        ProtocolError: PROFILE_UNSUPPORTED.
    """
    if demand is not None and not setting.parent_key:
        detail = "asks for parent decisions, this sidecar has no key for them"
        raise ProtocolError(Reason.PROFILE_UNSUPPORTED, detail)


def of_reports(found: Epoch, telling: Telling, now: Now) -> None:
    """Whether the authority has what this sidecar reports.

    Raises:
        ProtocolError: TELEMETRY_BACKPRESSURE or TELEMETRY_UNACKED.
    """
    limit_ms = found.says.telemetry.max_unacked_ms
    if not limit_ms:
        return
    if telling.took < telling.need:
        detail = f"{telling.took} of {telling.need} peers took the report"
        raise ProtocolError(Reason.TELEMETRY_BACKPRESSURE, detail)
    unacked_ms = None if telling.reporter is None else telling.reporter.unacked_ms(now)
    if unacked_ms is None or unacked_ms > limit_ms:
        raise ProtocolError(Reason.TELEMETRY_UNACKED, f"{unacked_ms} ms, limit {limit_ms}")


def of_fleet(found: Epoch, fleet: Fleet, held_since: Now | None, settle_ms: int, now: Now) -> None:
    """Whether the fleet is of one state.

    Args:
        found: The epoch.
        fleet: What the newest beat says of it.
        held_since: When this process first leaned on the epoch, or None.
        settle_ms: How long after that others may still differ.
        now: Both clocks.

    Raises:
        ProtocolError: FLEET_DIVERGENCE.
    """
    limit = found.says.telemetry.max_diverged
    if limit is None or held_since is None:
        return
    settled = now.boot - held_since.boot > settle_ms * NS_PER_MS
    missing = max(0, fleet.expected - fleet.size)
    if settled and fleet.diverged + missing > limit:
        detail = f"{fleet.diverged} differ and {missing} are missing, limit {limit}"
        raise ProtocolError(Reason.FLEET_DIVERGENCE, detail)
