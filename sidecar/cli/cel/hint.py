"""What people are told about what is CEL, but outside of the subset: what it is, what to write.

Source: policies/EXPRESSIONS.md.
"""

from collections.abc import Mapping
from types import MappingProxyType

TABLE = "policies/EXPRESSIONS.md shows what there is"
_ZONE = "times are UTC; add what a zone is ahead, as in (now + duration('2h')).getHours()"

# Literals and forms, by what the translation calls them.
FORMS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "null": ("null is not supported", "has(request.headers.name) tells if a key is there"),
        "uint": ("unsigned numbers are not supported", "write 1, not 1u"),
        "double": ("numbers with a point are not supported", "write whole numbers, or a duration"),
        "bytes": ("bytes are not supported", "write 'text', not b'text'"),
        "type": ("names of types are not supported", "types are checked here; compare values only"),
        "dyn": ("types are not certain here", "do not mix types in a list or a map"),
        "optional": ("optional values are not supported", "write has(...) ? ... : ..."),
        "empty list": ("an empty list is not supported", "size(...) == 0 tells if one is empty"),
        "empty map": ("an empty map is not supported", "size(...) == 0 tells if one is empty"),
        "message": ("messages are not supported", "write a map: {'key': value}"),
        "macro": ("this loop is not supported", "write all, exists, exists_one, filter or map"),
        "variable": ("the name of the item is taken", "call it x"),
        "duration": (
            "duration() takes a literal only",
            "write for example duration('1m30s'), with h, m, s, ms, us, ns; up to 292 years",
        ),
        "timestamp": (
            "timestamp() takes a literal only",
            "write for example timestamp('2026-01-31T12:00:00Z')",
        ),
        "long": ("the expression is too long", "make variables of its parts"),
    }
)

_FUNCTIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "matches": (
            "matches() is not supported",
            "its cost has no bound; use startsWith, endsWith, contains, or in ['a', 'b']",
        ),
        # cel-expr-python 0.1.3 refuses an end that is the length of the text; its document does not
        "substring": ("substring() with an end is not supported", "write substring(start)"),
        "dyn": ("dyn() is not supported", "each value has one type; leave dyn() out"),
        "type": ("type() is not supported", "types are checked here; leave type() out"),
    }
)
_ENDINGS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "_with_tz": ("time zones are not supported", _ZONE),
        "_to_double": FORMS["double"],
        "_to_uint64": FORMS["uint"],
        "_to_bytes": FORMS["bytes"],
    }
)


def refused(overload: str, function: str) -> tuple[str, str]:
    """About an overload that is outside of the subset; `function`: as CEL calls it."""
    for ending, row in _ENDINGS.items():
        if overload.endswith(ending):
            return row
    if function in _FUNCTIONS:
        return _FUNCTIONS[function]
    return f"{shown(function)} is not supported like this", TABLE


def shown(function: str) -> str:
    """A function as people write it: `_+_` is `+`, `_?_:_` is `?:`."""
    return function.replace("_", "").replace("@", "") if _is_operator(function) else f"{function}()"


def _is_operator(function: str) -> bool:
    return not function.isidentifier() or function.startswith("_")


def limit(text: str) -> str:
    """About what the check of core says of code that came from here."""
    if "steps" in text:
        return "walk over fewer items, or do less for each"
    if "nested" in text:
        return "make variables of its parts"
    return ""
