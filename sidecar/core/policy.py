"""The policy: ordered rules, first match wins, nothing matched means denied.

Rules of matching:

* A rule matches when the method is one of its methods (none listed: any), one of its path patterns
  matches, every header condition holds, and every expression among its conditions is true.
* A permit rule wants its header exactly once with exactly that value. A deny rule is satisfied by
  any line of that name with that value. So a client cannot slip past a deny rule, or into a permit
  rule, by sending a header twice.
* What a rule permits also has to satisfy every validation: of the policy, then of the rule.
* Expressions are asked in the order in which they stand. The first that fails ends the search: the
  request is denied, also where a later rule would have permitted it, or the rule was one that
  denies. What cannot be judged must not pass.
* The policy with no rules denies everything: that is what a new gate holds.

A rollout is decided here, once: an instance takes the one half or the other, by its key and the
name of the policy. Both are checked, one is compiled. The digest is that of the whole bundle.

The compiled form is made once per epoch, off the hot path.

Source: protocol b.1 (policy semantics); conventions 5.
"""

from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from sidecar.core import canonical, clause_check, clauses, paths, recording
from sidecar.core.clauses import Clause, Names
from sidecar.core.expression.kind import EvaluationError
from sidecar.core.facts import NOWHERE, VALUES, Facts, Workload
from sidecar.core.halves import half
from sidecar.core.head import RequestHead
from sidecar.core.parent import Demand
from sidecar.core.paths import PathIndex
from sidecar.core.policy_body import (
    DRAIN_MAX_MS,
    TYPE,
    Body,
    BudgetsBody,
    DrainBody,
    FieldValue,
    HeaderEquals,
    Method,
    ModelBody,
    ParentBody,
    RolloutBody,
    RuleBody,
)
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.rule import Rule, headers_hold

__all__ = [
    "DENY_ALL", "DRAIN_MAX_MS", "MAX_BYTES", "MEDIA_TYPE", "TYPE", "Body", "DrainBody",
    "FieldValue", "HeaderEquals", "Method", "Policy", "Rule", "RuleBody", "Verdict", "check",
    "parse",
]  # fmt: skip

MEDIA_TYPE = "application/vnd.epochgate.policy.v1+json"
MAX_BYTES = 1024 * 1024  # bytes; a blob


@dataclass(slots=True)
class Verdict:
    """What a policy with expressions says about a request.

    Attributes:
        reason: Why it is denied: POLICY_DENY; POLICY_INVALID, when an expression failed;
            INTERNAL_ERROR, when it was we who failed. None: it is permitted.
        rule: The rule that decided, or whose condition failed.
        clause: The condition or validation that denied, or failed.
        message: What the client is told about that; empty: nothing.
        annotations: What is written down with the decision.
    """

    reason: Reason | None = None
    rule: Rule | None = None
    clause: Clause | None = None
    message: str = ""
    annotations: dict[str, str] | None = None


