"""The policy: ordered rules, first match wins, nothing matched means denied.

Rules of matching:

* A rule matches when the method is one of its methods (none listed: any), one of its path patterns
  matches, and every header condition holds.
* A permit rule wants its header exactly once with exactly that value. A deny rule is satisfied by
  any line of that name with that value. So a client cannot slip past a deny rule, or into a permit
  rule, by sending a header twice.
* The policy with no rules denies everything: that is what a new gate holds.

The compiled form is made once per epoch, off the hot path.

Source: protocol b.1 (policy semantics); conventions 5.
"""

from msgspec import UNSET

from sidecar.core import canonical, paths, recording
from sidecar.core.head import Header, RequestHead
from sidecar.core.paths import PathIndex
from sidecar.core.policy_body import (
    DRAIN_MAX_MS,
    TYPE,
    Body,
    DrainBody,
    FieldValue,
    HeaderEquals,
    Method,
    RuleBody,
)
from sidecar.core.reason import ProtocolError, Reason

__all__ = [
    "DENY_ALL", "DRAIN_MAX_MS", "MAX_BYTES", "MEDIA_TYPE", "TYPE", "Body", "DrainBody",
    "FieldValue", "HeaderEquals", "Method", "Policy", "Rule", "RuleBody", "check", "parse",
]  # fmt: skip

MEDIA_TYPE = "application/vnd.epochgate.policy.v1+json"
MAX_BYTES = 1024 * 1024  # bytes; a blob

# What a bundle may say and this build does not keep yet: refused, never ignored.
_UNKEPT = (
    "annotations", "budgets", "mode", "model", "parent", "rollout", "validations", "variables",
)  # fmt: skip


class Rule:
    """A compiled rule; what `decide` points to in its answer.

    Attributes:
        drain_ms: How long a running exchange may outlive the lease; 0: not at all.
    """

    __slots__ = ("drain_ms", "headers", "methods", "name", "permits")

    def __init__(self, body: RuleBody) -> None:
        self.name = body.name
        self.permits = body.action == "permit"
        self.drain_ms = body.in_flight.drain_ms if isinstance(body.in_flight, DrainBody) else 0
        self.methods = frozenset(method.encode() for method in body.methods)
        self.headers: tuple[Header, ...] = tuple(
            (item.name.encode(), item.value.encode()) for item in body.headers
        )


class Policy:
    """A compiled policy.

    Attributes:
        name: For people.
        sha256: Digest of the bundle, hex; empty for `DENY_ALL`, which nobody signed.
        raw: The bundle; empty likewise.
        recording: What it says about records.
        rules: In order.
    """

    __slots__ = ("_paths", "name", "raw", "recording", "rules", "sha256")

    def __init__(self, body: Body, raw: bytes) -> None:
        self.name = body.name
        self.raw = raw
        self.sha256 = canonical.digest(raw) if raw else ""
        self.recording = recording.compiled(body.audit)
        self.rules = tuple(Rule(rule) for rule in body.rules)
        self._paths = PathIndex([[path.encode() for path in rule.paths] for rule in body.rules])

    def match(self, head: RequestHead) -> Rule | None:
        """The first rule that matches, or None: denied."""
        for index in self._paths.candidates(head.path):
            rule = self.rules[index]
            if rule.methods and head.method not in rule.methods:
                continue
            if rule.headers and not _conditions_hold(rule, head.headers):
                continue
            return rule
        return None


def parse(raw: bytes) -> Policy:
    """Read and compile a policy bundle.

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
    return Policy(body, raw)


def check(body: Body) -> list[str]:
    """Everything that is wrong with a bundle, one line each, for the person who wrote it."""
    problems = [] if body.type == TYPE else [f"_type is {body.type!r}, not {TYPE!r}"]
    problems += [
        f"{key}: is not kept by this build" for key in _UNKEPT if getattr(body, key) is not UNSET
    ]
    names: set[str] = set()
    for index, rule in enumerate(body.rules):
        where = f"rules[{index}] ({rule.name})"
        if rule.name in names:
            problems.append(f"{where}: name is used twice")
        names.add(rule.name)
        problems += [
            f"{where}: {key} is not kept by this build"
            for key in ("conditions", "validations")
            if getattr(rule, key) is not UNSET
        ]
        for path in rule.paths:
            wrong = paths.problem(path)
            if wrong:
                problems.append(f"{where}: path {path!r} {wrong}")
    if isinstance(body.audit, recording.Body):
        problems += [f"audit.{key}: {why}" for key, why in recording.problems(body.audit)]
    return problems


def _conditions_hold(rule: Rule, headers: tuple[Header, ...]) -> bool:
    for name, wanted in rule.headers:
        values = [value for key, value in headers if key == name]
        holds = values == [wanted] if rule.permits else wanted in values
        if not holds:
            return False
    return True


DENY_ALL = Policy(Body(type=TYPE, name="deny-all", rules=()), b"")
