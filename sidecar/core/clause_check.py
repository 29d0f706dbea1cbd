"""What is wrong with the expressions of a policy, for the person who wrote it.

Rules:

* Each is checked by itself (`expression/checking.py`): that it is one, that its names are known,
  and that it gives what its place asks for. So none meets a value of a wrong kind when it decides.
* Clauses of a rule, together with those of the whole policy, have different names: a record that
  names one names it for sure.
* All that one request can make us ask costs at most `STEPS_MAX`, however many rules it passes.
  Rules with a wildcard count as if every path met them: what is reckoned is never too little.

Source: conventions 5.
"""

from collections import Counter
from collections.abc import Sequence

from sidecar.core import paths
from sidecar.core.clauses import listed
from sidecar.core.expression import checking
from sidecar.core.expression.checking import Judged
from sidecar.core.expression.environment import DECLARED, VARIABLES
from sidecar.core.expression.kind import BOOL, STRING, Type
from sidecar.core.policy_body import (
    AnnotationBody,
    Body,
    ExpressionBody,
    RuleBody,
    ValidationBody,
    VariableBody,
)
from sidecar.core.reason import ProtocolError

ANNOTATIONS_MAX = 16  # of a policy: a record has room for so many
STEPS_MAX = 100_000  # of one request: about 10 ms, where a usual policy takes 10 microseconds


def problems(body: Body) -> list[str]:
    """Everything that is wrong with the expressions of a policy, one line each."""
    check = _Check()
    steps = check.variables(listed(body.variables)) + check.annotations(listed(body.annotations))
    steps += check.validations("", listed(body.validations))
    costs = [check.rule(index, rule, body) for index, rule in enumerate(body.rules)]
    steps += _most(body.rules, costs)
    if steps > STEPS_MAX:
        check.problems.append(f"a request could cost {steps} steps, at most {STEPS_MAX}")
    return check.problems


class _Check:
    """One walk through a policy; each method returns how many steps its part costs at most."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._names: dict[str, Type] = dict(DECLARED)
        self._nesting: dict[str, int] = {}

    def variables(self, said: Sequence[VariableBody]) -> int:
        steps = 0
        for index, one in enumerate(said):
            where, name = f"variables[{index}] ({one.name})", VARIABLES + one.name
            if name in self._names:
                self.problems.append(f"{where}: name is used twice")
            known = self._judged(where, one.expression)
            if known is not None:
                steps += known.steps
                self._names[name] = known.type
                self._nesting[name] = known.nesting
        return steps

    def annotations(self, said: Sequence[AnnotationBody]) -> int:
        if len(said) > ANNOTATIONS_MAX:
            self.problems.append(f"annotations: {len(said)}, at most {ANNOTATIONS_MAX}")
        self._unique("annotations", "key", [one.key for one in said])
        return sum(
            self._one(f"annotations[{index}] ({one.key})", one.value_expression, STRING)
            for index, one in enumerate(said)
        )

    def validations(self, prefix: str, said: Sequence[ValidationBody]) -> int:
        steps = 0
        for index, one in enumerate(said):
            where = f"{prefix}validations[{index}] ({one.name})"
            steps += self._one(where, one.expression, BOOL)
            if isinstance(one.message_expression, ExpressionBody):
                steps += self._one(f"{where}.message_expression", one.message_expression, STRING)
            if isinstance(one.message, str) and not one.message.isprintable():
                self.problems.append(f"{where}: message must be one line of text")
        return steps

    def rule(self, index: int, rule: RuleBody, body: Body) -> int:
        where = f"rules[{index}] ({rule.name})"
        conditions, validations = listed(rule.conditions), listed(rule.validations)
        if validations and rule.action == "deny":
            self.problems.append(f"{where}: validations of a rule that denies are never asked")
        names = [one.name for one in conditions]
        names += [one.name for one in (*validations, *listed(body.validations))]
        self._unique(where, "clause", names)
        return self.validations(f"{where}.", validations) + sum(
            self._one(f"{where}.conditions[{number}] ({one.name})", one.expression, BOOL)
            for number, one in enumerate(conditions)
        )

    def _unique(self, where: str, what: str, names: Sequence[str]) -> None:
        self.problems += [
            f"{where}: {what} {name!r} is there twice"
            for name, count in Counter(names).items()
            if count > 1
        ]

    def _one(self, where: str, body: ExpressionBody, wanted: Type) -> int:
        known = self._judged(where, body)
        if known is None:
            return 0
        if known.type != wanted:
            self.problems.append(f"{where}: is {known.type}, must be {wanted}")
        return known.steps

    def _judged(self, where: str, body: ExpressionBody) -> Judged | None:
        try:
            return checking.judged(body, self._names, self._nesting)
        except ProtocolError as error:
            self.problems.append(f"{where}: {error.detail}")
            return None


def _most(rules: Sequence[RuleBody], costs: Sequence[int]) -> int:
    """What the rules cost a request at most."""
    anywhere, literal = 0, Counter[str]()
    for rule, cost in zip(rules, costs, strict=True):
        if any(paths.wild(path.encode()) for path in rule.paths):
            anywhere += cost
        else:
            literal.update(dict.fromkeys(rule.paths, cost))
    return anywhere + max(literal.values(), default=0)