class Policy:
    """A compiled policy.

    Attributes:
        model_max_bytes: So much of a body is read before the decision, to learn the model that it
            names; 0: nothing.
        name: For people; of the half of a rollout that is in force.
        sha256: Digest of the bundle, hex; empty for `DENY_ALL`, which nobody signed.
        raw: The bundle; empty likewise.
        budgets: Bounds that it puts around itself, or None.
        plain: Whether its rules are all that it asks about a request.
        parent: What it asks of the decision that a request descends from; None: nothing.
        recording: What it says about records.
        rules: In order.
        asks: Whether it has expressions: then `judge` decides, else `match`.
        observes: Whether what it does not permit is let through.
        half: Which half of its rollout is in force; None: it has none.
        here: Where.
    """

    __slots__ = (
        "_annotations", "_paths", "asks", "budgets", "half", "here", "model_max_bytes", "name",
        "observes", "parent", "plain", "raw", "recording", "rules", "sha256",
    )  # fmt: skip

    def __init__(
        self, body: Body, raw: bytes, here: Workload = NOWHERE, values: Names = VALUES
    ) -> None:
        self.raw = raw
        self.sha256 = canonical.digest(raw) if raw else ""
        self.here = here
        self.half = half(body.name, body.rollout, here)
        if self.half == "otherwise" and isinstance(body.rollout, RolloutBody):
            body = body.rollout.otherwise
        self.name = body.name
        self.parent = _demand(body.parent)
        self.budgets = body.budgets if isinstance(body.budgets, BudgetsBody) else None
        self.recording = recording.compiled(body.audit)
        self.model_max_bytes = body.model.max_bytes if isinstance(body.model, ModelBody) else 0
        self.observes = body.mode == "observe"
        names = clauses.names(body.variables, values)
        always = clauses.validations(body.validations, names)
        self.rules = tuple(Rule(rule, always, names) for rule in body.rules)
        self._annotations = clauses.annotations(body.annotations, names)
        clause = any(rule.conditions or rule.validations for rule in self.rules)
        self.asks = clause or bool(self._annotations)
        self.plain = not self.asks and self.parent is None
        self._paths = PathIndex([[path.encode() for path in rule.paths] for rule in body.rules])

    def match(self, head: RequestHead) -> Rule | None:
        """The first rule that matches, or None: denied. Of a policy without expressions."""
        for index in self._paths.candidates(head.path):
            rule = self.rules[index]
            if rule.methods and head.method not in rule.methods:
                continue
            if rule.headers and not headers_hold(rule, head.headers):
                continue
            return rule
        return None

    def judge(self, known: Facts) -> Verdict:
        """What the policy says about a request. Raises nothing: what fails denies."""
        found = Verdict()
        try:
            found.reason = self._judge(known, found)
        except EvaluationError:
            found.reason = Reason.POLICY_INVALID
        except Exception:  # noqa: BLE001 (our mistake must not open the gate, nor end the process)
            found.reason = Reason.INTERNAL_ERROR
        if found.rule is not None and self._annotations:
            found.annotations = clauses.written(self._annotations, known)
        return found

    def _judge(self, known: Facts, found: Verdict) -> Reason | None:
        """The same, but raises. `found` says at each moment who is asked."""
        head = known.head
        for index in self._paths.candidates(head.path):
            rule = self.rules[index]
            if rule.methods and head.method not in rule.methods:
                continue
            if rule.headers and not headers_hold(rule, head.headers):
                continue
            found.rule = rule
            if rule.conditions and _unmet(rule.conditions, known, found) is not None:
                continue
            found.clause = None  # of a rule before it
            if not rule.permits:
                return Reason.POLICY_DENY
            unmet = _unmet(rule.validations, known, found)
            if unmet is None:
                return None
            found.message = unmet.told(known)
            return Reason.POLICY_DENY
        found.rule = found.clause = None
        return Reason.POLICY_DENY


def parse(raw: bytes, here: Workload = NOWHERE) -> Policy:
    """Read and compile a policy bundle.

    Args:
        raw: The bundle.
        here: Where it is to be in force.

    Raises:
        ProtocolError: POLICY_INVALID with the rule and what is wrong with it.
    """
    try:
        body = canonical.load(raw, Body, MAX_BYTES)
    except ProtocolError as error:
        raise ProtocolError(Reason.POLICY_INVALID, error.detail) from None
    problems = check(body)
    if problems:
        raise ProtocolError(Reason.POLICY_INVALID, "; ".join(problems))
    return Policy(body, raw, here)


def check(body: Body) -> list[str]:
    """Everything that is wrong with a bundle, one line each, for the person who wrote it."""
    problems = _check(body)
    if isinstance(body.rollout, RolloutBody):
        other = body.rollout.otherwise
        problems += [f"rollout.otherwise: {problem}" for problem in _check(other)]
        if other.rollout is not UNSET:
            problems.append("rollout.otherwise: has a rollout of its own")
    return problems


def _check(body: Body) -> list[str]:
    problems = [] if body.type == TYPE else [f"_type is {body.type!r}, not {TYPE!r}"]
    names: set[str] = set()
    for index, rule in enumerate(body.rules):
        where = f"rules[{index}] ({rule.name})"
        if rule.name in names:
            problems.append(f"{where}: name is used twice")
        names.add(rule.name)
        for path in rule.paths:
            wrong = paths.problem(path)
            if wrong:
                problems.append(f"{where}: path {path!r} {wrong}")
    if isinstance(body.audit, recording.Body):
        problems += [f"audit.{key}: {why}" for key, why in recording.problems(body.audit)]
    return problems + clause_check.problems(body)


def _unmet(asked: tuple[Clause, ...], known: Facts, found: Verdict) -> Clause | None:
    """The first clause that is false; `found` says which one is asked, for when it fails."""
    for clause in asked:
        found.clause = clause
        if not clause.holds(known):
            return clause
    found.clause = None
    return None


def _demand(said: ParentBody | UnsetType) -> Demand | None:
    return Demand(said.max_age_ms, said.required) if isinstance(said, ParentBody) else None


DENY_ALL = Policy(Body(type=TYPE, name="deny-all", rules=()), b"")
