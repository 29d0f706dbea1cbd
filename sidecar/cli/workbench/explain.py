"""`epochgate policy explain`: which rule decides about a request, for which values, and why."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from sidecar.cli import cases, text
from sidecar.cli.cases import Expected
from sidecar.cli.given import Given
from sidecar.cli.workbench import request
from sidecar.cli.workbench.trace import Asked, End, Step, Trace, known_of, unasked
from sidecar.core.policy import Policy
from sidecar.core.reason import BY_CODE, Reason
from sidecar.core.routes import Routes

EXAMPLE = """\b
Example:
  epochgate policy explain policy.yaml --routes routes.yaml --method POST --path /v1/completions
  epochgate policy explain policy.yaml --routes routes.yaml -f request.json -H 'x-tenant: acme'
  epochgate policy explain policy.yaml --routes routes.yaml -f cases.yaml --case 'old epoch' -o json
"""


@click.command(epilog=EXAMPLE)
@click.argument("file_", metavar="POLICY", type=request.FILE)
@click.option("--routes", "table", required=True, type=request.FILE, help="The route table.")
@request.options
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
def explain(file_: Path, table: Path, asked: Mapping[str, Any], output: str) -> None:
    """Say what POLICY decides about one request: the rule, the clause, and the values.

    Each rule before the one that decides is shown with what kept it from matching. Of expressions
    every part is shown with its value, also where `&&` or `||` did not come to it.
    """
    routes = request.table_of(table)
    start = request.read(asked, routes)
    policy = request.compiled(file_)
    found = cases.describe(cases.decided(policy, routes, start))
    told = Told(policy, routes, start, found)
    if output == "json":
        text.print_json(told.as_json())
    else:
        told.show()


class Told:
    """A decision and what led to it.

    Args:
        policy: Compiled.
        routes: The table.
        start: The request and what is around it.
        found: The decision, as `decide` made it.

    Raises:
        CliError: The way that is shown leads to another decision: a mistake in here.
    """

    def __init__(self, policy: Policy, routes: Routes, start: Given, found: Expected) -> None:
        self._found = found
        self._start = start
        self.before = unasked(policy, routes, start, found)
        self.steps: list[Step] = []
        self._variables: dict[str, object] = {}
        if self.before:
            return
        trace = Trace(policy)
        known = known_of(policy, routes, start)
        self.steps = trace.steps(known)
        self._variables = {name: part.value for name, part in trace.variables(known).items()}
        _agree(self.steps, found)

    @property
    def _decisive(self) -> Step | None:
        last = self.steps[-1] if self.steps else None
        return None if last is None or last.end is End.PASSED_OVER else last

    def show(self) -> None:
        """Print it for people."""
        head, found = self._start.head, self._found
        click.echo(f"{head.method.decode()} {head.target.decode()}: {_decision(found)}")
        for line in self._because():
            click.echo(f"  {line}")
        if not self.steps:
            return
        click.echo("")
        rows = [
            (step.rule.name, step.rule.action, step.end.value, _why(step)) for step in self.steps
        ]
        text.table(("rule", "action", "result", "because"), rows)
        for step in self.steps:
            for one in step.asked:
                if one.name:
                    _show_expression(step, one)
        if self._variables:
            click.echo("")
            text.table(("variable", "value"), list(self._variables.items()))

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        head, found = self._start.head, self._found
        return {
            "request": {"method": head.method.decode(), "target": head.target.decode()},
            "decision": found.decision,
            "reason": found.reason,
            "observed": bool(found.observed),
            "rule": found.rule,
            "route": found.route,
            "clause": found.clause,
            "message": found.message,
            "because": list(self._because()),
            "variables": self._variables,
            "rules": [_step(step) for step in self.steps],
        }

    def _because(self) -> Iterator[str]:
        if self.before:
            yield self.before
            return
        step = self._decisive
        if step is None:
            yield "no rule matches, and what no rule permits is denied"
            return
        yield f"rule {step.rule.name}: {_why(step)}"
        if self._found.message:
            yield f"the client is told: {self._found.message}"
        if self._found.observed:
            yield "the policy is only observed: the request is let through"


def _agree(steps: list[Step], found: Expected) -> None:
    last = steps[-1] if steps else None
    decided = last is not None and last.end is not End.PASSED_OVER
    rule = last.rule.name if last is not None and decided else None
    permitted = last is not None and last.permits
    clause = last.clause if last is not None else None
    failed = last is not None and last.end is End.FAILED
    reason = Reason.POLICY_INVALID if failed else Reason.POLICY_DENY
    said = (rule, clause, None if permitted else reason.code)
    if said != (found.rule, found.clause, found.reason):
        raise text.CliError(
            f"explained as {said}, but is {found}: a mistake in here", text.INTERNAL
        )


def _decision(found: Expected) -> str:
    known = BY_CODE.get(found.reason or "")
    reason = "" if known is None else f" {known.code} {known.slug}"
    seen = " (observed)" if found.observed else ""
    route = "" if found.route is None else f", route {found.route}"
    return f"{found.decision}{seen}{reason}{route}"


def _why(step: Step) -> str:
    last = step.asked[-1]
    if last.holds and step.end is End.DECIDES:
        taken = ", ".join(f"{one.what} {one.name or one.wanted}" for one in step.asked)
        return f"all hold: {taken}"
    if last.name:
        return f"{last.what} {last.name} is {last.found}"
    among = "none of" if ", " in last.wanted else "not"
    return f"{last.what} {last.found} is {among} {last.wanted}"


def _show_expression(step: Step, one: Asked) -> None:
    click.echo("")
    click.echo(f"{one.what} {one.name} of {step.rule.name}")
    rows = [(part.text, part.value) for part in one.parts]
    text.table(("expression", "value"), [*rows, (one.wanted, one.found)])


def _step(step: Step) -> dict[str, object]:
    return {
        "rule": step.rule.name,
        "action": step.rule.action,
        "result": step.end.value,
        "because": _why(step),
        "asked": [
            {
                "what": one.what, "name": one.name or None, "wanted": one.wanted,
                "found": one.found, "holds": one.holds,
                "parts": [{"text": part.text, "value": part.value} for part in one.parts],
            }
            for one in step.asked
        ],
    }  # fmt: skip
