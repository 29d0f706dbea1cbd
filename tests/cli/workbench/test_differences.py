"""What two policies differ in, and what nobody would call a difference."""

from typing import Any

import msgspec
import pytest

from sidecar.cli.workbench.differences import Change, compare
from sidecar.cli.workbench.effect import EITHER, LOOSENS, NONE, TIGHTENS, Effect
from sidecar.core import recording
from sidecar.core.policy_body import (
    TYPE,
    Body,
    BudgetsBody,
    DrainBody,
    ExpressionBody,
    HeaderEquals,
    ModelBody,
    ParentBody,
    RolloutBody,
    RuleBody,
    ValidationBody,
    VariableBody,
)

CHAT = RuleBody("chat", "permit", ("POST",), ("/v1/chat",), (), "cut")
OPS = RuleBody("ops", "deny", (), ("/ops/**",), (), "cut")
ALL = RuleBody("all", "permit", (), ("/**",), (), "cut")
YES = ExpressionBody(code=[["bool", True]], text="true")
NO = ExpressionBody(code=[["bool", False]], text="false")


def body(*rules: RuleBody, **more: Any) -> Body:
    return Body(type=TYPE, name="p", rules=rules, **more)


def with_(rule: RuleBody, **more: Any) -> RuleBody:
    return msgspec.structs.replace(rule, **more)


def only(old: Body, new: Body) -> Change:
    (found,) = compare(old, new)
    return found


def test_the_same_is_no_difference() -> None:
    assert compare(body(CHAT, OPS), body(CHAT, OPS)) == []


@pytest.mark.parametrize(
    ("field", "old", "new", "found"),
    [
        ("mode", msgspec.UNSET, "observe", LOOSENS),
        ("mode", "observe", msgspec.UNSET, TIGHTENS),
        ("parent", msgspec.UNSET, ParentBody(1, required=False), TIGHTENS),
        ("parent", ParentBody(1, required=True), msgspec.UNSET, LOOSENS),
        ("parent", ParentBody(1, required=False), ParentBody(1, required=True), TIGHTENS),
        ("parent", ParentBody(1, required=True), ParentBody(2, required=True), LOOSENS),
        ("parent", ParentBody(2, required=False), ParentBody(1, required=False), TIGHTENS),
        ("model", msgspec.UNSET, ModelBody(1), EITHER),
        ("audit", msgspec.UNSET, recording.Body(receipts=True), NONE),
        ("validations", msgspec.UNSET, (ValidationBody(YES, "v"),), TIGHTENS),
        ("validations", (ValidationBody(YES, "v"),), (ValidationBody(NO, "v"),), EITHER),
        ("validations", (ValidationBody(YES, "v"),), (ValidationBody(YES, "w"),), NONE),
        ("variables", msgspec.UNSET, (VariableBody(YES, "v"),), NONE),
        ("variables", (VariableBody(YES, "v"),), (VariableBody(NO, "v"),), EITHER),
        ("name", "p", "q", NONE),
    ],
)
def test_each_field_of_a_policy_has_its_effect(
    field: str, old: Any, new: Any, found: Effect
) -> None:  # fmt: skip
    before, after = (msgspec.structs.replace(body(CHAT), **{field: said}) for said in (old, new))
    assert only(before, after).effect is found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({}, {"max_age_ms": 5}, TIGHTENS), ({"max_age_ms": 5}, {"max_age_ms": 6}, LOOSENS),
        ({"min_quorum": 2}, {"min_quorum": 3}, TIGHTENS), ({"min_quorum": 2}, {}, LOOSENS),
        ({}, {"models": ("a",)}, TIGHTENS), ({"models": ("a",)}, {"models": ("a", "b")}, LOOSENS),
        ({"tenants": ("a",)}, {"tenants": ("b",)}, EITHER), ({"regions": ("a",)}, {}, LOOSENS),
        ({"max_audit_lag_ms": 5}, {"max_audit_lag_ms": 4}, TIGHTENS),
    ],
)  # fmt: skip
def test_each_budget_has_its_effect(old: Any, new: Any, found: Effect) -> None:
    change = only(body(budgets=BudgetsBody(**old)), body(budgets=BudgetsBody(**new)))
    assert (change.where.split(":")[0], change.effect) == ("budgets", found)


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("methods", (), LOOSENS), ("methods", ("GET",), EITHER),
        ("methods", ("GET", "POST"), LOOSENS),
        ("paths", ("/v1/*",), LOOSENS), ("paths", ("/v1/a",), EITHER),
        ("headers", (HeaderEquals("a", "b"),), TIGHTENS), ("in_flight", DrainBody(1), LOOSENS),
        ("validations", (ValidationBody(YES, "v"),), TIGHTENS), ("action", "deny", TIGHTENS),
    ],
)  # fmt: skip
def test_each_field_of_a_rule_has_its_effect(field: str, value: Any, found: Effect) -> None:
    change = only(body(CHAT), body(with_(CHAT, **{field: value})))
    assert (change.where, change.effect) == (f"rule chat: {field}", found)


def test_of_lists_only_what_differs_is_shown() -> None:
    change = only(body(CHAT), body(with_(CHAT, paths=("/v1/chat", "/v1/x"))))
    assert (change.before, change.after) == ("", "/v1/x")


def test_rules_come_and_go() -> None:
    change = only(body(CHAT), body(CHAT, OPS))
    assert (change.where, change.what, change.after) == ("rule ops", "added", "deny /ops/**")
    assert change.effect is NONE  # nothing after it could have permitted that
    assert only(body(CHAT, ALL), body(CHAT, OPS, ALL)).effect is TIGHTENS
    assert only(body(OPS, ALL), body(ALL)).effect is LOOSENS
    assert only(body(CHAT), body()).effect is TIGHTENS


def test_a_new_order_is_told_by_the_pairs_that_a_request_can_meet() -> None:
    change = only(body(OPS, ALL), body(ALL, OPS))
    assert (change.where, change.before, change.after) == (
        "order", "ops before all", "all before ops",
    )  # fmt: skip
    assert change.effect is LOOSENS
    quiet = only(body(OPS, CHAT), body(CHAT, OPS))
    assert (quiet.before, quiet.effect) == ("1 pairs of rules that no verdict hangs on", NONE)


def test_the_text_of_an_expression_is_no_verdict() -> None:
    other = ExpressionBody(code=[["bool", True]], text="true || false")
    old, new = (body(CHAT, variables=(VariableBody(one, "v"),)) for one in (YES, other))
    assert only(old, new).effect is NONE


def test_a_rollout_is_the_difference_to_what_other_pods_keep() -> None:
    old = body(CHAT)
    new = body(CHAT, OPS, ALL, rollout=RolloutBody(otherwise=old, percent=10))
    found = compare(old, new)[-1]
    assert (found.where, found.after) == ("rollout", "10% of pods; the others keep p")
    assert found.effect is NONE
    more = msgspec.structs.replace(new, rollout=RolloutBody(otherwise=old, percent=50))
    change = only(new, more)
    assert (change.before, change.after) == ("10% of pods", "50% of pods")
    assert change.effect is EITHER  # ALL permits more, OPS less
    widened = body(CHAT, ALL, rollout=RolloutBody(otherwise=old, percent=10))
    wider = msgspec.structs.replace(widened, rollout=RolloutBody(otherwise=old, percent=11))
    assert only(widened, wider).effect is LOOSENS
    assert only(wider, widened).effect is TIGHTENS
    assert compare(new, old)[-1].what == "removed"
