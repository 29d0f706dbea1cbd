"""The gate and the decision that a request descends from: what policy and profile ask for holds."""

from dataclasses import replace

import pytest
from msgspec import UNSET

from sidecar.core import canonical, policy
from sidecar.core.canonical import Json
from sidecar.core.gate import Denial, Permit, alike, decide, drained_at, recheck
from sidecar.core.head import RequestHead
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.parent import FALSE, NO_CLAIM, UNCHECKED, Claim
from sidecar.core.policy_body import ParentBody
from sidecar.core.profile import BASELINE
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Hold, HoldKind, Snapshot
from tests import clauses
from tests.core.test_gate import EPOCH, LEASE, NOW, WATCHING, made_routes

ID = "0123456789abcdef-17"
YOUNG, OLD = Claim("permit", ID, 500), Claim("permit", ID, 501)
DENIED = Claim("deny", ID, 0)


def made_policy(*, required: bool | None, drain_ms: int = 0) -> policy.Policy:
    """One that asks for a parent of at most 500 ms, or for none."""
    rule = policy.RuleBody(
        name="chat", action="permit", methods=(), paths=("/v1/chat",), headers=(),
        in_flight=policy.DrainBody(drain_ms=drain_ms) if drain_ms else "cut",
    )  # fmt: skip
    parent = UNSET if required is None else ParentBody(max_age_ms=500, required=required)
    body = policy.Body(type=policy.TYPE, name="p", rules=(rule,), parent=parent)
    return policy.parse(canonical.dump(body))


DESCENDED = replace(BASELINE, parent_required=True)
SILENT = Snapshot(lease=LEASE, epoch=EPOCH, policy=made_policy(required=None), routes=made_routes())
ASKING = replace(SILENT, policy=made_policy(required=False))
REQUIRING = replace(SILENT, policy=made_policy(required=True))
PROFILED = replace(SILENT, profile=DESCENDED)


def head(claim: Claim, path: bytes = b"/v1/chat") -> RequestHead:
    return RequestHead(b"POST", path, path, (), parent=claim)


def verdict(snapshot: Snapshot, claim: Claim) -> Reason | None:
    decision = decide(snapshot, head(claim), NOW)
    assert isinstance(decision, Permit | Denial)
    return decision.reason if isinstance(decision, Denial) else decision.observed


@pytest.mark.parametrize("snapshot", [ASKING, REQUIRING])
def test_only_a_young_permit_of_this_fleet_is_a_parent(snapshot: Snapshot) -> None:
    assert verdict(snapshot, YOUNG) is None
    for claim in (OLD, DENIED, FALSE):
        assert verdict(snapshot, claim) is Reason.PARENT_DENIED


def test_a_request_without_a_parent_is_denied_where_one_is_required() -> None:
    assert verdict(ASKING, NO_CLAIM) is None
    assert verdict(REQUIRING, NO_CLAIM) is Reason.PARENT_DENIED
    assert verdict(PROFILED, NO_CLAIM) is Reason.PARENT_DENIED
    assert verdict(replace(ASKING, profile=DESCENDED), NO_CLAIM) is Reason.PARENT_DENIED


@pytest.mark.parametrize("snapshot", [ASKING, REQUIRING, PROFILED])
def test_where_nobody_can_look_at_a_claim_nothing_passes(snapshot: Snapshot) -> None:
    assert verdict(snapshot, UNCHECKED) is Reason.PROFILE_UNSUPPORTED
    path = b"/v1/chat"
    made = RequestHead(b"POST", path, path, ())
    assert decide(snapshot, made, NOW) == Denial(Reason.PROFILE_UNSUPPORTED, snapshot)


@pytest.mark.parametrize("claim", [YOUNG, OLD, DENIED, FALSE, NO_CLAIM, UNCHECKED])
def test_where_nobody_asks_a_claim_changes_nothing_and_says_nothing(claim: Claim) -> None:
    assert verdict(SILENT, claim) is None
    assert SILENT.parent_of(head(claim)) == ""


def test_the_id_of_a_parent_is_known_where_somebody_asks() -> None:
    for snapshot in (ASKING, REQUIRING, PROFILED):
        assert snapshot.parent_of(head(YOUNG)) == ID
        assert snapshot.parent_of(head(DENIED)) == ID, "a denial can name it, too"
        assert snapshot.parent_of(head(FALSE)) == ""
        assert snapshot.parent_of(head(NO_CLAIM)) == ""


