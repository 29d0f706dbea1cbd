"""The gate: may this request pass, now?

Rules:

* `decide` is a pure function over one snapshot: no await, no lock, no I/O, no exception.
* Only this file makes a `Permit`, and the upstream cannot be reached without one.
* The order is fixed: exempt, holds, lease, route, scoped orders, parent, policy. So one input has
  one reason.
* An exemption is another type than a permit: it can never be mistaken for a lease.
* Under an epoch that says `observe`, or whose policy does, what the policy does not permit is let
  through, and the permit says so. Only the signed epoch behind the lease, or the policy that this
  epoch names, can say it, and it concerns the policy alone: what we failed to judge is denied.
* A running exchange is judged anew when policy or routes are other objects than before, and by no
  passing of time: an expression about an hour or an age is asked when a request begins, and then
  only under another policy. What bounds a running exchange is its lease.
* Every request, and every chunk of a running exchange, compares *both* clocks with their deadlines.
  A timer that fires is never the reason why something stops; it only makes somebody look again.

Source: protocol b.4; hardening E-G1, E-G2, E-G6.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sidecar.core import bounds
from sidecar.core.facts import Facts
from sidecar.core.head import RequestHead, disputed
from sidecar.core.instant import NS_PER_MS, BootNs, Now
from sidecar.core.policy import Verdict
from sidecar.core.reason import Reason
from sidecar.core.routes import EXEMPT_METHODS, Route, Upstream
from sidecar.core.rule import Rule
from sidecar.core.snapshot import CLOSED, Hold, HoldKind, Snapshot


@dataclass(slots=True)  # not frozen: that triples the cost of making one per request
class Permit:
    """This request may be forwarded, now, under this snapshot.

    Attributes:
        snapshot: What was decided on; its lease is not None.
        route: Where it goes.
        rule: The rule that permits it; with `observed` the deny rule that matched, if a rule did.
        observed: What it would be denied for, were the policy enforced; None: it is permitted.
        verdict: What a policy with expressions says beyond that; None: it has none.
        token: The header line that says so to the gates that are called next; made when it is
            forwarded.
    """

    snapshot: Snapshot
    route: Route
    rule: Rule | None
    observed: Reason | None = None
    verdict: Verdict | None = None
    token: bytes = b""


@dataclass(frozen=True, slots=True)
class Exempt:
    """A health or metrics target: forwarded whatever the gate says."""

    upstream: Upstream


@dataclass(slots=True)
class Denial:
    """This request may not pass.

    Attributes:
        reason: Why.
        snapshot: What was decided on.
        rule: The rule that denies, or that asks for what is not so, if there is one.
        verdict: What a policy with expressions says beyond that; None: it has none, or it was not
            asked.
    """

    reason: Reason
    snapshot: Snapshot
    rule: Rule | None = None
    verdict: Verdict | None = None

    @property
    def message(self) -> str:
        """What the policy has the client told; empty: nothing."""
        return "" if self.verdict is None else self.verdict.message


Decision = Permit | Exempt | Denial


def decide(snapshot: Snapshot, head: RequestHead, now: Now) -> Decision:
    """Judge one request.

    Args:
        snapshot: The gate's current snapshot.
        head: The parsed request head.
        now: Both clocks, read for this call.
    """
    if head.method in EXEMPT_METHODS:
        upstream = snapshot.routes.exempt.get(head.target)
        if upstream is not None:
            return Exempt(upstream)
    closed = lapsed(snapshot, now)
    if closed is not None:
        return Denial(closed, snapshot)
    route = snapshot.routes.match(head.path)
    if route is None:
        return Denial(Reason.ROUTE_UNKNOWN, snapshot)
    scoped = snapshot.scoped
    if scoped is not None:
        forbidden = scoped.forbids(snapshot.routes, route.name, head)
        if forbidden is not None:
            return Denial(forbidden, snapshot)
    policy = snapshot.policy
    if head.model or snapshot.parent_required or not policy.plain:
        return _judged(snapshot, route, head, now)
    rule = policy.match(head)
    if rule is not None and rule.permits:
        return Permit(snapshot, route, rule)
    return _unpermitted(snapshot, route, rule)


def _judged(snapshot: Snapshot, route: Route, head: RequestHead, now: Now) -> Permit | Denial:
    """What is said about a request that takes a route, where more than rules is asked.

    Apart, so that the others pay nothing for it.
    """
    orphan = _without_parent(snapshot, route, head)
    if orphan is not None:
        return orphan
    if head.model and disputed(head, snapshot.routes.model_header):
        return _unpermitted(snapshot, route, None)
    if snapshot.policy.asks:
        return _asked(snapshot, route, head, now)
    rule = snapshot.policy.match(head)
    if rule is not None and rule.permits:
        return Permit(snapshot, route, rule)
    return _unpermitted(snapshot, route, rule)


def _without_parent(snapshot: Snapshot, route: Route, head: RequestHead) -> Permit | Denial | None:
    """For a request whose parent decision is not good enough; None: it is, or nobody asks.

    Observed like the rest of a policy; what a profile asks for, or a lack of a key, is not.
    """
    demand = snapshot.parent
    wrong = None if demand is None else demand.refuses(head.parent)
    if wrong is None:
        return None
    of_policy = wrong is Reason.PARENT_DENIED and not snapshot.parent_required
    if of_policy and _observing(snapshot):
        return Permit(snapshot, route, None, wrong)
    return Denial(wrong, snapshot)


def _unpermitted(snapshot: Snapshot, route: Route, rule: Rule | None) -> Permit | Denial:
    """A request that no rule permits, or that one denies; it passes where that is only observed."""
    if _observing(snapshot):
        return Permit(snapshot, route, rule, Reason.POLICY_DENY)
    return Denial(Reason.POLICY_DENY, snapshot, rule)


def _asked(snapshot: Snapshot, route: Route, head: RequestHead, now: Now) -> Permit | Denial:
    """What a policy with expressions says about a request that takes a route."""
    policy = snapshot.policy
    known = Facts(
        head, snapshot.routes, snapshot.lease, snapshot.epoch, policy.here, now,
        parent=snapshot.parent_of(head),
    )  # fmt: skip
    found = policy.judge(known)
    reason = found.reason
    if reason is None:
        return Permit(snapshot, route, found.rule, None, found)
    if reason is not Reason.INTERNAL_ERROR and _observing(snapshot):
        return Permit(snapshot, route, found.rule, reason, found)
    return Denial(reason, snapshot, found.rule, found)


def _observing(snapshot: Snapshot) -> bool:
    """Whether the policy is only observed: the epoch that the lease is for, or its policy, says so.

    The policy has to be the one that this epoch names, as the epoch has to be that of the lease.
    """
    lease, epoch, policy = snapshot.lease, snapshot.epoch, snapshot.policy
    if lease is None or epoch is None or lease.epoch_sha256 != epoch.sha256:
        return False
    if epoch.says.enforcement == "observe":
        return True
    return policy.observes and policy.sha256 == epoch.says.policy.sha256


def lapsed(snapshot: Snapshot, now: Now) -> Reason | None:
    """Why nothing may pass under this snapshot at this instant, or None."""
    lease = snapshot.lease
    if snapshot.holds or lease is None:
        return snapshot.closed
    if now.boot >= lease.deadline or now.wall >= lease.wall_deadline:
        return Reason.LEASE_EXPIRED
    return None


def alike(one: Snapshot, other: Snapshot) -> bool:
    """Whether running exchanges are judged alike under both, but for their leases and holds."""
    same = _same_rules(one, other) and one.scoped is other.scoped
    return same and _observing(one) == _observing(other)


def _same_rules(one: Snapshot, other: Snapshot) -> bool:
    same = one.policy is other.policy and one.routes is other.routes
    return same and one.parent_required == other.parent_required


def recheck(snapshot: Snapshot, permit: Permit, head: RequestHead, now: Now) -> Reason | None:
    """Why a running exchange must be cut, or None.

    Asked before each relayed chunk. As long as policy and routes are the very objects that the
    permit was made under, only lease, holds and scoped orders can have changed.

    Args:
        snapshot: The gate's current snapshot, not the permit's.
        permit: What the exchange started with.
        head: Its request head.
        now: Both clocks, read for this call.
    """
    if snapshot.holds:
        # Draining ends new work only: what runs may finish.
        holds = tuple(hold for hold in snapshot.holds if hold.reason is not Reason.DRAINING)
        snapshot = replace(snapshot, holds=holds)
    old = permit.snapshot
    if _same_rules(snapshot, old) and (permit.observed is None or _observing(snapshot)):
        closed, scoped = lapsed(snapshot, now), snapshot.scoped
        if scoped is None or scoped is old.scoped or snapshot.holds:
            return closed
        # Before the lapse of a lease, which might be drained: a halt must not be.
        return scoped.forbids(snapshot.routes, permit.route.name, head) or closed
    decision = decide(snapshot, head, now)
    match decision:
        case Permit(route=route) if route.upstream == permit.route.upstream:
            return None
        case Permit() | Exempt():
            return Reason.ROUTE_UNKNOWN
        case Denial(reason=reason):
            return reason


def drained_at(snapshot: Snapshot, permit: Permit, reason: Reason, now: Now) -> BootNs | None:
    """Until when a running exchange may go on although `recheck` said `reason`; None: cut it.

    A drain bridges the lapse of a lease and nothing else: a hold, a halt, another policy or other
    routes end it at once. What was only observed is not drained: no rule permits it.

    Args:
        snapshot: The gate's current snapshot.
        permit: What the exchange started with; its rule says how long, a profile how long at most.
        reason: What `recheck` answered.
        now: Both clocks, read for this call.

    Returns:
        Boot time. Counted from the deadline of the lease where that is known, so that a process
        which was frozen does not begin to drain when it wakes up.
    """
    rule, old = permit.rule, permit.snapshot
    if rule is None or reason is not Reason.LEASE_EXPIRED:
        return None
    if permit.observed is not None:
        return None
    if not _same_rules(snapshot, old):
        return None
    drain_ms = bounds.drain_ms(rule.drain_ms, old.profile, snapshot.profile)
    if not drain_ms:
        return None
    lease = snapshot.lease or old.lease
    assert lease is not None
    overdue_ns = max(now.boot - lease.deadline, (now.wall - lease.wall_deadline) * NS_PER_MS, 0)
    until = BootNs(now.boot - overdue_ns + drain_ms * NS_PER_MS)
    return until if now.boot < until else None


class Gate:
    """The one mutable reference in the process: the snapshot that decisions read.

    The follower publishes; local parts (audit, drain) add holds of their own. Whatever arrives in
    which order, the effective snapshot carries both.

    Args:
        changed: Called with the new effective snapshot after every change, so that running
            exchanges look again at once instead of at their next chunk.
    """

    __slots__ = ("_changed", "_local", "_published", "snapshot")

    def __init__(self, changed: Callable[[Snapshot], None] | None = None) -> None:
        self.snapshot = CLOSED
        self._published = CLOSED
        self._local: dict[tuple[str, Reason], Hold] = {}
        self._changed = changed

    def publish(self, snapshot: Snapshot) -> None:
        """Replace what the follower says. Local holds stay."""
        self._published = snapshot
        self._refresh()

    def place(self, hold: Hold, owner: str = "") -> None:
        """Add a local hold; placing it again, or a softer one for its reason, changes nothing.

        Args:
            hold: Why nothing is permitted.
            owner: Which part of the process says so, where several may for the same reason: each
                holds for itself, and the gate stays held until the last of them has lifted.
        """
        known = self._local.get((owner, hold.reason))
        if known is None or (hold != known and hold.kind >= known.kind):
            self._local[owner, hold.reason] = hold
            self._refresh()

    def lift(self, reason: Reason, owner: str = "") -> None:
        """Remove an owner's passing hold. Others end only with the process or a clear."""
        hold = self._local.get((owner, reason))
        if hold is not None and hold.kind is HoldKind.PASSING:
            del self._local[owner, reason]
            self._refresh()

    def _refresh(self) -> None:
        self.snapshot = self._published.held(*self._local.values())
        if self._changed is not None:
            self._changed(self.snapshot)
