"""One compiled rule of a policy.

Source: protocol b.1 (policy semantics); conventions 5.
"""

from sidecar.core import clauses
from sidecar.core.clauses import Clause, Names
from sidecar.core.head import Header
from sidecar.core.policy_body import DrainBody, RuleBody


class Rule:
    """A compiled rule; what `decide` points to in its answer.

    Attributes:
        drain_ms: How long a running exchange may outlive the lease; 0: not at all.
        conditions: Have to be true for it to match.
        validations: Have to be true for what it permits; first those of the policy.
    """

    __slots__ = (
        "conditions", "drain_ms", "headers", "methods", "name", "permits", "validations",
    )  # fmt: skip

    def __init__(self, body: RuleBody, always: tuple[Clause, ...], names: Names) -> None:
        self.name = body.name
        self.permits = body.action == "permit"
        self.drain_ms = body.in_flight.drain_ms if isinstance(body.in_flight, DrainBody) else 0
        self.methods = frozenset(method.encode() for method in body.methods)
        self.headers: tuple[Header, ...] = tuple(
            (item.name.encode(), item.value.encode()) for item in body.headers
        )
        self.conditions = clauses.conditions(body.conditions, names)
        self.validations = always + clauses.validations(body.validations, names)


def headers_hold(rule: Rule, headers: tuple[Header, ...]) -> bool:
    """Whether every header condition of a rule holds; `policy.py` says how."""
    for name, wanted in rule.headers:
        values = [value for key, value in headers if key == name]
        holds = values == [wanted] if rule.permits else wanted in values
        if not holds:
            return False
    return True
