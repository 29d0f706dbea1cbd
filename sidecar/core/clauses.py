"""The expressions of a policy, compiled: conditions, validations, annotations, variables.

Rules:

* A clause is true, false, or an error. Whoever asks gets the error as an exception; nothing that
  denies can be skipped because it failed.
* What is told to a client or written down has a form: printable ASCII and a length. A message that
  is none is the plain message instead, an annotation that is none is left out: neither can change a
  verdict, however it fails.
* A variable sees the variables before it, every other expression sees all.

`clause_check.py` says what is wrong with them; here they are in order.

Source: conventions 5, 11-J; Kubernetes ValidatingAdmissionPolicy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from msgspec import UNSET, UnsetType

from sidecar.core import facts
from sidecar.core.expression.environment import VARIABLES
from sidecar.core.expression.kind import EvaluationError
from sidecar.core.expression.lowering import lower
from sidecar.core.facts import Ask, Facts
from sidecar.core.policy_body import AnnotationBody, ConditionBody, ValidationBody, VariableBody

MESSAGE_MAX = 256  # characters
ANNOTATION_MAX = 256  # characters, as they are written down

Names = Mapping[str, Ask]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition or a validation.

    Attributes:
        name: Of it.
        ask: Its expression.
        message: What a client is told when it is false.
        tell: What makes that message, or None.
    """

    name: str
    ask: Ask
    message: str = ""
    tell: Ask | None = None

    def holds(self, known: Facts) -> bool:
        """Whether it is true.

        Raises:
            EvaluationError: It is neither true nor false.
        """
        found = self.ask(known)
        if found is True or found is False:
            return found
        raise EvaluationError(f"is {type(found).__name__}, not a truth value")

    def told(self, known: Facts) -> str:
        """What a client is told when it is false."""
        made = None if self.tell is None else _made(self.tell, known)
        if made and len(made) <= MESSAGE_MAX and made.isascii() and made.isprintable():
            return made
        return self.message


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is written down with a decision."""

    key: str
    ask: Ask


def names(said: tuple[VariableBody, ...] | UnsetType, values: Names) -> dict[str, Ask]:
    """How to get the value behind each name that an expression may use.

    Args:
        said: The variables of a policy.
        values: What stands behind the other names; in a pod `facts.VALUES`.
    """
    known = dict(values)
    for one in listed(said):
        name = VARIABLES + one.name
        known[name] = facts.variable(name, lower(one.expression, known))
    return known


def conditions(said: tuple[ConditionBody, ...] | UnsetType, known: Names) -> tuple[Clause, ...]:
    """Of a rule, in order."""
    return tuple(Clause(one.name, lower(one.expression, known)) for one in listed(said))


def validations(said: tuple[ValidationBody, ...] | UnsetType, known: Names) -> tuple[Clause, ...]:
    """Of a rule or a policy, in order."""
    return tuple(_validation(one, known) for one in listed(said))


def annotations(
    said: tuple[AnnotationBody, ...] | UnsetType, known: Names
) -> tuple[Annotation, ...]:
    """Of a policy, in the order of a record."""
    found = sorted(listed(said), key=lambda one: one.key)
    return tuple(Annotation(one.key, lower(one.value_expression, known)) for one in found)


def written(wanted: tuple[Annotation, ...], known: Facts) -> dict[str, str]:
    """The annotations that have a value, as they are written down."""
    found = {one.key: _made(one.ask, known) for one in wanted}
    return {key: _escaped(value) for key, value in found.items() if value is not None}


def listed(said: tuple[T, ...] | UnsetType) -> tuple[T, ...]:
    """What a policy may list; nothing, when it does not."""
    return () if said is UNSET else said


def _validation(said: ValidationBody, known: Names) -> Clause:
    message = "" if said.message is UNSET else said.message
    how = said.message_expression
    tell = None if how is UNSET else lower(how, known)
    return Clause(said.name, lower(said.expression, known), message, tell)


def _made(ask: Ask, known: Facts) -> str | None:
    try:
        found = ask(known)
    except Exception:  # noqa: BLE001 (what is only told or written down changes no verdict)
        return None
    return found if isinstance(found, str) else None


def _escaped(value: str) -> str:
    # A record cannot play tricks on a terminal.
    return value[:ANNOTATION_MAX].encode("unicode_escape").decode("ascii")[:ANNOTATION_MAX]
