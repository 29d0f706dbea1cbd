"""What operators and functions there are, by the overload names of the CEL specification.

One row for each: name -> the kinds it takes, the kind it gives, and what it costs at most, in
steps. `T`, `K` and `V` stand for any kind, the same one each time.

Source: cel-spec, langdef.md, "List of Standard Definitions".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sidecar.core.expression.kind import (
    BOOL,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
)

_T, _K, _V = Type("T"), Type("K"), Type("V")
_TEXT = 16  # steps: one pass over a text, which may be long
_SEARCH = 32  # at worst, several passes


@dataclass(frozen=True, slots=True)
class Overload:
    """The kinds of the operands, the kind of the result, and steps."""

    takes: tuple[Type, ...]
    gives: Type
    steps: int = 1

    def result(self, actual: tuple[Type, ...]) -> Type | None:
        """The kind of the result for operands of these kinds; None when they do not fit."""
        bound: dict[Type, Type] = {}
        if len(actual) != len(self.takes):
            return None
        if not all(_fits(*pair, bound) for pair in zip(self.takes, actual, strict=True)):
            return None
        return _filled(self.gives, bound)


def _fits(pattern: Type, actual: Type, bound: dict[Type, Type]) -> bool:
    if pattern in (_T, _K, _V):
        return bound.setdefault(pattern, actual) == actual
    return (
        pattern.kind == actual.kind
        and len(pattern.of) == len(actual.of)
        and all(_fits(*pair, bound) for pair in zip(pattern.of, actual.of, strict=True))
    )


def _filled(pattern: Type, bound: dict[Type, Type]) -> Type:
    if pattern in bound:
        return bound[pattern]
    return Type(pattern.kind, tuple(_filled(part, bound) for part in pattern.of))


_ORDERED = {
    "bool": BOOL, "int64": INT, "string": STRING, "duration": DURATION, "timestamp": TIMESTAMP,
}  # fmt: skip


def _comparisons() -> Iterator[tuple[str, Overload]]:
    for word in ("less", "less_equals", "greater", "greater_equals"):
        for suffix, kind in _ORDERED.items():
            yield f"{word}_{suffix}", Overload((kind, kind), BOOL)


def _fields() -> Iterator[tuple[str, Overload]]:
    """Parts of a date in UTC, and of a duration."""
    for part in (
        "year", "month", "day_of_month", "day_of_month_1_based", "day_of_week", "day_of_year",
        "hours", "minutes", "seconds", "milliseconds",
    ):  # fmt: skip
        yield f"timestamp_to_{part}", Overload((TIMESTAMP,), INT, _TEXT)
    for part in ("hours", "minutes", "seconds", "milliseconds"):
        yield f"duration_to_{part}", Overload((DURATION,), INT)


OVERLOADS: Mapping[str, Overload] = MappingProxyType(
    {
        "logical_not": Overload((BOOL,), BOOL),
        "conditional": Overload((BOOL, _T, _T), _T),
        "equals": Overload((_T, _T), BOOL),
        "not_equals": Overload((_T, _T), BOOL),
        **dict(_comparisons()),
        "add_int64": Overload((INT, INT), INT),
        "subtract_int64": Overload((INT, INT), INT),
        "multiply_int64": Overload((INT, INT), INT),
        "divide_int64": Overload((INT, INT), INT),
        "modulo_int64": Overload((INT, INT), INT),
        "negate_int64": Overload((INT,), INT),
        "add_string": Overload((STRING, STRING), STRING, _TEXT),
        "add_list": Overload((list_of(_T), list_of(_T)), list_of(_T)),
        "add_duration_duration": Overload((DURATION, DURATION), DURATION),
        "add_timestamp_duration": Overload((TIMESTAMP, DURATION), TIMESTAMP),
        "add_duration_timestamp": Overload((DURATION, TIMESTAMP), TIMESTAMP),
        "subtract_duration_duration": Overload((DURATION, DURATION), DURATION),
        "subtract_timestamp_duration": Overload((TIMESTAMP, DURATION), TIMESTAMP),
        "subtract_timestamp_timestamp": Overload((TIMESTAMP, TIMESTAMP), DURATION),
        "in_list": Overload((_T, list_of(_T)), BOOL),
        "in_map": Overload((_K, map_of(_K, _V)), BOOL),
        "index_list": Overload((list_of(_T), INT), _T),
        "index_map": Overload((map_of(_K, _V), _K), _V),
        "size_string": Overload((STRING,), INT),
        "size_list": Overload((list_of(_T),), INT),
        "size_map": Overload((map_of(_K, _V),), INT),
        "contains_string": Overload((STRING, STRING), BOOL, _SEARCH),
        "starts_with_string": Overload((STRING, STRING), BOOL),
        "ends_with_string": Overload((STRING, STRING), BOOL),
        "string_lower_ascii": Overload((STRING,), STRING, _TEXT),
        "string_upper_ascii": Overload((STRING,), STRING, _TEXT),
        "string_index_of_string": Overload((STRING, STRING), INT, _SEARCH),
        "string_split_string": Overload((STRING, STRING), list_of(STRING), _SEARCH),
        "string_substring_int": Overload((STRING, INT), STRING, _TEXT),
        "string_to_int64": Overload((STRING,), INT, _TEXT),
        "timestamp_to_int64": Overload((TIMESTAMP,), INT),
        "int64_to_timestamp": Overload((INT,), TIMESTAMP),
        "string_to_bool": Overload((STRING,), BOOL),
        "bool_to_string": Overload((BOOL,), STRING),
        "int64_to_string": Overload((INT,), STRING, _TEXT),
        "duration_to_string": Overload((DURATION,), STRING, _TEXT),
        "timestamp_to_string": Overload((TIMESTAMP,), STRING, _TEXT),
        **dict(_fields()),
    }
)
