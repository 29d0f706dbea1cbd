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
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar.cli import resource, source
from sidecar.cli.resource import Reader
from sidecar.config.document import Node
from sidecar.core import policy, routes
from sidecar.core.gate import Decision, Denial, Exempt, Permit, decide
from sidecar.core.head import Header, RequestHead
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.lease import Lease
from sidecar.core.objects import beat
from sidecar.core.objects.trust import LogHead, Mark, TrustRef
from sidecar.core.policy import Method, Policy
from sidecar.core.reason import BY_CODE
from sidecar.core.routes import Routes
from sidecar.core.snapshot import Snapshot

KIND = "GatePolicyTest"
LEASES = ("live", "none")
DECISIONS = ("permit", "deny", "exempt")

_NOW = Now(BootNs(0), WallMs(0))
_ZERO = "0" * 64


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case states about its decision; None: not stated."""

    decision: str
    reason: str | None = None
    rule: str | None = None
    route: str | None = None

    def __str__(self) -> str:
        parts = (self.decision, self.reason, self.rule, self.route)
        return " ".join(part for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class Case:
    """One request, the state of the lease, and what should come of it."""

    name: str
    head: RequestHead
    lease: str
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
        stated, found = self.case.expected, self.found
        pairs = (
            (stated.decision, found.decision),
            (stated.reason, found.reason),
            (stated.rule, found.rule),
            (stated.route, found.route),
        )
        return all(want is None or want == got for want, got in pairs)


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
    given = _given(reader, fields.get("defaults"), "spec.defaults", _NOTHING)
    items = reader.items(fields.get("cases"), "spec.cases")
    cases = tuple(_case(reader, node, where, given) for node, where in items)
    named = [
        path.parent / (reader.text(node, where) or "")
        for node, where in reader.items(fields.get("policies"), "spec.policies")
    ]
    table = path.parent / (reader.text(fields.get("routes"), "spec.routes") or "")
    reader.finish()
    compiled = tuple((file, policy.parse(source.load_policy(file))) for file in named)
    return Suite(path, compiled, routes.parse(source.load_routes(table)), cases)


def run(suite: Suite) -> list[Result]:
    """Decide every case under every policy of the suite."""
    return [
        Result(suite.file, file, case, _describe(_decide(compiled, suite.routes, case)))
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


@dataclass(frozen=True, slots=True)
class _Given:
    method: str
    path: str
    headers: tuple[Header, ...]
    lease: str


_NOTHING = _Given("GET", "/", (), "live")


def _case(reader: Reader, node: Node, path: str, defaults: _Given) -> Case:
    fields = reader.mapping(node, path, ("name", "expect"), ("given",))
    given = _given(reader, fields.get("given"), f"{path}.given", defaults)
    target = given.path.encode()
    head = RequestHead(given.method.encode(), target, target.partition(b"?")[0], given.headers)
    expected = _expected(reader, fields.get("expect"), f"{path}.expect")
    return Case(reader.text(fields.get("name"), f"{path}.name") or "", head, given.lease, expected)


def _given(reader: Reader, node: Node | None, path: str, defaults: _Given) -> _Given:
    fields = reader.mapping(node, path, (), ("request", "lease"))
    where = f"{path}.request"
    request = reader.mapping(fields.get("request"), where, (), ("method", "path", "headers"))
    found = replace(
        defaults, lease=reader.choice(fields.get("lease"), f"{path}.lease", LEASES, defaults.lease)
    )
    if "method" in request:
        rule = "a method in upper case"
        found = replace(
            found, method=reader.typed(request["method"], f"{where}.method", Method, rule)
        )
    if "path" in request:
        found = replace(found, path=reader.text(request["path"], f"{where}.path") or "")
    if "headers" in request:
        items = reader.items(request["headers"], f"{where}.headers")
        found = replace(found, headers=tuple(_header(reader, item, at) for item, at in items))
    return found


def _header(reader: Reader, node: Node, path: str) -> Header:
    # As the data plane hands it on: name in lower case, value without surrounding white space.
    fields = reader.mapping(node, path, ("name", "value"))
    name = reader.text(fields.get("name"), f"{path}.name") or ""
    value = reader.text(fields.get("value"), f"{path}.value") or ""
    return name.lower().encode(), value.strip(" \t").encode()


def _expected(reader: Reader, node: Node | None, path: str) -> Expected:
    fields = reader.mapping(node, path, ("decision",), ("reason", "rule", "route"))
    stated = {
        key: reader.text(fields[key], f"{path}.{key}") if key in fields else None
        for key in ("reason", "rule", "route")
    }
    reason = stated["reason"]
    if reason is not None and reason not in BY_CODE:
        message = f"{reason!r} is no reason; `epochgate explain` lists them"
        reader.wrong(fields["reason"].origin, f"{path}.reason", message)
    decision = reader.choice(fields.get("decision"), f"{path}.decision", DECISIONS)
    return Expected(decision, reason, stated["rule"], stated["route"])


def _decide(compiled: Policy, table: Routes, case: Case) -> Decision:
    lease = _LEASE if case.lease == "live" else None
    return decide(Snapshot(lease=lease, policy=compiled, routes=table), case.head, _NOW)


def _describe(decision: Decision) -> Expected:
    match decision:
        case Permit(route=route, rule=rule):
            return Expected("permit", None, rule.name if rule is not None else None, route.name)
        case Exempt():
            return Expected("exempt")
        case Denial(reason=reason, rule=rule):
            return Expected("deny", reason.code, rule.name if rule is not None else None)


# A lease that is live at `_NOW`. Nobody signed it and it leaves this module in no form.
_LEASE = Lease(
    epoch_seq=1,
    epoch_sha256=_ZERO,
    beat=beat.Beat(
        _ZERO,
        beat.Body(
            type=beat.TYPE, domain="policy-test", issuer=_ZERO, seq=1, prev_sha256=None,
            issued_at=0, ttl_ms=1, interval_ms=1, trust=TrustRef(version=1, sha256=_ZERO),
            epoch=Mark(seq=1, sha256=_ZERO), halts=Mark(seq=0, sha256=_ZERO),
            state="run", fleet=beat.Fleet(root=_ZERO, size=0, expected=0, diverged=0),
            gov_log=LogHead(origin="policy-test", root=_ZERO, size=0),
        ),
    ),
    peers=(),
    deadline=BootNs(1),
    wall_deadline=WallMs(1),
    anchor="clock",
)  # fmt: skip