def test_a_closed_gate_a_route_and_a_hold_speak_first() -> None:
    assert verdict(replace(REQUIRING, lease=None), NO_CLAIM) is Reason.STARTING
    held = REQUIRING.held(Hold(Reason.HALT_GLOBAL, HoldKind.STICKY, "aa"))
    assert verdict(held, NO_CLAIM) is Reason.HALT_GLOBAL
    decision = decide(REQUIRING, head(NO_CLAIM, b"/other"), NOW)
    assert decision == Denial(Reason.ROUTE_UNKNOWN, REQUIRING)
    assert decide(REQUIRING, head(YOUNG, b"/v1/other"), NOW) == Denial(
        Reason.POLICY_DENY, REQUIRING
    )


def test_a_policy_that_is_only_observed_observes_this_too() -> None:
    watching = replace(WATCHING, policy=REQUIRING.policy)
    decision = decide(watching, head(DENIED), NOW)
    assert isinstance(decision, Permit)
    assert (decision.observed, decision.rule) == (Reason.PARENT_DENIED, None)


def test_neither_what_a_profile_asks_for_nor_a_lack_of_a_key_is_only_observed() -> None:
    for claim, reason in (
        (NO_CLAIM, Reason.PARENT_DENIED), (UNCHECKED, Reason.PROFILE_UNSUPPORTED)
    ):  # fmt: skip
        watching = replace(WATCHING, profile=DESCENDED)
        assert decide(watching, head(claim), NOW) == Denial(reason, watching)
    keyless = replace(WATCHING, policy=REQUIRING.policy)
    unsupported = Denial(Reason.PROFILE_UNSUPPORTED, keyless)
    assert decide(keyless, head(UNCHECKED), NOW) == unsupported


def permit(snapshot: Snapshot, request: RequestHead) -> Permit:
    decision = decide(snapshot, request, NOW)
    assert isinstance(decision, Permit)
    return decision


def test_a_running_exchange_is_not_cut_because_its_parent_grows_old() -> None:
    """Its age counts at the time when the request came, also when everything is judged anew."""
    request = head(YOUNG)
    running = permit(REQUIRING, request)
    lease = replace(LEASE, deadline=BootNs(10**15), wall_deadline=WallMs(10**9))
    later, now = replace(REQUIRING, lease=lease), Now(BootNs(10**12), WallMs(10**6))
    assert recheck(later, running, request, now) is None
    assert recheck(replace(later, policy=made_policy(required=True)), running, request, now) is None


def test_a_profile_that_begins_to_ask_cuts_what_has_no_parent() -> None:
    request = head(NO_CLAIM)
    running = permit(SILENT, request)
    assert recheck(SILENT, running, request, NOW) is None
    assert recheck(PROFILED, running, request, NOW) is Reason.PARENT_DENIED
    assert alike(SILENT, PROFILED) is False, "or nobody would look"
    assert alike(SILENT, replace(SILENT, trust_version=9)) is True


def test_nothing_drains_into_a_profile_that_asks_for_parents() -> None:
    draining = replace(SILENT, policy=made_policy(required=None, drain_ms=5000))
    request = head(NO_CLAIM)
    running = permit(draining, request)
    after = Now(BootNs(101), WallMs(99))
    assert recheck(draining, running, request, after) is Reason.LEASE_EXPIRED
    assert drained_at(draining, running, Reason.LEASE_EXPIRED, after) is not None
    profiled = replace(draining, profile=DESCENDED)
    assert drained_at(profiled, running, Reason.LEASE_EXPIRED, after) is None


def descending(**asks: Json) -> policy.Policy:
    """A policy that permits what descends from `ID`, as its expression is told."""
    wants: dict[str, Json] = {"expression": clauses.equals("request.parent", ID), "name": "wants"}
    rule: dict[str, Json] = {
        "name": "chat", "action": "permit", "methods": [], "paths": ["/v1/chat"], "headers": [],
        "in_flight": "cut",
    }  # fmt: skip
    return policy.parse(
        canonical.encode(
            {"_type": policy.TYPE, "name": "p", "rules": [rule], "validations": [wants], **asks}
        )
    )


def test_an_expression_is_told_the_parent_only_where_somebody_asks_for_one() -> None:
    """Else it would believe one of any age."""

    def passes(snapshot: Snapshot, claim: Claim) -> bool:
        return isinstance(decide(snapshot, head(claim), NOW), Permit)

    silent = replace(SILENT, policy=descending())
    asking = replace(SILENT, policy=descending(parent={"max_age_ms": 500, "required": False}))
    assert passes(asking, YOUNG)
    assert not passes(asking, NO_CLAIM)
    assert not passes(asking, Claim("permit", "0" * 16 + "-1", 0))
    assert not passes(silent, YOUNG)
    assert passes(replace(silent, profile=DESCENDED), YOUNG)
