"""The one immutable value that the hot path reads.

Everything slow (peers, signatures, policy, halts) ends in building the next snapshot; the gate only
compares and matches. A new process holds `CLOSED`: no lease, no routes, a policy that denies.

The state of the sidecar is computed from lease and holds at the moment somebody asks. Nothing
stores it, so nothing can disagree with the facts.

A hold is a reason for which the gate permits nothing, with a way of ending:

* passing: ends by itself once its cause is gone (contained, draining);
* sticky: ends with a threshold-signed clear of a halt (halted);
* latched: ends with a threshold-signed clear that names the evidence, or, for a local cause such
  as a failed disk, with a restart that recovers cleanly (quarantined).

Source: protocol b.4, b.9.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, IntEnum

from sidecar.core import bounds
from sidecar.core.bounds import Lags
from sidecar.core.head import RequestHead
from sidecar.core.instant import Now
from sidecar.core.lease import Lease
from sidecar.core.log.cosignature import NO_WITNESSES, Witnesses
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS, Halts
from sidecar.core.objects.trust import Trust
from sidecar.core.parent import Demand, together
from sidecar.core.policy import DENY_ALL, Policy
from sidecar.core.profile import BASELINE, Profile
from sidecar.core.reason import Reason
from sidecar.core.routes import NO_ROUTES, Routes
from sidecar.core.scoped import Scoped


class HoldKind(IntEnum):
    """How a hold ends; the greater, the harder."""

    PASSING = 1
    STICKY = 2
    LATCHED = 3


class State(Enum):
    """What operators see. Only RUNNING permits."""

    STARTING = "starting"
    RUNNING = "running"
    CONTAINED = "contained"
    HALTED = "halted"
    QUARANTINED = "quarantined"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Hold:
    """A reason for which nothing is permitted.

    Attributes:
        reason: Why.
        kind: How it ends.
        evidence: Id of what proves it (a halt id, or the first 16 bytes of a digest, hex), which a
            clear has to name; empty for passing holds.
    """

    reason: Reason
    kind: HoldKind
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a decision depends on.

    Attributes:
        lease: The right to serve, or None.
        absent: Why there is no lease; what a denial says while `lease` is None.
        epoch: The verified epoch, kept when the lease is gone.
        trust_version: Version of the trust document in force.
        witnesses: Who may cosign heads of the audit log under it, and how many have to.
        policy: Compiled rules of the epoch.
        profile: What the epoch demands beyond them.
        routes: Compiled route table of the epoch.
        halts: Every order known.
        scoped: What some requests are denied for, by orders and epoch; None: nothing.
        holds: In force, hardest first.
        faults: What was wrong in the latest round, sorted by code: the causes behind a denial.
        unmet: Why the latest round that ended renewed nothing, sorted by code; empty when it could.
    """

    lease: Lease | None = None
    absent: Reason = Reason.STARTING
    epoch: Epoch | None = None
    trust_version: int = 0
    witnesses: Witnesses = NO_WITNESSES
    policy: Policy = DENY_ALL
    profile: Profile = BASELINE
    routes: Routes = NO_ROUTES
    halts: Halts = NO_HALTS
    scoped: Scoped | None = None
    holds: tuple[Hold, ...] = ()
    faults: tuple[Reason, ...] = ()
    unmet: tuple[Reason, ...] = ()

    @property
    def closed(self) -> Reason | None:
        """Why nothing is permitted whatever the clocks say, or None."""
        if self.holds:
            return self.holds[0].reason
        return self.absent if self.lease is None else None

    @property
    def parent_required(self) -> bool:
        """Whether the profile wants a parent decision for each request."""
        return self.profile.parent_required

    @property
    def parent(self) -> Demand | None:
        """What is asked of the decisions that requests descend from; None: nothing."""
        return together(self.policy.parent, by_profile=self.parent_required)

    def parent_of(self, head: RequestHead) -> str:
        """Id of the decision that a request descends from; empty: none, or nobody asks for it."""
        return "" if self.parent is None else head.parent.decision_id

    @property
    def cosigners(self) -> Witnesses:
        """The witnesses, of whom the profile may want more than the trust document."""
        return bounds.witnesses(self.witnesses, self.profile)

    @property
    def lags(self) -> Lags:
        """How far the audit log may be behind."""
        return bounds.lags(self.epoch, self.profile, self.policy)

    def under(self, trust: Trust) -> "Snapshot":
        """This snapshot under a trust document."""
        return replace(self, trust_version=trust.version, witnesses=trust.witnesses)

    def held(self, *holds: Hold) -> "Snapshot":
        """This snapshot with more holds, hardest first."""
        return replace(self, holds=hardest_first((*self.holds, *holds)))

    def reasons(self, now: Now) -> tuple[Reason, ...]:
        """Everything that keeps this sidecar from serving, or from going on to; sorted by code."""
        found = {hold.reason for hold in self.holds} | set(self.unmet)
        if self.lease is None:
            found.add(self.absent)
        elif not self.lease.live(now):
            found.add(Reason.LEASE_EXPIRED)
        return tuple(sorted(found, key=lambda reason: reason.code))

    def state(self, now: Now) -> State:
        """What this snapshot means at an instant."""
        if self.holds:
            hold = self.holds[0]
            if hold.kind is HoldKind.LATCHED:
                return State.QUARANTINED
            if hold.kind is HoldKind.STICKY:
                return State.HALTED
            return State.DRAINING if hold.reason is Reason.DRAINING else State.CONTAINED
        if self.lease is None:
            return State.STARTING if self.absent is Reason.STARTING else State.CONTAINED
        return State.RUNNING if self.lease.live(now) else State.CONTAINED


def hardest_first(holds: Iterable[Hold]) -> tuple[Hold, ...]:
    """Holds without repeats, the hardest to end first: its reason is what a denial says."""
    return tuple(sorted(dict.fromkeys(holds), key=_rank))


def _rank(hold: Hold) -> tuple[int, str, str]:
    return (-hold.kind, hold.reason.code, hold.evidence)


CLOSED = Snapshot()
