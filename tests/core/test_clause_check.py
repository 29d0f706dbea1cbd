"""What is wrong with the expressions of a policy is said with its place, all of it at once."""

from typing import Any

import pytest

from sidecar.core import canonical, clause_check, policy
from sidecar.core.canonical import Json
from sidecar.core.facts import Facts
from sidecar.core.instant import BootNs, Now, WallMs
from tests import clauses
from tests.core.test_policy import NO_ROUTES, head, raw, refused, rule

TRUE = clauses.TRUE
TEXT = clauses.text("x")


def condition(name: str, expression: Json = TRUE) -> dict[str, Json]:
    return {"expression": expression, "name": name}


def annotation(key: str, expression: Json = TEXT) -> dict[str, Json]:
    return {"key": key, "value_expression": expression}


def dear(steps: int) -> dict[str, Json]:
    """An expression that is true and costs about so many steps."""
    nodes: list[clauses.Node] = []
    terms: list[Json] = []
    while len(terms) * 35 < steps:
        nodes += [["name", "request.path"], ["string", "x"]]
        nodes.append(["contains_string", len(nodes) - 2, len(nodes) - 1])
        terms.append(len(nodes) - 1)
    return clauses.expression(*nodes, ["logical_or", *terms])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"conditions": [condition("a", TEXT)]}, "conditions[0] (a): is string, must be bool"),
        ({"validations": [condition("a", TEXT)]}, "validations[0] (a): is string, must be bool"),
        (
            {"conditions": [condition("a", clauses.value_of("request.body"))]},
            "rules[0] (r).conditions[0] (a): expression",
        ),
        (
            {"conditions": [condition("a"), condition("a")]},
            "rules[0] (r): clause 'a' is there twice",
        ),
        (
            {"conditions": [condition("a")], "validations": [condition("a")]},
            "clause 'a' is there twice",
        ),
        ({"action": "deny", "validations": [condition("a")]}, "never asked"),
        (
            {"validations": [condition("a") | {"message": "two\nlines"}]},
            "message must be one line",
        ),
        (
            {"validations": [condition("a") | {"message_expression": TRUE}]},
            "validations[0] (a).message_expression: is bool, must be string",
        ),
        ({"conditions": [condition("A")]}, "regex"),
        ({"conditions": [{"expression": TRUE}]}, "name"),
        ({"conditions": [condition("a") | {"unknown": 1}]}, "unknown"),
    ],
)
def test_what_is_wrong_with_a_clause_of_a_rule_is_said(changes: dict[str, Any], says: str) -> None:
    assert says in refused(raw(rule("r", **changes)))


VARIABLE = {"expression": TEXT, "name": "x"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"variables": [VARIABLE, VARIABLE]}, "variables[1] (x): name is used twice"),
        ({"variables": [VARIABLE | {"name": "a.b"}]}, "regex"),
        (
            {"variables": [{"expression": clauses.value_of("variables.y"), "name": "x"},
                           {"expression": TEXT, "name": "y"}]},
            "variables[0] (x): expression",
        ),
        ({"annotations": [annotation("a", TRUE)]}, "annotations[0] (a): is bool, must be string"),
        ({"annotations": [annotation("a")] * 2}, "annotations: key 'a' is there twice"),
        ({"annotations": [annotation(f"a{n}") for n in range(17)]}, "annotations: 17, at most 16"),
        ({"validations": [condition("v", TEXT)]}, "validations[0] (v): is string, must be bool"),
        ({"validations": [condition("c")]}, "rules[0] (r): clause 'c' is there twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_expression_of_the_policy_is_said(
    changes: dict[str, Any], says: str
) -> None:
    assert says in refused(raw(rule("r", conditions=[condition("c")]), **changes))


def test_all_that_is_wrong_is_said_at_once() -> None:
    detail = refused(
        raw(
            rule("r", conditions=[condition("a", TEXT), condition("b", TEXT)]),
            annotations=[annotation("a", TRUE)], validations=[condition("c", TEXT)],
        )
    )  # fmt: skip
    assert detail.count("; ") == 3


def chain(count: int) -> bytes:
    """So many variables, each of which is the one before it."""
    variables: list[Json] = [{"expression": TEXT, "name": "v0"}]
    for number in range(1, count):
        before = clauses.value_of(f"variables.v{number - 1}")
        variables.append({"expression": before, "name": f"v{number}"})
    last = condition("last", clauses.equals(f"variables.v{count - 1}", "x"))
    return raw(rule("r", conditions=[last]), variables=variables)


def test_variables_that_lean_on_each_other_are_nested_like_one_expression() -> None:
    """The interpreter has one stack for all of them: an overflow would be no denial."""
    assert "nested deeper than 64" in refused(chain(70))
    deepest = policy.parse(chain(62))
    known = Facts(head(), NO_ROUTES, None, None, deepest.here, Now(BootNs(0), WallMs(0)))
    assert deepest.rules[0].conditions[0].holds(known)


def test_what_one_request_can_cost_is_bounded_over_all_that_it_passes() -> None:
    def bundle(count: int, path: str) -> bytes:
        paths = [path.format(number) for number in range(count)]
        made = [condition("a", dear(8_000))]
        return raw(*(rule(f"r{n}", paths=[at], conditions=made) for n, at in enumerate(paths)))

    assert "at most 100000" in refused(bundle(14, "/same"))
    assert "at most 100000" in refused(bundle(14, "/v{}/**"))
    for fits in (bundle(14, "/v{}"), bundle(8, "/same"), bundle(8, "/v{}/**")):
        body = canonical.load(fits, policy.Body, policy.MAX_BYTES)
        assert clause_check.problems(body) == []
