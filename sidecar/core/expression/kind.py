"""What kinds of values expressions have, and what stands for them at run time.

| kind | in Python |
|---|---|
| bool | bool |
| int | int, 64 bits with sign |
| string | str; its length and order are those of code points |
| duration | int: nanoseconds, 64 bits with sign |
| timestamp | int: nanoseconds since 1970 UTC, year 1 to 9999 |
| list | list or tuple, all of one kind |
| map | Mapping, keys of one kind, values of one kind |

There is no value of unknown kind (CEL: dyn) and no null, so whatever passed the check cannot meet
a value of a wrong kind at run time.
"""

from dataclasses import dataclass
from typing import TypeAlias


class EvaluationError(Exception):
    """An expression has no value: a key is missing, a number too large, a text no number.

    The message is for records: it names what was wrong and quotes nothing of the request.
    """


@dataclass(frozen=True, slots=True)
class Type:
    """A kind of values; `of`: the kinds inside of a list (one) or a map (key, value)."""

    kind: str
    of: "tuple[Type, ...]" = ()

    def __str__(self) -> str:
        inside = ", ".join(str(part) for part in self.of)
        return f"{self.kind}({inside})" if inside else self.kind


BOOL = Type("bool")
INT = Type("int")
STRING = Type("string")
DURATION = Type("duration")
TIMESTAMP = Type("timestamp")

KEYS = (BOOL, INT, STRING)  # what a key of a map can be


def list_of(item: Type) -> Type:
    """The kind of lists with items of that kind."""
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    """The kind of maps from `key` to `value`."""
    return Type("map", (key, value))


INT_MIN = -(2**63)
INT_MAX = 2**63 - 1
NS_PER_S = 1_000_000_000
TIMESTAMP_MIN_NS = -62_135_596_800 * NS_PER_S  # 0001-01-01T00:00:00Z
TIMESTAMP_MAX_NS = 253_402_300_800 * NS_PER_S - 1  # the last one of the year 9999

# What one expression may be and may cost. A step is about 0.1 microseconds.
NODES_MAX = 1024
NESTING_MAX = 64  # nodes inside of each other; each is one frame of the interpreter
STEPS_MAX = 20_000
# At run time; more is an error.
ITEMS_MAX = 128  # of a list or map that is walked
CHARACTERS_MAX = 65_536  # of a text that is made

Constant: TypeAlias = "bool | int | str"
