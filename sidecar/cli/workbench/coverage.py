"""What of a policy its cases have tried.

Rules:

* Three kinds of things are to be tried: a rule decides a case; a condition is once true and once
  false; so is a validation. What fails is neither.
* Counted is what decided, on the way that `trace.py` shows: a condition that no case came to, or a
  validation of a rule that matched none, was not tried.

Source: conventions 5 (`opa test --coverage`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from sidecar.cli import cases
from sidecar.cli.cases import Case, Suite
from sidecar.cli.workbench.trace import End, Trace, known_of, unasked
from sidecar.core import policy
from sidecar.core.clauses import listed
from sidecar.core.policy import Policy
from sidecar.core.policy_body import Body, RuleBody

Item = tuple[str, str, str]  # rule or empty, what, name: ("chat", "condition", "fresh is true")


@dataclass(slots=True)
class Coverage:
    """Of one policy.

    Attributes:
        file: Of the policy.
        tried: Every thing that is to be tried, and whether it was, in the order of the file.
    """

    file: Path
    tried: dict[Item, bool] = field(default_factory=dict)

    @property
    def percent(self) -> float:
        """Of things that were tried; of a policy without any: all."""
        return 100 * sum(self.tried.values()) / len(self.tried) if self.tried else 100.0

    @property
    def untried(self) -> list[str]:
        """The others, one line each."""
        return [_line(item) for item, done in self.tried.items() if not done]


def measure(suites: Sequence[Suite]) -> list[Coverage]:
    """What all cases of all suites together tried, for each policy."""
    found: dict[Path, Coverage] = {}
    for suite in suites:
        for file, compiled in suite.policies:
            one = found.setdefault(file.resolve(), Coverage(file))
            for item in _items(Trace(compiled, in_parts=False).body):
                one.tried.setdefault(item, False)
            for case in suite.cases:
                for item in _tried(compiled, suite, case):
                    one.tried[item] = True
    return list(found.values())


def show(covered: Sequence[Coverage]) -> None:
    """Print it for people."""
    for one in covered:
        click.echo(f"{one.percent:.1f}% of {one.file} was tried")
        for line in one.untried:
            click.echo(f"  not tried  {line}")


def as_json(covered: Sequence[Coverage]) -> dict[str, object]:
    """The same for programs; nothing, when it was not asked for."""
    rows = [
        {"policy": str(one.file), "percent": round(one.percent, 1), "untried": one.untried}
        for one in covered
    ]
    return {"coverage": rows} if rows else {}


def _items(body: Body) -> Iterator[Item]:
    for rule in body.rules:
        yield (rule.name, "decides", "")
        for condition in listed(rule.conditions):
            yield from _both(rule.name, "condition", condition.name)
        for validation in listed(rule.validations):
            yield from _both(rule.name, "validation", validation.name)
    for validation in listed(body.validations):
        yield from _both("", "validation", validation.name)


def _both(rule: str, what: str, name: str) -> Iterator[Item]:
    yield (rule, what, f"{name} is true")
    yield (rule, what, f"{name} is false")


def _tried(compiled: Policy, suite: Suite, case: Case) -> Iterator[Item]:
    start = case.given
    if start.here != compiled.here:
        compiled = policy.parse(compiled.raw, start.here)
    found = cases.describe(cases.decided(compiled, suite.routes, start))
    if unasked(compiled, suite.routes, start, found):
        return
    trace = Trace(compiled, in_parts=False)
    for step in trace.steps(known_of(compiled, suite.routes, start)):
        if step.end is End.DECIDES:
            yield (step.rule.name, "decides", "")
        own = _names(step.rule)
        for one in step.asked:
            if one.name and one.holds is not None:
                rule = step.rule.name if one.name in own else ""
                yield (rule, one.what, f"{one.name} is {one.found}")


def _names(rule: RuleBody) -> frozenset[str]:
    conditions = (one.name for one in listed(rule.conditions))
    return frozenset((*conditions, *(one.name for one in listed(rule.validations))))


def _line(item: Item) -> str:
    rule, what, name = item
    if what == "decides":
        return f"rule {rule} decides"
    return f"rule {rule}: {what} {name}" if rule else f"{what} {name}"
