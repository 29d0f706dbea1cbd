"""Policy tests: requests with the decision that their author expects.

Rules:

* A case is judged by `decide`, the function that judges requests in a pod, over a snapshot made of
  the policy and the route table that the sidecar would compile. There is no second evaluator that
  could disagree with the first.
* A case fails when anything that it states differs; what it does not state is not compared.
* A rule that no case was ever decided by is named: it may be shadowed by a rule before it.

Source: conventions 5 and 11-J.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from sidecar.cli import given, resource, source
from sidecar.cli.given import Given
from sidecar.cli.resource import Reader
from sidecar.config.document import Node
from sidecar.core import policy, routes
from sidecar.core.clauses import Clause
from sidecar.core.facts import Workload
from sidecar.core.gate import Decision, Denial, Exempt, Permit, decide
from sidecar.core.policy import Policy, Rule
from sidecar.core.reason import BY_CODE
from sidecar.core.routes import Routes

KIND = "GatePolicyTest"
DECISIONS = ("permit", "deny", "exempt")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case states about its decision; None: not stated."""

    decision: str
    reason: str | None = None
    rule: str | None = None
    route: str | None = None
    clause: str | None = None
    message: str | None = None
    observed: bool | None = None

    def __str__(self) -> str:
        message = None if self.message is None else repr(self.message)
        seen = "observed" if self.observed else None
        parts = (self.decision, seen, self.reason, self.rule, self.route, self.clause, message)
        return " ".join(part for part in parts if part is not None)

    def met_by(self, found: "Expected") -> bool:
        """Whether everything that is stated here is so there."""
        pairs = ((getattr(self, field.name), getattr(found, field.name)) for field in fields(self))
        return all(stated is None or stated == seen for stated, seen in pairs)


@dataclass(frozen=True, slots=True)
class Case:
    """One request, what is around it, and what should come of it."""

    name: str
    given: Given
    expected: Expected


@dataclass(frozen=True, slots=True)
class Suite:
    """One file of cases, and the policies each of which has to satisfy all of them."""

    file: Path
    policies: tuple[tuple[Path, Policy], ...]
    routes: Routes
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one case under one policy."""

    file: Path
    policy: Path
    case: Case
    found: Expected

    @property
    def passed(self) -> bool:
        """Whether everything that the case states is so."""
        return self.case.expected.met_by(self.found)


def load(path: Path) -> Suite | None:
    """Read a file of cases and the policies and routes that it names, relative to itself.

    Returns:
        None when the file is of another kind: a folder may hold policies beside their cases.

    Raises:
        ResourceError: with everything that is wrong with the file.
        OSError: A file cannot be read.
    """
    kind, root, reader = resource.read(path, path.read_bytes())
    if kind != KIND:
        return None
    _, spec = resource.frame(reader, root, KIND)
    fields = reader.mapping(spec, "spec", ("policies", "routes", "cases"), ("defaults",))
    name = reader.text(fields.get("routes"), "spec.routes")
    # First: cases say model and tenant, and this says where these stand.
    table = routes.parse(source.load_routes(path.parent / name)) if name else None
    start = given.read(reader, fields.get("defaults"), "spec.defaults", Given(), table)
    items = reader.items(fields.get("cases"), "spec.cases")
    reader.distinct(items, "name")
    cases = tuple(_case(reader, node, where, start, table) for node, where in items)
    named = [
        path.parent / (reader.text(node, where) or "")
        for node, where in reader.items(fields.get("policies"), "spec.policies")
    ]
    reader.finish()
    assert table is not None  # finish would have said that it is missing
    compiled = tuple((file, policy.parse(source.load_policy(file))) for file in named)
    return Suite(path, compiled, table, cases)


def run(suite: Suite) -> list[Result]:
    """Decide every case under every policy of the suite."""
    return [
        Result(suite.file, file, case, describe(decided(compiled, suite.routes, case.given)))
        for file, compiled in suite.policies
        for case in suite.cases
    ]


def undecided(suites: Sequence[Suite], results: Sequence[Result]) -> list[tuple[Path, str]]:
    """Policy file and name of each rule that decided no case, in the order of the files."""
    used = {(result.policy.resolve(), result.found.rule) for result in results}
    rules = {
        (file.resolve(), rule.name): (file, rule.name)
        for suite in suites
        for file, compiled in suite.policies
        for rule in compiled.rules
    }
    return [shown for key, shown in rules.items() if key not in used]


def _case(reader: Reader, node: Node, path: str, defaults: Given, table: Routes | None) -> Case:
    fields = reader.mapping(node, path, ("name", "expect"), ("given",))
    name = reader.text(fields.get("name"), f"{path}.name") or ""
    start = given.read(reader, fields.get("given"), f"{path}.given", defaults, table)
    return Case(name, start, _expected(reader, fields.get("expect"), f"{path}.expect"))


def _expected(reader: Reader, node: Node | None, path: str) -> Expected:
    texts = ("reason", "rule", "route", "clause", "message")
    fields = reader.mapping(node, path, ("decision",), (*texts, "observed"))
    stated = {key: reader.text(fields[key], f"{path}.{key}") for key in texts if key in fields}
    reason = stated.get("reason")
    if reason is not None and reason not in BY_CODE:
        message = f"{reason!r} is no reason; `epochgate explain` lists them"
        reader.wrong(fields["reason"].origin, f"{path}.reason", message)
    decision = reader.choice(fields.get("decision"), f"{path}.decision", DECISIONS)
    observed = fields.get("observed")
    return Expected(
        decision,
        observed=None if observed is None else reader.flag(observed, f"{path}.observed"),
        **stated,
    )


def decided(compiled: Policy, table: Routes, start: Given) -> Decision:
    """What a sidecar with this policy and these routes would decide."""
    if start.here != compiled.here:
        compiled = _compiled_there(compiled.raw, start.here)
    return decide(start.snapshot(compiled, table), start.head_under(compiled), start.now)


@lru_cache(maxsize=64)
def _compiled_there(raw: bytes, here: Workload) -> Policy:
    return policy.parse(raw, here)


def describe(decision: Decision) -> Expected:
    """A decision in the words of a case."""
    match decision:
        case Permit(route=route, rule=rule, observed=observed, verdict=verdict):
            return Expected(
                "permit", None if observed is None else observed.code, _name(rule), route.name,
                clause=_name(verdict.clause if verdict is not None else None),
                observed=observed is not None,
            )  # fmt: skip
        case Exempt():
            return Expected("exempt", observed=False)
        case Denial(reason=reason, rule=rule, verdict=verdict, message=message):
            clause = _name(verdict.clause if verdict is not None else None)
            return Expected(
                "deny", reason.code, _name(rule), None, clause, message or None, observed=False
            )


def _name(named: Rule | Clause | None) -> str | None:
    return None if named is None else named.name


# For who judges a request without a case.
LIVE, NOW = Given().granted(), Given().now
