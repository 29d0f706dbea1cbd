"""Rules of a policy: order, methods, headers, and bundles that are none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, policy
from sidecar.core.canonical import Json
from sidecar.core.head import RequestHead
from sidecar.core.policy import DENY_ALL, Policy
from sidecar.core.reason import ProtocolError, Reason


def rule(name: str, action: str = "permit", **changes: Any) -> dict[str, Json]:
    return {
        "name": name, "action": action, "methods": [], "paths": ["/**"], "headers": [],
        "in_flight": "cut", **changes,
    }  # fmt: skip


def raw(*rules: dict[str, Json], **changes: Any) -> bytes:
    return canonical.encode({"_type": policy.TYPE, "name": "p", "rules": [*rules], **changes})


def compiled(*rules: dict[str, Json]) -> Policy:
    return policy.parse(raw(*rules))


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
