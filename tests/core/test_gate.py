"""The gate: who may pass, in which order reasons are given, and what cuts a running exchange."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core import canonical, policy, routes
from sidecar.core.canonical import Json
from sidecar.core.clauses import Clause
from sidecar.core.facts import Facts
from sidecar.core.gate import (
    Denial,
    Exempt,
    Gate,
    Permit,
    alike,
    decide,
    drained_at,
    lapsed,
    recheck,
)
from sidecar.core.head import RequestHead
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.lease import Lease
from sidecar.core.policy import Policy
from sidecar.core.profile import BASELINE, Profile
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.routes import Routes
from sidecar.core.scoped import Scoped
from sidecar.core.snapshot import CLOSED, Hold, HoldKind, Snapshot
from tests import clauses
from tests.builders import make_beat, make_epoch, make_trust, routes_bytes

TRUST = make_trust()
EPOCH = make_epoch(TRUST)
LEASE = Lease(
    1, EPOCH.sha256, make_beat(TRUST, EPOCH), (PeerId("a"),), BootNs(100), WallMs(100), "clock"
)
NOW = Now(BootNs(99), WallMs(99))


def made_policy(action: str = "permit", path: str = "/v1/chat") -> Policy:
    body = policy.Body(
        type=policy.TYPE,
        name="p",
        rules=(
            policy.RuleBody(
                name="chat", action="permit" if action == "permit" else "deny", methods=("POST",),
                paths=(path,), headers=(), in_flight="cut",
            ),
        ),
    )  # fmt: skip
    return policy.parse(canonical.dump(body))


def made_routes(port: int = 9000, exempt: tuple[str, ...] = ("/health",)) -> Routes:
    return routes.parse(routes_bytes(port, exempt))


OPEN = Snapshot(lease=LEASE, epoch=EPOCH, policy=made_policy(), routes=made_routes())
PASSING = Hold(Reason.QUORUM_LOST, HoldKind.PASSING)
HALT = Hold(Reason.HALT_GLOBAL, HoldKind.STICKY, "aa")
LATCHED = Hold(Reason.EQUIVOCATION, HoldKind.LATCHED, "bb")


def head(target: str = "/v1/chat", method: str = "POST") -> RequestHead:
    raw = target.encode()
    return RequestHead(method.encode(), raw, raw.partition(b"?")[0], ())


def at(boot: int = 99, wall: int = 99) -> Now:
    return Now(BootNs(boot), WallMs(wall))


def permit(snapshot: Snapshot = OPEN) -> Permit:
    decision = decide(snapshot, head(), NOW)
    assert isinstance(decision, Permit)
    return decision


def reason(snapshot: Snapshot, request: RequestHead | None = None, now: Now = NOW) -> Reason:
    decision = decide(snapshot, request or head(), now)
    assert isinstance(decision, Denial)
    assert decision.snapshot is snapshot
    return decision.reason


# One request.


def test_permits_under_a_live_lease_what_route_and_policy_name() -> None:
    decision = permit()
    assert decision.snapshot is OPEN
    assert (decision.route.name, decision.route.upstream.port) == ("api", 9000)
    assert decision.rule is OPEN.policy.rules[0]


def test_a_new_gate_permits_nothing() -> None:
    assert reason(Gate().snapshot) is Reason.STARTING


@pytest.mark.parametrize(("boot", "wall"), [(100, 99), (99, 100), (10**20, 0), (0, 10**20)])
def test_denies_when_either_deadline_has_passed(boot: int, wall: int) -> None:
    assert reason(OPEN, now=at(boot, wall)) is Reason.LEASE_EXPIRED


def test_denies_without_a_lease_and_says_why_there_is_none() -> None:
    lost = replace(OPEN, lease=None, absent=Reason.BEAT_STALE)
    assert reason(lost) is Reason.BEAT_STALE


@pytest.mark.parametrize("hold", [PASSING, HALT, LATCHED])
def test_denies_under_any_hold(hold: Hold) -> None:
    assert reason(OPEN.held(hold)) is hold.reason


def test_denies_a_path_without_a_route() -> None:
    assert reason(OPEN, head("/other")) is Reason.ROUTE_UNKNOWN


def test_denies_what_no_rule_permits_and_names_no_rule() -> None:
    decision = decide(OPEN, head("/v1/other"), NOW)
    assert isinstance(decision, Denial)
    assert (decision.reason, decision.rule) == (Reason.POLICY_DENY, None)


def test_denies_by_a_deny_rule_and_names_it() -> None:
    decision = decide(replace(OPEN, policy=made_policy("deny")), head(), NOW)
    assert isinstance(decision, Denial)
    assert decision.reason is Reason.POLICY_DENY
    assert decision.rule is not None
    assert decision.rule.name == "chat"


def test_the_query_is_no_part_of_what_policy_and_routes_judge() -> None:
    assert isinstance(decide(OPEN, head("/v1/chat?x=/../y"), NOW), Permit)


# Orders that stop a part. What they name is in `test_scoped.py`; here: when they are asked.

HALTED = Scoped(routes=frozenset({"api"}))
ELSEWHERE = Scoped(routes=frozenset({"other"}))
ONE_TENANT = Scoped(served=frozenset({b"acme"}))


def test_denies_on_a_halted_route_and_not_on_another() -> None:
    assert reason(replace(OPEN, scoped=HALTED)) is Reason.HALT_SCOPED
    assert isinstance(decide(replace(OPEN, scoped=ELSEWHERE), head(), NOW), Permit)


def test_denies_who_is_no_tenant_of_the_epoch_by_policy() -> None:
    assert reason(replace(OPEN, scoped=ONE_TENANT)) is Reason.POLICY_DENY


@pytest.mark.parametrize(
    ("change", "request_", "now", "found"),
    [
        ({"lease": None}, head(), NOW, Reason.STARTING),
        ({"holds": (HALT,)}, head(), NOW, Reason.HALT_GLOBAL),
        ({}, head(), at(100), Reason.LEASE_EXPIRED),
        ({}, head("/other"), NOW, Reason.ROUTE_UNKNOWN),
        ({"policy": policy.DENY_ALL}, head(), NOW, Reason.HALT_SCOPED),
    ],
)
def test_a_scoped_halt_is_named_after_what_closes_everything_and_before_the_policy(
    change: dict[str, Any], request_: RequestHead, now: Now, found: Reason
) -> None:
    assert reason(replace(OPEN, scoped=HALTED, **change), request_, now) is found


def test_an_exempt_target_passes_a_scoped_halt() -> None:
    decision = decide(replace(OPEN, scoped=HALTED), head("/health", "GET"), NOW)
    assert isinstance(decision, Exempt)


# Observing: an epoch that says so lets through what its policy does not permit.

WATCHED = make_epoch(TRUST, enforcement="observe")
WATCHING = replace(OPEN, epoch=WATCHED, lease=replace(LEASE, epoch_sha256=WATCHED.sha256))


@pytest.mark.parametrize(
    ("chosen", "rule"), [(made_policy("deny"), "chat"), (policy.DENY_ALL, None)]
)
def test_what_the_policy_does_not_permit_is_let_through_with_the_reason(
    chosen: Policy, rule: str | None
) -> None:
    decision = decide(replace(WATCHING, policy=chosen), head(), NOW)
    assert isinstance(decision, Permit)
    assert decision.observed is Reason.POLICY_DENY
    assert (decision.rule and decision.rule.name) == rule
    assert decision.route.name == "api"


def test_what_the_policy_permits_is_not_marked_by_observing() -> None:
    assert permit(WATCHING).observed is None
    assert permit().observed is None


@pytest.mark.parametrize(
    ("change", "request_", "now", "found"),
    [
        ({"lease": None}, head(), NOW, Reason.STARTING),
        ({"holds": (HALT,)}, head(), NOW, Reason.HALT_GLOBAL),
        ({"holds": (PASSING,)}, head(), NOW, Reason.QUORUM_LOST),
        ({}, head(), at(100), Reason.LEASE_EXPIRED),
        ({}, head(), at(99, 100), Reason.LEASE_EXPIRED),
        ({}, head("/other"), NOW, Reason.ROUTE_UNKNOWN),
        ({"scoped": HALTED}, head(), NOW, Reason.HALT_SCOPED),
        ({"scoped": ONE_TENANT}, head(), NOW, Reason.POLICY_DENY),
    ],
)
def test_nothing_but_the_policy_is_only_observed(
    change: dict[str, Any], request_: RequestHead, now: Now, found: Reason
) -> None:
    closed = replace(WATCHING, policy=policy.DENY_ALL, **change)
    assert reason(closed, request_, now) is found


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": EPOCH},  # enforced
        {"epoch": None},
        {"lease": LEASE},  # of another epoch than the one that says it
    ],
)
def test_only_the_epoch_behind_the_lease_can_ask_for_it(change: dict[str, Any]) -> None:
    closed = replace(WATCHING, policy=policy.DENY_ALL, **change)
    assert reason(closed) is Reason.POLICY_DENY


# Policies with expressions. What they say is in `test_policy.py`; here: what becomes of it.

HOUR_MS = 3_600_000
OLD = clauses.expression(["name", "epoch.age"], ["duration", "1000000000"], ["less_duration", 0, 1])
FAILS = clauses.header("x-absent", "a")
NO = [{"expression": clauses.FALSE, "message": "not today", "name": "v"}]
NOTED = [{"key": "agent", "value_expression": clauses.text("a7")}]


def asking(**changes: Any) -> Policy:
    """One rule for POST on /v1/chat, changed, or what else a policy says."""
    rule: dict[str, Json] = {
        "name": "chat", "action": "permit", "methods": ["POST"], "paths": ["/v1/chat"],
        "headers": [], "in_flight": "cut",
    }  # fmt: skip
    rule |= {key: changes.pop(key) for key in ("conditions", "in_flight") if key in changes}
    body: dict[str, Json] = {"_type": policy.TYPE, "name": "p", "rules": [rule]}
    return policy.parse(canonical.encode(body | changes))


def when(expression: Json) -> list[Json]:
    return [{"expression": expression, "name": "when"}]


def test_a_permit_by_expressions_carries_what_is_to_be_written_down() -> None:
    made = permit(replace(OPEN, policy=asking(conditions=when(OLD), annotations=NOTED)))
    assert made.rule is made.snapshot.policy.rules[0]
    assert made.observed is None
    assert made.verdict is not None
    assert (made.verdict.clause, made.verdict.annotations) == (None, {"agent": "a7"})


@pytest.mark.parametrize(
    ("made", "found", "message"),
    [
        (asking(conditions=when(clauses.FALSE)), (Reason.POLICY_DENY, None, None), ""),
        (asking(validations=NO), (Reason.POLICY_DENY, "chat", "v"), "not today"),
        (asking(conditions=when(FAILS)), (Reason.POLICY_INVALID, "chat", "when"), ""),
    ],
    ids=["no condition", "validation", "error"],
)
def test_a_denial_by_expressions_says_rule_clause_and_message(
    made: Policy, found: tuple[Reason, str | None, str | None], message: str
) -> None:
    decision = decide(replace(OPEN, policy=made), head(), NOW)
    assert isinstance(decision, Denial)
    assert decision.verdict is not None
    rule, clause = decision.rule, decision.verdict.clause
    assert (decision.reason, rule and rule.name, clause and clause.name) == found
    assert decision.message == message


def test_an_expression_is_told_of_lease_epoch_and_clock() -> None:
    issued = EPOCH.says.issued_at
    live = replace(LEASE, deadline=BootNs(2**60), wall_deadline=WallMs(issued + HOUR_MS))
    snapshot = replace(OPEN, lease=live, policy=asking(conditions=when(OLD)))
    assert isinstance(decide(snapshot, head(), at(99, issued + 999)), Permit)
    assert reason(snapshot, now=at(99, issued + 1000)) is Reason.POLICY_DENY


def test_expressions_are_asked_last() -> None:
    broken = replace(OPEN, policy=asking(conditions=when(FAILS)))
    assert reason(broken, now=at(100)) is Reason.LEASE_EXPIRED
    assert reason(broken.held(HALT)) is Reason.HALT_GLOBAL
    assert reason(broken, head("/other")) is Reason.ROUTE_UNKNOWN
    assert reason(replace(broken, scoped=HALTED)) is Reason.HALT_SCOPED
    assert isinstance(decide(broken, head("/health", "GET"), NOW), Exempt)


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), MemoryError(), TypeError()])
@pytest.mark.parametrize("observes", [False, True])
def test_attack_decide_raises_nothing_and_what_we_failed_to_judge_is_denied(
    error: Exception,
    observes: bool,  # noqa: FBT001 (a parameter of the test)
) -> None:
    """Also where the policy is only observed: this is no verdict of the policy."""
    snapshot = replace(OPEN, policy=asking(conditions=when(OLD)))
    if observes:
        snapshot = watching_by_itself(conditions=when(OLD))

    def broken(known: Facts) -> object:
        raise error

    snapshot.policy.rules[0].conditions = (Clause("when", broken),)
    assert reason(snapshot) is Reason.INTERNAL_ERROR


# Observing, as a policy says it of itself.


def watching_by_itself(**changes: Any) -> Snapshot:
    made = asking(mode="observe", **changes)
    epoch = make_epoch(TRUST, policy_blob=made.raw)
    lease = replace(LEASE, epoch_sha256=epoch.sha256)
    return replace(OPEN, policy=made, epoch=epoch, lease=lease)


@pytest.mark.parametrize(
    ("changes", "request_", "observed", "rule"),
    [
        ({}, head(), None, "chat"),
        ({}, head("/v1/other"), Reason.POLICY_DENY, None),
        ({"validations": NO}, head(), Reason.POLICY_DENY, "chat"),
        ({"conditions": when(FAILS)}, head(), Reason.POLICY_INVALID, "chat"),
    ],
)
def test_what_such_a_policy_does_not_permit_is_let_through_with_the_reason(
    changes: dict[str, Any], request_: RequestHead, observed: Reason | None, rule: str | None
) -> None:
    decision = decide(watching_by_itself(**changes), request_, NOW)
    assert isinstance(decision, Permit)
    assert decision.observed is observed
    assert (decision.rule and decision.rule.name) == rule


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": EPOCH, "lease": LEASE},  # which names another policy
        {"epoch": None},
        {"lease": LEASE},  # of another epoch
    ],
)
def test_only_the_policy_that_the_epoch_behind_the_lease_names_can_ask_for_it(
    change: dict[str, Any],
) -> None:
    closed = replace(watching_by_itself(), **change)
    assert reason(closed, head("/v1/other")) is Reason.POLICY_DENY


@pytest.mark.parametrize(
    ("change", "request_", "now", "found"),
    [
        ({"lease": None}, head(), NOW, Reason.STARTING),
        ({"holds": (HALT,)}, head(), NOW, Reason.HALT_GLOBAL),
        ({}, head(), at(100), Reason.LEASE_EXPIRED),
        ({}, head("/other"), NOW, Reason.ROUTE_UNKNOWN),
        ({"scoped": HALTED}, head(), NOW, Reason.HALT_SCOPED),
        ({"scoped": ONE_TENANT}, head(), NOW, Reason.POLICY_DENY),
    ],
)
def test_all_but_the_policy_bites_as_ever(
    change: dict[str, Any], request_: RequestHead, now: Now, found: Reason
) -> None:
    assert reason(replace(watching_by_itself(), **change), request_, now) is found


# Exemptions.


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "snapshot",
    [OPEN, OPEN.held(LATCHED), replace(OPEN, lease=None), replace(OPEN, policy=policy.DENY_ALL)],
)
def test_an_exempt_target_is_forwarded_whatever_the_gate_says(
    snapshot: Snapshot, method: str
) -> None:
    """Restarting a GPU pod because governance is down would turn containment into damage."""
    decision = decide(snapshot, head("/health", method), at(10**20, 10**20))
    assert isinstance(decision, Exempt)
    assert decision.upstream.port == 9000


@pytest.mark.parametrize(
    ("target", "method"),
    [
        ("/health", "POST"), ("/health", "get"), ("/health", "OPTIONS"), ("/health?x", "GET"),
        ("/health?", "GET"), ("/health/", "GET"), ("//health", "GET"), ("/%68ealth", "GET"),
        ("/Health", "GET"), ("/health#x", "GET"), ("/x/../health", "GET"), ("/health;x", "GET"),
        ("http://h/health", "GET"), ("", "GET"),
    ],
)  # fmt: skip
def test_attack_by_a_target_that_only_looks_exempt(target: str, method: str) -> None:
    assert reason(OPEN.held(HALT), head(target, method)) is Reason.HALT_GLOBAL


def test_a_new_gate_exempts_nothing() -> None:
    assert reason(CLOSED, head("/health", "GET")) is Reason.STARTING


def test_an_exemption_is_no_permit() -> None:
    assert not issubclass(Exempt, Permit)
    assert not issubclass(Permit, Exempt)


# The order of reasons: break everything, then mend one thing after the other.


def test_one_input_has_one_reason_in_a_fixed_order() -> None:
    late, wrong = at(100, 100), head("/other")
    broken = replace(OPEN, lease=None, absent=Reason.NOT_SYNCED).held(PASSING, HALT, LATCHED)
    assert reason(broken, wrong, late) is Reason.EQUIVOCATION
    assert reason(replace(broken, holds=(HALT, PASSING)), wrong, late) is Reason.HALT_GLOBAL
    assert reason(replace(broken, holds=(PASSING,)), wrong, late) is Reason.QUORUM_LOST
    assert reason(replace(broken, holds=()), wrong, late) is Reason.NOT_SYNCED
    assert reason(OPEN, wrong, late) is Reason.LEASE_EXPIRED
    assert reason(OPEN, wrong) is Reason.ROUTE_UNKNOWN
    assert reason(OPEN, head("/v1/other")) is Reason.POLICY_DENY
    assert isinstance(decide(OPEN, head(), NOW), Permit)


some_holds = st.sets(st.sampled_from([PASSING, HALT, LATCHED]))
clocks = st.integers(-5, 200)
snapshots = st.builds(
    lambda leased, epoch, scoped, absent, chosen, table, holds: Snapshot(
        lease=leased, epoch=epoch, scoped=scoped, absent=absent, policy=chosen, routes=table
    ).held(*holds),
    st.sampled_from([None, LEASE, WATCHING.lease]),
    st.sampled_from([None, EPOCH, WATCHED]),
    st.sampled_from([None, HALTED, ELSEWHERE, ONE_TENANT]),
    st.sampled_from([Reason.STARTING, Reason.BEAT_STALE]),
    st.sampled_from([made_policy(), made_policy("deny"), policy.DENY_ALL]),
    st.sampled_from([made_routes(), routes.NO_ROUTES, made_routes(exempt=())]),
    some_holds,
)
parts = st.sampled_from([b"/v1/chat", b"/health", b"/v1/x", b"*", b"", b"/"]) | st.binary(
    max_size=9
)
heads = st.builds(
    RequestHead,
    st.sampled_from([b"POST", b"GET", b"HEAD", b"", b"\xff"]),
    parts,
    parts,
    st.just(()) | st.lists(st.tuples(st.binary(), st.binary()), max_size=2).map(tuple),
)


@given(snapshots, heads, clocks, clocks)
@example(OPEN, head(), 99, 99)
@example(OPEN, head(), 99, 100)
@example(OPEN, head(), 100, 99)
def test_never_raises_and_never_permits_without_a_live_lease(
    snapshot: Snapshot, request: RequestHead, boot: int, wall: int
) -> None:
    decision = decide(snapshot, request, at(boot, wall))
    if isinstance(decision, Permit):
        assert snapshot.lease is not None
        assert boot < snapshot.lease.deadline
        assert wall < snapshot.lease.wall_deadline
        assert not snapshot.holds
        assert snapshot.scoped in (None, ELSEWHERE)
        if decision.observed is None:
            assert decision.rule is not None
            assert decision.rule.permits
        else:
            assert snapshot.epoch is WATCHED
            assert decision.rule is None or not decision.rule.permits
    elif isinstance(decision, Exempt):
        assert request.target in snapshot.routes.exempt
    else:
        assert decision.snapshot is snapshot


@given(snapshots, clocks, clocks)
def test_lapsed_says_what_decide_says(snapshot: Snapshot, boot: int, wall: int) -> None:
    decision = decide(snapshot, head(), at(boot, wall))
    closed = lapsed(snapshot, at(boot, wall))
    assert closed is None or (isinstance(decision, Denial) and decision.reason is closed)


@given(snapshots, heads, clocks, clocks)
def test_deciding_twice_gives_one_answer(
    snapshot: Snapshot, request: RequestHead, boot: int, wall: int
) -> None:
    now = at(boot, wall)
    assert decide(snapshot, request, now) == decide(snapshot, request, now)


# A running exchange.


def test_a_running_exchange_goes_on_while_the_lease_lives() -> None:
    assert recheck(OPEN, permit(), head(), NOW) is None


def test_a_running_exchange_follows_the_new_lease_not_the_one_it_began_with() -> None:
    renewed = replace(OPEN, lease=replace(LEASE, deadline=BootNs(500), wall_deadline=WallMs(500)))
    assert recheck(renewed, permit(), head(), at(300, 300)) is None
    assert recheck(OPEN, permit(), head(), at(300, 300)) is Reason.LEASE_EXPIRED


@pytest.mark.parametrize(("boot", "wall"), [(100, 99), (99, 100)])
def test_a_running_exchange_is_cut_when_either_deadline_has_passed(boot: int, wall: int) -> None:
    assert recheck(OPEN, permit(), head(), at(boot, wall)) is Reason.LEASE_EXPIRED


@pytest.mark.parametrize("hold", [PASSING, HALT, LATCHED])
def test_a_running_exchange_is_cut_by_a_hold(hold: Hold) -> None:
    assert recheck(OPEN.held(hold), permit(), head(), NOW) is hold.reason


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda: replace(OPEN, policy=made_policy()), None),
        (lambda: replace(OPEN, routes=made_routes()), None),
        (lambda: replace(OPEN, policy=made_policy("deny")), Reason.POLICY_DENY),
        (lambda: replace(OPEN, policy=made_policy(path="/v1/other")), Reason.POLICY_DENY),
        (lambda: replace(OPEN, routes=made_routes(port=9001)), Reason.ROUTE_UNKNOWN),
        (lambda: replace(OPEN, routes=routes.NO_ROUTES), Reason.ROUTE_UNKNOWN),
    ],
    ids=["same policy", "same routes", "now denied", "not named", "other upstream", "no route"],
)
def test_a_running_exchange_is_judged_again_under_a_new_epoch(
    change: Callable[[], Snapshot], found: Reason | None
) -> None:
    assert recheck(change(), permit(), head(), NOW) is found


@pytest.mark.parametrize(
    ("scoped", "found"),
    [
        (None, None),
        (ELSEWHERE, None),
        (HALTED, Reason.HALT_SCOPED),
        (ONE_TENANT, Reason.POLICY_DENY),
    ],
)
def test_a_running_exchange_is_cut_by_an_order_that_names_it_and_by_no_other(
    scoped: Scoped | None, found: Reason | None
) -> None:
    assert recheck(replace(OPEN, scoped=scoped), permit(), head(), NOW) is found
    begun_elsewhere = permit(replace(OPEN, scoped=ELSEWHERE))
    assert recheck(replace(OPEN, scoped=scoped), begun_elsewhere, head(), NOW) is found


def test_a_hold_is_named_before_a_scoped_halt_also_while_an_exchange_runs() -> None:
    assert recheck(replace(OPEN, scoped=HALTED).held(HALT), permit(), head(), NOW) is HALT.reason


def test_a_scoped_halt_is_not_drained_with_a_lease_that_has_lapsed_at_the_same_time() -> None:
    begun = draining_permit()
    now = at(100 * MS, 100)
    assert recheck(begun.snapshot, begun, head(), now) is Reason.LEASE_EXPIRED
    halted = replace(begun.snapshot, scoped=HALTED)
    found = recheck(halted, begun, head(), now)
    assert found is Reason.HALT_SCOPED
    assert drained_at(halted, begun, found, now) is None
    lost = replace(halted, lease=None, absent=Reason.LEASE_EXPIRED)
    assert recheck(lost, begun, head(), now) is Reason.HALT_SCOPED


TELLING = routes.parse(routes_bytes(attributes={"model": "x-model"}))


@pytest.mark.parametrize(
    ("said", "body", "routes", "reason"),
    [
        (b"m", b"m", TELLING, None),
        (b"m", b"other", TELLING, Reason.POLICY_DENY),
        (b"M", b"m", TELLING, Reason.POLICY_DENY),
        (b"m", None, TELLING, None),
        (b"m", b"", TELLING, None),
        (b"m", b"other", OPEN.routes, None),
    ],
)
def test_a_request_whose_header_and_body_name_two_models_is_denied(
    said: bytes, body: bytes | None, routes: Routes, reason: Reason | None
) -> None:
    asked = replace(head(), headers=((b"x-model", said),), model=body)
    decision = decide(replace(OPEN, routes=routes), asked, NOW)
    assert (decision.reason if isinstance(decision, Denial) else None) is reason
    watched = decide(replace(WATCHING, routes=routes), asked, NOW)
    assert isinstance(watched, Permit)
    assert watched.observed is reason


def test_a_halted_model_that_only_one_of_the_two_names_is_not_only_observed() -> None:
    for said, body in ((b"m", b"halted"), (b"halted", b"m")):
        asked = replace(head(), headers=((b"x-model", said),), model=body)
        halted = replace(WATCHING, routes=TELLING, scoped=Scoped(models=frozenset({b"halted"})))
        decision = decide(halted, asked, NOW)
        assert isinstance(decision, Denial)
        assert decision.reason is Reason.HALT_SCOPED


def test_what_was_only_observed_is_cut_when_the_same_policy_is_enforced() -> None:
    watching = replace(WATCHING, policy=policy.DENY_ALL)
    begun = permit(watching)
    assert recheck(watching, begun, head(), NOW) is None
    enforced = replace(watching, epoch=EPOCH, lease=LEASE)
    assert recheck(enforced, begun, head(), NOW) is Reason.POLICY_DENY


def test_a_running_exchange_is_not_judged_again_by_the_passing_of_time() -> None:
    """An hour, an age, what is left of the lease: they are asked when a request begins."""
    issued = EPOCH.says.issued_at
    live = replace(LEASE, deadline=BootNs(2**60), wall_deadline=WallMs(issued + HOUR_MS))
    snapshot = replace(OPEN, lease=live, policy=asking(conditions=when(OLD)))
    begun = decide(snapshot, head(), at(99, issued))
    assert isinstance(begun, Permit)
    later = at(99, issued + 2000)
    assert reason(snapshot, now=later) is Reason.POLICY_DENY
    assert recheck(snapshot, begun, head(), later) is None
    assert (
        recheck(replace(snapshot, lease=replace(live, epoch_seq=2)), begun, head(), later) is None
    )
    same = replace(snapshot, policy=asking(conditions=when(OLD)))
    assert recheck(same, begun, head(), later) is Reason.POLICY_DENY, "another object: judged anew"


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (asking(conditions=when(FAILS)), Reason.POLICY_INVALID),
        (asking(validations=NO), Reason.POLICY_DENY),
        (asking(annotations=NOTED), None),
    ],
    ids=["error", "validation", "annotation"],
)
def test_a_running_exchange_is_judged_by_the_expressions_of_a_new_policy(
    made: Policy, found: Reason | None
) -> None:
    assert recheck(replace(OPEN, policy=made), permit(), head(), NOW) is found


def test_what_a_policy_only_observed_is_cut_when_it_is_enforced() -> None:
    watching = watching_by_itself(validations=NO)
    begun = permit(watching)
    assert begun.observed is Reason.POLICY_DENY
    assert recheck(watching, begun, head(), NOW) is None
    assert not alike(watching, replace(watching, epoch=EPOCH, lease=LEASE))
    assert recheck(replace(watching, epoch=EPOCH, lease=LEASE), begun, head(), NOW) is (
        Reason.POLICY_DENY
    )
    enforced = replace(watching, policy=asking(validations=NO))
    assert recheck(enforced, begun, head(), NOW) is Reason.POLICY_DENY
    draining = watching_by_itself(validations=NO, in_flight={"drain_ms": 10})
    begun = permit(draining)
    assert drained_at(draining, begun, Reason.LEASE_EXPIRED, at(100, 100)) is None


def test_what_was_only_observed_is_never_drained() -> None:
    body = policy.RuleBody(
        name="no", action="deny", methods=(), paths=("/**",), headers=(),
        in_flight=policy.DrainBody(drain_ms=10),
    )  # fmt: skip
    made = policy.parse(canonical.dump(policy.Body(type=policy.TYPE, name="p", rules=(body,))))
    begun = permit(replace(WATCHING, policy=made))
    assert begun.rule is not None
    assert begun.rule.drain_ms
    assert drained_at(begun.snapshot, begun, Reason.LEASE_EXPIRED, at(100, 100)) is None
    unruled = permit(replace(WATCHING, policy=policy.DENY_ALL))
    assert drained_at(unruled.snapshot, unruled, Reason.LEASE_EXPIRED, at(100, 100)) is None


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"faults": (Reason.QUORUM_LOST,)}, True),
        ({"holds": (HALT,)}, True),
        ({"lease": replace(LEASE, deadline=BootNs(500))}, True),
        ({"policy": made_policy()}, False),
        ({"routes": made_routes()}, False),
        ({"scoped": HALTED}, False),
        ({"epoch": WATCHED, "lease": WATCHING.lease}, False),
    ],
)
def test_snapshots_are_alike_unless_an_exchange_could_be_judged_otherwise(
    change: dict[str, Any],
    same: bool,  # noqa: FBT001
) -> None:
    assert alike(OPEN, replace(OPEN, **change)) == same
    assert alike(replace(OPEN, **change), OPEN) == same


def test_a_running_exchange_does_not_turn_into_an_exempt_one() -> None:
    """A permit leads to a journal entry with a rule; an exemption has none to lean on."""
    request = head("/v1/chat", "GET")
    begun = permit()
    table = made_routes(exempt=("/v1/chat",))
    assert recheck(replace(OPEN, routes=table), begun, request, NOW) is Reason.ROUTE_UNKNOWN


# The mutable reference.


# A bounded drain.

MS = 1_000_000


def draining_permit(drain_ms: int = 10) -> Permit:
    """Under a lease that ends at 100 ms on both clocks."""
    body = policy.RuleBody(
        name="chat", action="permit", methods=(), paths=("/**",), headers=(),
        in_flight=policy.DrainBody(drain_ms=drain_ms) if drain_ms else "cut",
    )  # fmt: skip
    made = policy.parse(canonical.dump(policy.Body(type=policy.TYPE, name="p", rules=(body,))))
    lease = replace(LEASE, deadline=BootNs(100 * MS), wall_deadline=WallMs(100))
    return permit(replace(OPEN, policy=made, lease=lease))


@pytest.mark.parametrize(
    ("boot_ms", "wall_ms", "until_ms"),
    [
        (100, 100, 110),
        (109, 109, 110),
        (110, 110, None),
        (50, 100, 60),  # the wall clock ended it
        (50, 109, 51),
        (50, 110, None),
        (100, 109, 101),  # the stricter clock counts
        (5000, 100, None),  # woken up long after
    ],
)
def test_a_drain_is_counted_from_the_end_of_the_lease(
    boot_ms: int, wall_ms: int, until_ms: int | None
) -> None:
    held, now = draining_permit(), at(boot_ms * MS, wall_ms)
    found = drained_at(held.snapshot, held, Reason.LEASE_EXPIRED, now)
    assert found == (None if until_ms is None else until_ms * MS)


def test_nothing_but_a_lapsed_lease_is_drained() -> None:
    held, now = draining_permit(), at(100 * MS, 100)
    for reason in Reason:
        drained = drained_at(held.snapshot, held, reason, now) is not None
        assert drained == (reason is Reason.LEASE_EXPIRED)


def test_a_rule_that_cuts_does_not_drain() -> None:
    held = draining_permit(0)
    assert drained_at(held.snapshot, held, Reason.LEASE_EXPIRED, at(100 * MS, 100)) is None


@pytest.mark.parametrize("change", [{"policy": made_policy()}, {"routes": made_routes()}])
def test_nothing_drains_into_another_policy_or_other_routes(change: dict[str, Any]) -> None:
    held = draining_permit()
    after = replace(held.snapshot, **change)
    assert drained_at(after, held, Reason.LEASE_EXPIRED, at(100 * MS, 100)) is None


@pytest.mark.parametrize(
    ("then", "now_capped", "until_ms"),
    [
        (None, None, 110),
        (5, None, 105),
        (None, 4, 104),
        (5, 4, 104),
        (None, 0, None),
        (20, 20, 110),
    ],
)
def test_a_drain_is_as_long_as_the_profiles_then_and_now_let_it(
    then: int | None, now_capped: int | None, until_ms: int | None
) -> None:
    begun = draining_permit()
    held = replace(begun, snapshot=replace(begun.snapshot, profile=capped(then)))
    after = replace(held.snapshot, profile=capped(now_capped))
    found = drained_at(after, held, Reason.LEASE_EXPIRED, at(100 * MS, 100))
    assert found == (None if until_ms is None else until_ms * MS)


def capped(drain_max_ms: int | None) -> Profile:
    return replace(BASELINE, drain_max_ms=drain_max_ms)


def test_a_drain_under_a_lost_lease_is_counted_from_the_permits_own() -> None:
    held = draining_permit()
    lost = replace(held.snapshot, lease=None, absent=Reason.LEASE_EXPIRED)
    assert drained_at(lost, held, Reason.LEASE_EXPIRED, at(105 * MS, 105)) == 110 * MS


def test_publishing_replaces_what_the_follower_said() -> None:
    gate = Gate()
    gate.publish(OPEN)
    assert gate.snapshot == OPEN
    gate.publish(CLOSED)
    assert gate.snapshot == CLOSED


@pytest.mark.parametrize("first", ["place", "publish"])
def test_a_local_hold_stays_whatever_is_published(first: str) -> None:
    gate = Gate()
    steps = {"place": lambda: gate.place(LATCHED), "publish": lambda: gate.publish(OPEN)}
    steps.pop(first)()
    steps.popitem()[1]()
    gate.publish(OPEN)
    assert gate.snapshot.holds == (LATCHED,)
    assert reason(gate.snapshot) is Reason.EQUIVOCATION


def test_local_and_published_holds_are_carried_together() -> None:
    gate = Gate()
    gate.place(PASSING)
    gate.publish(OPEN.held(HALT))
    assert gate.snapshot.holds == (HALT, PASSING)


def test_lifting_a_passing_hold_opens_again() -> None:
    gate = Gate()
    gate.publish(OPEN)
    gate.place(PASSING)
    gate.lift(PASSING.reason)
    assert isinstance(decide(gate.snapshot, head(), NOW), Permit)


def test_two_owners_of_one_reason_do_not_lift_each_others_hold() -> None:
    """The journal and a required sink both say EG703; neither speaks for the other."""
    gate = Gate()
    gate.publish(OPEN)
    gate.place(PASSING)
    gate.place(PASSING, "sinks")
    assert gate.snapshot.holds == (PASSING,)
    for owner in ("sinks", "sinks", "nobody"):
        gate.lift(PASSING.reason, owner)
        assert gate.snapshot.holds == (PASSING,)
    gate.place(PASSING, "sinks")
    gate.lift(PASSING.reason)
    assert gate.snapshot.holds == (PASSING,)
    gate.lift(PASSING.reason, "sinks")
    assert not gate.snapshot.holds


@pytest.mark.parametrize("hold", [HALT, LATCHED])
def test_lifting_does_not_end_a_hold_that_needs_a_clear(hold: Hold) -> None:
    gate = Gate()
    gate.place(hold)
    gate.lift(hold.reason)
    assert gate.snapshot.holds == (hold,)


def test_lifting_a_published_hold_is_not_ours_to_do() -> None:
    gate = Gate()
    gate.publish(OPEN.held(PASSING))
    gate.lift(PASSING.reason)
    assert gate.snapshot.holds == (PASSING,)


def test_attack_by_a_softer_hold_of_the_same_reason_does_not_unlatch() -> None:
    gate = Gate()
    gate.place(Hold(Reason.AUDIT_UNWRITABLE, HoldKind.LATCHED, "cc"))
    gate.place(Hold(Reason.AUDIT_UNWRITABLE, HoldKind.PASSING))
    gate.lift(Reason.AUDIT_UNWRITABLE)
    assert [hold.kind for hold in gate.snapshot.holds] == [HoldKind.LATCHED]


def test_every_change_is_told_with_the_snapshot_that_holds_it() -> None:
    told: list[Snapshot] = []
    gate = Gate(told.append)
    gate.publish(OPEN)
    gate.place(PASSING)
    gate.place(PASSING)
    gate.lift(PASSING.reason)
    gate.lift(PASSING.reason)
    assert told == [OPEN, OPEN.held(PASSING), OPEN]
    assert told[-1] is gate.snapshot
