"""What the schemas of all kinds are made of.

What a field type of core demands is said by its own pattern, so that a schema cannot say otherwise.
"""

import re
from collections.abc import Mapping
from typing import Any, get_args

from sidecar.cli.kinds import rules
from sidecar.cli.resource import NAME_RULE
from sidecar.core import canonical, policy_body

Schema = dict[str, Any]

# A letter of a path: printable ASCII but * / ? #
LETTER = r"[!\"$-)+-.0->@-~]"
_DURATION = "^[1-9][0-9]{0,14}(ms|s|m|h)$"
_SPAN = "^(0|0(ms|s|m|h)|[1-9][0-9]{0,14}(ms|s|m|h))$"
_PATTERN = rf"^(/(\*|{LETTER}*))*/(\*|\*\*|{LETTER}*)$"


def mapping(properties: Mapping[str, Any], *required: str, about: str = "") -> Schema:
    """A mapping with these keys and no others."""
    found: Schema = {"type": "object"}
    if about:
        found["description"] = about
    return {
        **found,
        "additionalProperties": False,
        "required": list(required),
        "properties": dict(properties),
    }


def listed(item: Schema, about: str, *, unique: bool = False) -> Schema:
    """A list with at least one item."""
    found = {"type": "array", "description": about, "minItems": 1, "items": item}
    return {**found, "uniqueItems": True} if unique else found


def words(about: str, *known: str) -> Schema:
    """One of a few words."""
    return {"enum": list(known), "description": about}


def flag(about: str) -> Schema:
    """Either true or false."""
    return {"type": "boolean", "description": about}


def text(about: str) -> Schema:
    """Any text but an empty one."""
    return {"type": "string", "minLength": 1, "description": about}


def name(about: str) -> Schema:
    """A name as signed objects take it."""
    return {**typed(canonical.Name), "description": f"{about} {NAME_RULE.capitalize()}.".strip()}


def field(about: str) -> Schema:
    """The name of a header."""
    return {**typed(canonical.FieldName), "description": about or rules.FIELD_RULE}


def path() -> Schema:
    """A path pattern."""
    about = "A path; * stands for one whole segment, a last ** for any rest."
    return {"type": "string", "pattern": _PATTERN, "description": about}


def expression(about: str) -> Schema:
    """A CEL expression."""
    most = policy_body.TEXT_MAX
    return {"type": "string", "minLength": 1, "maxLength": most, "description": f"CEL. {about}"}


def duration(about: str) -> Schema:
    """A duration of at least a millisecond."""
    return {"type": "string", "pattern": _DURATION, "description": about}


def span(about: str) -> Schema:
    """A duration, or nothing."""
    said = {"type": "string", "pattern": _SPAN}
    return {"anyOf": [said, {"const": 0}], "description": about}


def typed(kind: Any) -> Schema:  # noqa: ANN401 - one of core's annotated types
    """A text of one of core's field types."""
    return {"type": "string", "pattern": ecma(kind)}


def ecma(kind: Any) -> str:  # noqa: ANN401 - likewise
    """The pattern of one of core's types, in the dialect of JSON Schema."""
    said = next(meta.pattern for meta in get_args(kind)[1:] if meta.pattern)
    return "^" + re.sub(r"\\A|\\Z", "", said) + "$"
