"""One compiled rule. What it matches is in `test_policy.py`."""

from sidecar.core import facts
from sidecar.core.policy_body import ConditionBody, ExpressionBody, RuleBody, ValidationBody
from sidecar.core.rule import Rule

TRUE = ExpressionBody(code=[["bool", True]], text="true")


def test_a_rule_asks_what_holds_for_all_before_what_is_its_own() -> None:
    always = Rule(body("a", "all"), (), facts.VALUES).validations
    made = Rule(body("b", "own"), always, facts.VALUES)
    assert [one.name for one in made.validations] == ["all", "own"]
    assert [one.name for one in made.conditions] == ["when"]


def body(name: str, validation: str) -> RuleBody:
    return RuleBody(
        name=name, action="permit", methods=(), paths=("/**",), headers=(), in_flight="cut",
        conditions=(ConditionBody(expression=TRUE, name="when"),),
        validations=(ValidationBody(expression=TRUE, name=validation),),
    )  # fmt: skip
