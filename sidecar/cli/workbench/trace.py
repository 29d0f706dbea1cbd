"""One request on its way through the rules of a policy: what was asked, and what was found.

This walks the same way as `core/policy`, and shows every step. Whoever uses it holds the last step
against what `decide` said (`agrees`): this explains verdicts, it gives none.

Source: core/policy (order, errors).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from sidecar.cli.cases import Expected
from sidecar.cli.given import Given
from sidecar.cli.workbench import values
from sidecar.cli.workbench.spelling import spelled
from sidecar.cli.workbench.values import Part
from sidecar.core import canonical, clauses
from sidecar.core.clauses import listed
from sidecar.core.expression.checking import check
from sidecar.core.expression.environment import DECLARED, VARIABLES
from sidecar.core.facts import VALUES, Ask, Facts
from sidecar.core.gate import lapsed
from sidecar.core.paths import PathIndex
from sidecar.core.policy import MAX_BYTES, Policy
from sidecar.core.policy_body import (
    Body,
    ConditionBody,
    HeaderEquals,
    RolloutBody,
    RuleBody,
    ValidationBody,
)
from sidecar.core.routes import Routes


class End(Enum):
    """How a rule was left."""

    PASSED_OVER = "passed over"
    DECIDES = "decides"
    FAILED = "failed"  # an expression without a value: denies


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of a rule.

    Attributes:
        what: path, method, header, condition or validation.
        wanted: What the rule says.
        found: What the request says; of an expression its value.
        holds: None: it has no value.
        name: Of a condition or validation.
        parts: What an expression was made of.
    """

    what: str
    wanted: str
    found: str
    holds: bool | None
    name: str = ""
    parts: list[Part] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Step:
    """One rule.

    Attributes:
        rule: It.
        asked: In order; the last one is why it was left.
        end: How.
    """

    rule: RuleBody
    asked: list[Asked]
    end: End

    @property
    def permits(self) -> bool:
        """Whether the request passes by this rule."""
        return self.end is End.DECIDES and self.rule.action == "permit" and _all(self.asked)

    @property
    def clause(self) -> str | None:
        """Name of the condition or validation that denied, or failed."""
        last = self.asked[-1]
        denied = self.end is End.FAILED or last.holds is False
        return last.name if denied and self.end is not End.PASSED_OVER and last.name else None


class Trace:
    """Walks through one policy.

    Args:
        policy: Compiled: of a rollout, the half that is in force is walked through.
        in_parts: Whether expressions are taken apart.

    Attributes:
        body: Of that half.
    """

    def __init__(self, policy: Policy, *, in_parts: bool = True) -> None:
        self._in_parts = in_parts
        body = canonical.load(policy.raw, Body, MAX_BYTES)
        if policy.half == "otherwise" and isinstance(body.rollout, RolloutBody):
            body = body.rollout.otherwise
        self.body = body
        self._names: Mapping[str, Ask] = clauses.names(body.variables, VALUES)
        self._kinds = dict(DECLARED)
        for one in listed(body.variables):
            self._kinds[VARIABLES + one.name] = check(one.expression, self._kinds)

    def variables(self, known: Facts) -> dict[str, Part]:
        """What the variables of the policy were worth."""
        return {
            one.name: values.worth(one.expression, self._kinds, self._names, known)
            for one in listed(self.body.variables)
        }

    def steps(self, known: Facts) -> list[Step]:
        """Every rule up to the one that decides, or all of them."""
        found: list[Step] = []
        for rule in self.body.rules:
            found.append(self._step(rule, known))
            if found[-1].end is not End.PASSED_OVER:
                break
        return found

    def _step(self, rule: RuleBody, known: Facts) -> Step:
        asked: list[Asked] = []
        for one in self._match(rule, known):
            asked.append(one)
            if not one.holds:
                return Step(rule, asked, End.FAILED if one.holds is None else End.PASSED_OVER)
        if rule.action == "permit":
            for one in self._validations(rule, known):
                asked.append(one)
                if not one.holds:
                    return Step(rule, asked, End.FAILED if one.holds is None else End.DECIDES)
        return Step(rule, asked, End.DECIDES)

    def _match(self, rule: RuleBody, known: Facts) -> Iterator[Asked]:
        yield _path(rule, known)
        if rule.methods:
            method = known.head.method.decode("ascii", "backslashreplace")
            yield Asked("method", spelled(rule.methods), method, method in rule.methods)
        for header in rule.headers:
            yield _header(rule, header, known)
        for condition in listed(rule.conditions):
            yield self._expression("condition", condition, known)

    def _validations(self, rule: RuleBody, known: Facts) -> Iterator[Asked]:
        for validation in (*listed(self.body.validations), *listed(rule.validations)):
            yield self._expression("validation", validation, known)

    def _expression(self, what: str, said: ConditionBody | ValidationBody, known: Facts) -> Asked:
        whole = values.worth(said.expression, self._kinds, self._names, known)
        holds = None if whole.failed else whole.value == "true"
        parts = []
        if self._in_parts:
            parts = values.parts(said.expression, self._kinds, self._names, known)
        return Asked(what, whole.text, whole.value, holds, said.name, parts)


def known_of(policy: Policy, routes: Routes, start: Given) -> Facts:
    """What the expressions of a policy can know about a request."""
    snapshot = start.snapshot(policy, routes)
    head = start.head_under(policy)
    return Facts(
        head, routes, snapshot.lease, snapshot.epoch, start.here, start.now,
        parent=snapshot.parent_of(head),
    )  # fmt: skip


def unasked(policy: Policy, routes: Routes, start: Given, found: Expected) -> str:
    """Why the rules of a policy were not asked; empty: they were."""
    if found.decision == "exempt":
        return "the target is exempt: it is forwarded whatever the gate says"
    closed = lapsed(start.snapshot(policy, routes), start.now)
    if closed is not None:
        return f"the gate is closed, so nobody asked the policy: {closed.code} {closed.slug}"
    route = routes.match(start.head.path)
    if route is None:
        return "no route takes the path, so nobody asked the policy"
    scoped = start.snapshot(policy, routes).scoped
    if scoped is not None and scoped.forbids(routes, route.name, start.head) is not None:
        return "its model or tenant is none that the budgets of the policy name"
    orphaned = None if policy.parent is None else policy.parent.refuses(start.head.parent)
    if orphaned is not None:
        return f"the parent decision is not good enough: {orphaned.code} {orphaned.slug}"
    return ""


def _path(rule: RuleBody, known: Facts) -> Asked:
    path = known.head.path
    taken = PathIndex([[pattern.encode()] for pattern in rule.paths]).candidates(path)
    wanted = rule.paths[taken[0]] if taken else spelled(rule.paths)
    return Asked("path", wanted, path.decode("ascii", "backslashreplace"), bool(taken))


def _header(rule: RuleBody, said: HeaderEquals, known: Facts) -> Asked:
    name, value = said.name.encode(), said.value.encode()
    found = [text for key, text in known.head.headers if key == name]
    holds = found == [value] if rule.action == "permit" else value in found
    shown = ", ".join(text.decode("ascii", "backslashreplace") for text in found)
    return Asked("header", spelled(said), shown if found else "not sent", holds)


def _all(asked: list[Asked]) -> bool:
    return all(one.holds for one in asked)
