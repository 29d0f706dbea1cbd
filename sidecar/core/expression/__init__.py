"""Expressions of policies: CEL was their text, what is here decides.

The text is compiled where policies are built, with a library that no sidecar needs. What is left
of it is a flat list of nodes (`checking` shows them). Here it is checked again, since bundles come
from outside, and made into closures. `environment` holds the names that expressions can use.

    kind = check(body, DECLARED)
    evaluate = lower(body, {"request.method": attrgetter("method"), ...})
    evaluate(facts)  # or EvaluationError

Which part of CEL this is: policies/EXPRESSIONS.md. Source: conventions 5; cel-spec, langdef.md.
"""

from sidecar.core.expression.checking import check, steps
from sidecar.core.expression.environment import DECLARED
from sidecar.core.expression.kind import EvaluationError, Type
from sidecar.core.expression.lowering import lower

__all__ = ["DECLARED", "EvaluationError", "Type", "check", "lower", "steps"]
