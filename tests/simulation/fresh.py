"""Rules of freshness, of steps of the clock, and of orders that stop a part.

N1 a nonce's deadlines hold in true time, whatever the wall clocks do; N2 the report is real; I20 a
step of the clock ends what leaned on it; W who is named by an order is stopped, and nobody else.
"""

from sidecar.core.gate import Decision, Denial, Permit
from sidecar.core.head import RequestHead
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.lease import Lease
from sidecar.core.objects.halt import Order
from sidecar.core.reason import Reason
from tests.simulation.look import Look, violated
from tests.simulation.seen import Seen
from tests.simulation.truth import WHOLE, Made

TICK_MS = 100  # from one look at the clocks to the next, by design
STEP_MS = 250  # how far they may part in between: what sidecars here are told


def n2_a_report_of_ours_is_behind_it(look: Look, lease: Lease) -> None:
    """N2: the beat of a nonce lease covers a report that this very process made before it."""
    if look.scenario.freshness == "clock":
        return
    made = look.report_behind(lease)
    if made is None:
        violated("N2", f"{look.name} leans on a beat that covers no report of this process")
    n1_deadlines_hold_in_true_time(look, lease, made)


def n1_deadlines_hold_in_true_time(look: Look, lease: Lease, made: Made) -> None:
    """N1: neither deadline is later than signing + ttl in true time.

    The boot deadline always, unless the machine stood still with its clocks; the wall deadline
    unless somebody has set the clock since the report, or beats have proved it wrong before.
    """
    clocks = look.clocks
    set_ns = clocks.set_ns if look.wall_sound else look.true_ns
    end_ns = look.truth.beats[lease.beat.sha256].signed_ns + look.scenario.ttl_ms * NS_PER_MS
    for clock, there_ns, disturbed_ns in (
        ("boot", clocks.true_of_boot(lease.deadline), clocks.stood_still_ns),
        ("wall", clocks.true_of_wall(lease.wall_deadline), set_ns),
    ):
        if disturbed_ns < made.true_ns and there_ns > end_ns:
            late_ms = (there_ns - end_ns) / NS_PER_MS
            violated("N1", f"{look.name}: {clock} deadline {late_ms:.6f} ms after signing + ttl")


def ticked(seen: Seen, now: Now, true_ns: int, *, nonce: bool, ttl_ms: int) -> None:
    """A tick is about to be handled: reckon once more whether the clocks parted since the last."""
    before, seen.ticked = seen.ticked, now
    if before is None:
        return
    boot_ms = (now.boot - before.boot) / NS_PER_MS
    apart_ms = abs(now.wall - before.wall - boot_ms)
    if boot_ms > TICK_MS + ttl_ms / 2 or (apart_ms > STEP_MS and not nonce):
        seen.stepped_ns = true_ns
        seen.forget(true_ns)


def i20_a_step_ends_a_lease(look: Look) -> None:
    """I20: no permit under a lease from before a tick that found the clocks apart."""
    sent = look.seen.lease_sent
    if look.seen.stepped_ns >= 0 and sent is not None and sent.true_ns < look.seen.stepped_ns:
        violated("I20", f"{look.name} permits under a lease from before a step of its clock")


def w_scoped_orders(look: Look, decision: Decision, head: RequestHead, instance: str) -> None:
    """W: what an order in force names is not permitted; what none names is not denied for it."""
    if not isinstance(decision, Permit) and not _for_a_scope(decision):
        return
    named = [item for item in _in_force(look) if _names(item, head, instance)]
    scoped = [item.says.scope for item in named if item.says.scope.kind not in WHOLE]
    if isinstance(decision, Permit) and scoped:  # what stops a whole sidecar is S4
        violated("W", f"{look.name} permits what {scoped[0]} names")
    if isinstance(decision, Denial) and not named:
        violated("W", f"{look.name} denies for an order that names something else")


def _for_a_scope(decision: Decision) -> bool:
    return isinstance(decision, Denial) and decision.reason is Reason.HALT_SCOPED


def _in_force(look: Look) -> tuple[Order, ...]:
    lease = look.snapshot.lease
    if lease is None:
        return look.seen.active
    pinned = look.truth.active.get(lease.beat.says.halts.sha256, ())
    return (*look.seen.active, *(o for o in pinned if o.says.halt_id not in look.seen.cleared))


def _names(order: Order, head: RequestHead, instance: str) -> bool:
    scope, said = order.says.scope, dict(head.headers)
    match scope.kind:
        case "route":
            return scope.value == ("first" if head.path.startswith(b"/v1/") else "second")
        case "model":
            return said.get(b"x-model", scope.value.encode()) == scope.value.encode()
        case "tenant":
            return said.get(b"x-tenant", scope.value.encode()) == scope.value.encode()
        case "instance":
            return scope.value == instance
        case "service":
            return scope.value == "model"
        case "drill":
            return False
        case _:
            return True
