"""Rules of a policy: order, methods, headers, expressions, halves, and bundles that are none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, policy
from sidecar.core.canonical import Json
from sidecar.core.clauses import Clause
from sidecar.core.facts import Facts, Workload
from sidecar.core.head import RequestHead
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.parent import Demand
from sidecar.core.policy import DENY_ALL, Policy, Verdict
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.routes import NO_ROUTES
from tests import clauses


def rule(name: str, action: str = "permit", **changes: Any) -> dict[str, Json]:
    return {
        "name": name, "action": action, "methods": [], "paths": ["/**"], "headers": [],
        "in_flight": "cut", **changes,
    }  # fmt: skip


def raw(*rules: dict[str, Json], **changes: Any) -> bytes:
    return canonical.encode({"_type": policy.TYPE, "name": "p", "rules": [*rules], **changes})


def compiled(*rules: dict[str, Json], **changes: Any) -> Policy:
    return policy.parse(raw(*rules, **changes))


def head(
    path: str = "/v1/chat", method: str = "POST", headers: tuple[tuple[str, str], ...] = ()
) -> RequestHead:
    lines = tuple((name.encode(), value.encode()) for name, value in headers)
    return RequestHead(method.encode(), path.encode(), path.encode(), lines)


def matched(made: Policy, request: RequestHead) -> str | None:
    found = made.match(request)
    return None if found is None else found.name


def outcome(bundle: bytes) -> Reason | None:
    """None for a policy. Anything but a ProtocolError passes through and fails the test."""
    try:
        policy.parse(bundle)
    except ProtocolError as error:
        return error.reason
    return None


def refused(bundle: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        policy.parse(bundle)
    assert caught.value.reason is Reason.POLICY_INVALID
    return caught.value.detail


def test_the_first_rule_that_matches_wins() -> None:
    made = compiled(rule("deny-all", "deny"), rule("chat", paths=["/v1/chat"]))
    assert matched(made, head()) == "deny-all"


def test_order_counts_between_literal_paths_and_wildcards() -> None:
    made = compiled(rule("chat", paths=["/v1/chat"]), rule("rest", "deny"))
    assert matched(made, head("/v1/chat")) == "chat"
    assert matched(made, head("/v1/other")) == "rest"


def test_a_rule_whose_method_differs_leaves_the_request_to_later_rules() -> None:
    made = compiled(rule("get", methods=["GET"]), rule("post", methods=["PUT", "POST"]))
    assert matched(made, head()) == "post"


def test_no_method_listed_means_any() -> None:
    assert matched(compiled(rule("any")), head(method="BREW")) == "any"


@pytest.mark.parametrize("method", ["post", "POSTS", "POS", "GET"])
def test_methods_are_compared_byte_for_byte(method: str) -> None:
    assert matched(compiled(rule("post", methods=["POST"])), head(method=method)) is None


def test_a_rule_whose_path_differs_does_not_match() -> None:
    assert matched(compiled(rule("chat", paths=["/v1/chat"])), head("/v1/chat/")) is None


TENANT = {"name": "x-tenant", "value": "a"}


def test_a_permit_rule_wants_its_header() -> None:
    made = compiled(rule("tenant", headers=[TENANT]))
    assert matched(made, head(headers=(("x-tenant", "a"),))) == "tenant"
    assert matched(made, head()) is None


@pytest.mark.parametrize(
    "lines",
    [
        (("x-tenant", "a"), ("x-tenant", "b")), (("x-tenant", "b"), ("x-tenant", "a")),
        (("x-tenant", "a"), ("x-tenant", "a")), (("x-tenant", "a, b"),), (("x-tenant", "A"),),
        (("x-tenant", " a"),), (("x-tenants", "a"),),
    ],
)  # fmt: skip
def test_attack_on_a_permit_rule_by_doubled_or_altered_headers(
    lines: tuple[tuple[str, str], ...],
) -> None:
    assert matched(compiled(rule("tenant", headers=[TENANT])), head(headers=lines)) is None


@pytest.mark.parametrize(
    "lines",
    [
        (("x-tenant", "a"),), (("x-tenant", "b"), ("x-tenant", "a")),
        (("x-tenant", "a"), ("x-tenant", "b")), (("x-tenant", "a"), ("x-tenant", "a")),
    ],
)  # fmt: skip
def test_attack_on_a_deny_rule_by_doubled_headers(lines: tuple[tuple[str, str], ...]) -> None:
    made = compiled(rule("stop", "deny", headers=[TENANT]), rule("rest"))
    assert matched(made, head(headers=lines)) == "stop"


@pytest.mark.parametrize("action", ["permit", "deny"])
def test_every_header_condition_has_to_hold(action: str) -> None:
    both = [TENANT, {"name": "x-tier", "value": "gold"}]
    made = compiled(rule("both", action, headers=both))
    assert matched(made, head(headers=(("x-tenant", "a"),))) is None
    assert matched(made, head(headers=(("x-tenant", "a"), ("x-tier", "gold")))) == "both"


def test_a_rule_whose_header_differs_leaves_the_request_to_later_rules() -> None:
    made = compiled(rule("tenant", headers=[TENANT]), rule("rest", "deny"))
    assert matched(made, head()) == "rest"


def test_nothing_matches_the_policy_of_a_new_gate() -> None:
    assert DENY_ALL.match(head()) is None
    assert (DENY_ALL.rules, DENY_ALL.sha256) == ((), "")


def test_a_policy_carries_the_digest_of_its_bytes() -> None:
    bundle = raw(rule("a"))
    assert policy.parse(bundle).sha256 == canonical.digest(bundle)


def test_a_rule_knows_what_it_was_signed_as() -> None:
    permit, deny = compiled(rule("a", methods=["GET"]), rule("b", "deny")).rules
    assert (permit.name, permit.permits, permit.methods) == ("a", True, frozenset({b"GET"}))
    assert (deny.name, deny.permits) == ("b", False)


def test_a_rule_drains_for_as_long_as_was_signed() -> None:
    cut, drain = compiled(rule("a"), rule("b", in_flight={"drain_ms": 300_000})).rules
    assert (cut.drain_ms, drain.drain_ms) == (0, 300_000)


def test_a_policy_can_ask_for_the_decision_that_a_request_descends_from() -> None:
    assert compiled(rule("a")).parent is None
    asking = policy.parse(raw(parent={"max_age_ms": 5000, "required": True}))
    assert asking.parent == Demand(5000, required=True)


@pytest.mark.parametrize(
    ("bundle", "says"),
    [
        (raw(rule("a"), rule("a")), "rules[1] (a): name is used twice"),
        (raw(rule("a", paths=["v1"])), "must start with /"),
        (raw(rule("a", paths=["/a*"])), "whole segment"),
        (raw(rule("a", paths=[])), "length"),
        (raw(rule("a", action="allow")), "allow"),
        (raw(rule("a", in_flight="drain")), "drain"),
        (raw(rule("a", in_flight={"drain_ms": 0})), ">= 1"),
        (raw(rule("a", in_flight={"drain_ms": 300_001})), "<= 300000"),
        (raw(rule("a", in_flight={})), "drain_ms"),
        (raw(rule("a", methods=["post"])), "regex"),
        (raw(rule("a", methods=["GET\n"])), "regex"),
        (raw(rule("a", headers=[{"name": "X-Up", "value": "a"}])), "regex"),
        (raw(rule("a", headers=[{"name": "x", "value": " a"}])), "regex"),
        (raw(rule("a", headers=[{"name": "x", "value": "a\r\nb"}])), "regex"),
        (raw(rule("A")), "regex"),
        (raw(rule("a", unknown=1)), "unknown"),
        (raw(shadow=True), "unknown"),
        (raw(parent={"max_age_ms": 0, "required": True}), ">= 1"),
        (raw(parent={"max_age_ms": 1}), "required"),
        (raw(_type="urn:epochgate:routes:v1"), "_type is"),
        (b"", ""),
        (raw(rule("a")) + b"\n", "canonical"),
        (b'{"_type": "urn:epochgate:policy:v1","name":"p","rules":[]}', "canonical"),
        (b'{"rules":[],"_type":"urn:epochgate:policy:v1","name":"p"}', "canonical"),
    ],
)
def test_a_bundle_that_is_none_is_refused_whole(bundle: bytes, says: str) -> None:
    assert says in refused(bundle)


def test_a_bundle_beyond_its_limit_is_refused_before_it_is_parsed() -> None:
    assert "limit" in refused(b" " * (policy.MAX_BYTES + 1))


def test_every_problem_of_a_bundle_is_named_at_once() -> None:
    detail = refused(raw(rule("a", paths=["v1", "/a?b"]), rule("a")))
    assert detail.count(";") == 2


@given(st.binary(max_size=200))
def test_any_bytes_are_a_policy_or_a_protocol_error(bundle: bytes) -> None:
    assert outcome(bundle) in (None, Reason.POLICY_INVALID)


# Expressions. What they are told is in `test_facts.py`, what is wrong with one in
# `test_clause_check.py`, what they mean in `expression/`.

TRUE, FALSE = clauses.TRUE, clauses.FALSE
FAILS = clauses.header("x-absent", "a")


def when(*expressions: dict[str, Json]) -> list[dict[str, Json]]:
    return [{"expression": one, "name": f"c{index}"} for index, one in enumerate(expressions)]


def must(name: str, expression: Json, **more: Json) -> list[dict[str, Json]]:
    return [{"expression": expression, "name": name, **more}]


def judged(made: Policy, request: RequestHead | None = None) -> Verdict:
    now = Now(BootNs(0), WallMs(0))
    return made.judge(Facts(request or head(), NO_ROUTES, None, None, made.here, now))


def said(verdict: Verdict) -> tuple[Reason | None, str | None, str | None]:
    rule = None if verdict.rule is None else verdict.rule.name
    return verdict.reason, rule, None if verdict.clause is None else verdict.clause.name


def test_a_policy_asks_only_when_it_has_something_to_ask() -> None:
    assert not compiled(rule("a")).asks
    assert not DENY_ALL.asks
    assert not compiled(rule("a"), variables=[{"expression": TRUE, "name": "x"}]).asks
    assert compiled(rule("a", conditions=when(TRUE))).asks
    assert compiled(rule("a"), validations=must("v", TRUE)).asks
    assert compiled(rule("a"), annotations=[{"key": "k", "value_expression": CHAT}]).asks


CHAT = clauses.text("chat")


@pytest.mark.parametrize(
    ("expressions", "rule_name"),
    [((), "a"), ((TRUE,), "a"), ((TRUE, TRUE), "a"), ((FALSE,), "b"), ((TRUE, FALSE), "b")],
)
@pytest.mark.parametrize("action", ["permit", "deny"])
def test_a_rule_matches_when_all_its_conditions_are_true(
    expressions: tuple[dict[str, Json], ...], rule_name: str, action: str
) -> None:
    made = compiled(rule("a", action, conditions=when(*expressions)), rule("b", action))
    made.asks = True
    denied = None if action == "permit" else Reason.POLICY_DENY
    assert said(judged(made)) == (denied, rule_name, None)


def test_a_condition_is_asked_when_the_rest_of_its_rule_matches_and_not_before() -> None:
    other = [
        rule("method", methods=["GET"], conditions=when(FAILS)),
        rule("path", paths=["/other"], conditions=when(FAILS)),
        rule("header", headers=[TENANT], conditions=when(FAILS)),
        rule("false", conditions=when(FALSE, FAILS)),
    ]
    assert said(judged(compiled(*other, rule("chat")))) == (None, "chat", None)


@pytest.mark.parametrize("action", ["permit", "deny"])
def test_a_condition_that_fails_denies_whatever_comes_after(action: str) -> None:
    made = compiled(rule("a", action, conditions=when(TRUE, FAILS, FALSE)), rule("b"))
    assert said(judged(made)) == (Reason.POLICY_INVALID, "a", "c1")


def test_nothing_matched_names_no_rule_and_no_clause() -> None:
    made = compiled(rule("a", conditions=when(FALSE)))
    assert said(judged(made)) == (Reason.POLICY_DENY, None, None)


def test_what_a_rule_permits_satisfies_the_policy_and_the_rule() -> None:
    def found(all_: Json, own: Json) -> tuple[Reason | None, str | None, str | None]:
        made = rule("a", validations=must("own", own))
        return said(judged(compiled(made, rule("b"), validations=must("all", all_))))

    assert found(TRUE, TRUE) == (None, "a", None)
    assert found(FALSE, FAILS) == (Reason.POLICY_DENY, "a", "all")
    assert found(TRUE, FALSE) == (Reason.POLICY_DENY, "a", "own")
    assert found(FAILS, FALSE) == (Reason.POLICY_INVALID, "a", "all")
    assert found(TRUE, FAILS) == (Reason.POLICY_INVALID, "a", "own")


def test_a_rule_that_denies_asks_for_no_validation_and_gives_no_message() -> None:
    made = compiled(rule("stop", "deny"), validations=must("v", FALSE, message="no"))
    assert said(judged(made)) == (Reason.POLICY_DENY, "stop", None)
    assert judged(made).message == ""


def test_a_validation_that_is_false_has_the_client_told_why() -> None:
    model = clauses.header_value("x-model")
    made = compiled(
        rule("a"), validations=must("v", FALSE, message="not today", message_expression=model)
    )
    assert judged(made, head(headers=(("x-model", "m7"),))).message == "m7"
    assert judged(made).message == "not today"


def test_a_validation_that_fails_tells_the_client_nothing() -> None:
    made = compiled(rule("a"), validations=must("v", FAILS, message="secret"))
    assert judged(made).message == ""


def test_variables_are_worked_out_from_those_before_and_used_everywhere() -> None:
    def variable(name: str) -> dict[str, Json]:
        return clauses.value_of(f"variables.{name}")

    made = compiled(
        rule("a", conditions=when(clauses.equals("variables.twice", "m7"))),
        variables=[
            {"expression": clauses.header_value("x-model"), "name": "model"},
            {"expression": variable("model"), "name": "twice"},
        ],
        annotations=[{"key": "m", "value_expression": variable("twice")}],
        validations=must("v", FALSE, message_expression=variable("model")),
    )
    found = judged(made, head(headers=(("x-model", "m7"),)))
    assert (said(found), found.message) == ((Reason.POLICY_DENY, "a", "v"), "m7")
    assert found.annotations == {"m": "m7"}
    assert said(judged(made)) == (Reason.POLICY_INVALID, "a", "c0")


def test_annotations_stand_with_whatever_a_rule_decided_in_the_order_of_a_record() -> None:
    noted = [
        {"key": "z", "value_expression": CHAT}, {"key": "a", "value_expression": CHAT},
        {"key": "m", "value_expression": clauses.header_value("x-absent")},
    ]  # fmt: skip
    for made in (rule("r"), rule("r", "deny"), rule("r", conditions=when(FAILS))):
        found = judged(compiled(made, annotations=noted)).annotations
        assert found is not None
        assert list(found.items()) == [("a", "chat"), ("z", "chat")]
    assert judged(compiled(annotations=noted)).annotations is None


def test_our_own_mistake_denies_and_is_told_apart() -> None:
    made = compiled(rule("a", conditions=when(TRUE)), rule("b"))

    def broken(facts: Facts) -> object:
        raise ZeroDivisionError

    (asked,) = made.rules[0].conditions
    made.rules[0].conditions = (Clause(asked.name, broken),)
    assert said(judged(made)) == (Reason.INTERNAL_ERROR, "a", "c0")


@given(st.lists(st.sampled_from([TRUE, FALSE, FAILS]), max_size=4), st.booleans())
def test_conditions_are_asked_in_order_until_one_is_not_true(
    expressions: list[dict[str, Json]],
    permits: bool,  # noqa: FBT001 (drawn)
) -> None:
    """Against the sentence in the header of `policy.py`, spelt out."""
    action = "permit" if permits else "deny"
    made = compiled(rule("a", action, conditions=when(*expressions)), validations=must("v", TRUE))
    first = next((one for one in expressions if one is not TRUE), TRUE)
    wanted = {
        id(TRUE): None if permits else Reason.POLICY_DENY,
        id(FALSE): Reason.POLICY_DENY,
        id(FAILS): Reason.POLICY_INVALID,
    }
    assert judged(made).reason is wanted[id(first)]


# Mode and halves.


def test_a_policy_says_itself_that_it_is_only_observed() -> None:
    assert compiled(rule("a"), mode="observe").observes
    assert not compiled(rule("a")).observes
    assert "mode" in refused(raw(rule("a"), mode="enforce"))  # one value, one byte form


OTHER = {"_type": policy.TYPE, "name": "other", "rules": [rule("old")], "mode": "observe"}
KEY = Workload(key_id="ab" * 32)  # 83.13 % of all instances are before this one


@pytest.mark.parametrize(("percent", "half"), [(83, "otherwise"), (84, "within")])
def test_an_instance_has_one_half_whole_under_the_digest_of_both(percent: int, half: str) -> None:
    bundle = raw(rule("new"), name="chat", rollout={"otherwise": OTHER, "percent": percent})
    made = policy.parse(bundle, KEY)
    assert (made.half, made.here) == (half, KEY)
    assert (made.sha256, made.raw) == (canonical.digest(bundle), bundle)
    other = half == "otherwise"
    assert (made.name, made.observes) == (("other", True) if other else ("chat", False))
    assert matched(made, head()) == ("old" if other else "new")


def test_without_a_rollout_there_are_no_halves() -> None:
    assert policy.parse(raw(rule("a")), KEY).half is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rules": [rule("a"), rule("a")]}, "rollout.otherwise: rules[1] (a): name is used twice"),
        ({"rollout": {"otherwise": OTHER, "percent": 1}}, "has a rollout of its own"),
        ({"_type": "x"}, "rollout.otherwise: _type is"),
        ({"rules": [rule("a", conditions=when(CHAT))]}, "rollout.otherwise: rules[0] (a).cond"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_both_halves_are_checked_whichever_is_taken(changes: dict[str, Json], says: str) -> None:
    bundle = raw(rule("new"), rollout={"otherwise": OTHER | changes, "percent": 100})
    assert says in refused(bundle)


@pytest.mark.parametrize("percent", [-1, 101, None])
def test_a_rollout_is_for_zero_to_a_hundred_percent(percent: Json) -> None:
    assert "percent" in refused(raw(rollout={"otherwise": OTHER, "percent": percent}))


def test_budgets_are_those_of_the_half_that_is_taken() -> None:
    other = OTHER | {"budgets": {"min_quorum": 3}}
    for percent, quorum in ((0, 3), (100, 2)):
        said = {"otherwise": other, "percent": percent}
        made = policy.parse(raw(rule("a"), budgets={"min_quorum": 2}, rollout=said), KEY)
        assert made.budgets is not None
        assert made.budgets.min_quorum == quorum
    assert policy.parse(raw(rule("a"))).budgets is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(rule("a"))), json_values)
def test_any_value_in_a_rule_is_read_or_a_protocol_error(key: str, value: Json) -> None:
    try:
        bundle = raw({**rule("a"), key: value})
    except ProtocolError:
        return  # outside of what can be encoded at all
    assert outcome(bundle) in (None, Reason.POLICY_INVALID)


def test_a_policy_says_how_much_of_a_body_is_read() -> None:
    assert policy.parse(raw()).model_max_bytes == 0
    assert policy.parse(raw(model={"max_bytes": 1024})).model_max_bytes == 1024
    for wrong in ({}, {"max_bytes": 0}, {"max_bytes": 2**20 + 1}, {"max_bytes": 1, "min": 1}):
        assert outcome(raw(model=wrong)) is Reason.POLICY_INVALID
