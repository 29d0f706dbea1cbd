"""Parts of a signed policy as short text for people: what they wrote, not what was made of it."""

import msgspec
from msgspec import UNSET

from sidecar.core.policy_body import (
    AnnotationBody,
    ConditionBody,
    DrainBody,
    ExpressionBody,
    HeaderEquals,
    RuleBody,
    ValidationBody,
    VariableBody,
)


def spelled(part: object) -> str:
    """One part; empty: it is not there."""
    match part:
        case _ if part is UNSET:
            return ""
        case str():
            return part
        case tuple() | list():
            return ", ".join(spelled(item) for item in part)
        case HeaderEquals():
            return f"{part.name}: {part.value}"
        case ExpressionBody():
            return " ".join(part.text.split())
        case ConditionBody() | ValidationBody() | VariableBody():
            return f"{part.name}: {spelled(part.expression)}"
        case AnnotationBody():
            return f"{part.key}: {spelled(part.value_expression)}"
        case DrainBody():
            return f"drain {part.drain_ms} ms"
        case RuleBody():
            return " ".join(word for word in _words(part) if word)
        case _:
            return msgspec.json.encode(part, order="sorted").decode()


def differing(before: object, after: object) -> tuple[str, str]:
    """Two parts; of lists only the items that the other does not have, unless these are none."""
    if isinstance(before, tuple) and isinstance(after, tuple):
        gone = tuple(item for item in before if item not in after)
        come = tuple(item for item in after if item not in before)
        if gone or come:
            return spelled(gone), spelled(come)
    return spelled(before), spelled(after)


def _words(rule: RuleBody) -> tuple[str, ...]:
    headers, clauses = spelled(rule.headers), spelled(rule.conditions)
    return (
        rule.action, spelled(rule.methods), spelled(rule.paths), headers and f"with {headers}",
        clauses and f"when {clauses}",
    )  # fmt: skip
