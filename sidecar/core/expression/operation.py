"""The closures behind operators and functions, by the overload names of the CEL specification.

Kinds were checked before, so none of these looks at one; the casts say what the check has shown.
Where an operand is mostly a constant (`request.method == "POST"`), there is a closure of its own
that holds it: one call costs more than the comparison itself.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias, cast

from sidecar.core.expression import timing, wording
from sidecar.core.expression.arithmetic import bounded, divide, modulo
from sidecar.core.expression.kind import ITEMS_MAX, NS_PER_S, EvaluationError

Evaluate: TypeAlias = Callable[[object], object]
_Number: TypeAlias = Callable[[object], int]
_Text: TypeAlias = Callable[[object], str]
_List: TypeAlias = Callable[[object], list[object]]
_Map: TypeAlias = Callable[[object], Mapping[object, object]]


class Term:
    """A lowered node: how to get its value from the facts, and the value when it is a constant."""

    __slots__ = ("evaluate", "is_constant", "value")

    def __init__(self, evaluate: Evaluate) -> None:
        self.evaluate = evaluate
        self.is_constant = False
        self.value: object = None

    @classmethod
    def constant(cls, value: object) -> "Term":
        """A term that has this value, whatever the facts are."""
        term = cls(lambda _: value)
        term.is_constant = True
        term.value = value
        return term


Operands: TypeAlias = Sequence[Term]
_Make: TypeAlias = Callable[[Operands], Evaluate]


def _and(operands: Operands) -> Evaluate:
    gets = tuple(operand.evaluate for operand in operands)

    def evaluate(facts: object) -> bool:
        failure: str | None = None
        for get in gets:
            try:
                if not get(facts):
                    return False
            except EvaluationError as error:
                failure = str(error)
        if failure is not None:
            raise EvaluationError(failure)
        return True

    return evaluate


def _or(operands: Operands) -> Evaluate:
    gets = tuple(operand.evaluate for operand in operands)

    def evaluate(facts: object) -> bool:
        failure: str | None = None
        for get in gets:
            try:
                if get(facts):
                    return True
            except EvaluationError as error:
                failure = str(error)
        if failure is not None:
            raise EvaluationError(failure)
        return False

    return evaluate


def _not(operands: Operands) -> Evaluate:
    get = operands[0].evaluate
    return lambda facts: not get(facts)


def _conditional(operands: Operands) -> Evaluate:
    decide, yes, no = (operand.evaluate for operand in operands)
    return lambda facts: yes(facts) if decide(facts) else no(facts)


def _equals(operands: Operands) -> Evaluate:
    left, right = sorted(operands, key=lambda operand: operand.is_constant)
    get, other, value = left.evaluate, right.evaluate, right.value
    if right.is_constant:
        return lambda facts: get(facts) == value
    return lambda facts: get(facts) == other(facts)


def _not_equals(operands: Operands) -> Evaluate:
    left, right = sorted(operands, key=lambda operand: operand.is_constant)
    get, other, value = left.evaluate, right.evaluate, right.value
    if right.is_constant:
        return lambda facts: get(facts) != value
    return lambda facts: get(facts) != other(facts)


def _less(operands: Operands) -> Evaluate:
    """Of two numbers, or two texts: Python orders both as CEL does."""
    get, other, value = _pair(operands)
    if operands[1].is_constant:
        return lambda facts: get(facts) < value
    return lambda facts: get(facts) < other(facts)


def _less_equals(operands: Operands) -> Evaluate:
    get, other, value = _pair(operands)
    if operands[1].is_constant:
        return lambda facts: get(facts) <= value
    return lambda facts: get(facts) <= other(facts)


def _greater(operands: Operands) -> Evaluate:
    get, other, value = _pair(operands)
    if operands[1].is_constant:
        return lambda facts: get(facts) > value
    return lambda facts: get(facts) > other(facts)


def _greater_equals(operands: Operands) -> Evaluate:
    get, other, value = _pair(operands)
    if operands[1].is_constant:
        return lambda facts: get(facts) >= value
    return lambda facts: get(facts) >= other(facts)


def _pair(operands: Operands) -> tuple[_Number, _Number, int]:
    left, right = operands
    number_of = cast("_Number", left.evaluate), cast("_Number", right.evaluate)
    return *number_of, cast("int", right.value)


def _add(limit: Callable[[int], int]) -> _Make:
    def make(operands: Operands) -> Evaluate:
        left, right, _ = _pair(operands)
        return lambda facts: limit(left(facts) + right(facts))

    return make


def _subtract(limit: Callable[[int], int]) -> _Make:
    def make(operands: Operands) -> Evaluate:
        left, right, _ = _pair(operands)
        return lambda facts: limit(left(facts) - right(facts))

    return make


def _multiply(operands: Operands) -> Evaluate:
    left, right, _ = _pair(operands)
    return lambda facts: bounded(left(facts) * right(facts))


def _of_number(function: Callable[[int], object]) -> _Make:
    """A function of one number: int, bool, duration or timestamp."""

    def make(operands: Operands) -> Evaluate:
        get = cast("_Number", operands[0].evaluate)
        return lambda facts: function(get(facts))

    return make


def _of_numbers(function: Callable[[int, int], object]) -> _Make:
    def make(operands: Operands) -> Evaluate:
        left, right, _ = _pair(operands)
        return lambda facts: function(left(facts), right(facts))

    return make


def _of_text(function: Callable[[str], object]) -> _Make:
    def make(operands: Operands) -> Evaluate:
        get = cast("_Text", operands[0].evaluate)
        return lambda facts: function(get(facts))

    return make


def _texts(operands: Operands) -> tuple[_Text, _Text, str]:
    left, right = operands
    text_of = cast("_Text", left.evaluate), cast("_Text", right.evaluate)
    return *text_of, cast("str", right.value)


def _join(operands: Operands) -> Evaluate:
    left, right, _ = _texts(operands)
    return lambda facts: wording.joined(left(facts), right(facts))


def _contains(operands: Operands) -> Evaluate:
    text, part, _ = _texts(operands)
    return lambda facts: part(facts) in text(facts)


def _starts_with(operands: Operands) -> Evaluate:
    text, part, value = _texts(operands)
    if operands[1].is_constant:
        return lambda facts: text(facts).startswith(value)
    return lambda facts: text(facts).startswith(part(facts))


def _ends_with(operands: Operands) -> Evaluate:
    text, part, value = _texts(operands)
    if operands[1].is_constant:
        return lambda facts: text(facts).endswith(value)
    return lambda facts: text(facts).endswith(part(facts))


def _index_of(operands: Operands) -> Evaluate:
    text, part, _ = _texts(operands)
    return lambda facts: text(facts).find(part(facts))


def _split(operands: Operands) -> Evaluate:
    text, separator, _ = _texts(operands)
    return lambda facts: wording.split(text(facts), separator(facts))


def _substring(operands: Operands) -> Evaluate:
    text, start = cast("_Text", operands[0].evaluate), cast("_Number", operands[1].evaluate)
    return lambda facts: wording.substring(text(facts), start(facts))


def _size(operands: Operands) -> Evaluate:
    get = cast("Callable[[object], Collection[object]]", operands[0].evaluate)
    return lambda facts: len(get(facts))


def _in_list(operands: Operands) -> Evaluate:
    get, items = operands[0].evaluate, cast("_List", operands[1].evaluate)
    if operands[1].is_constant:
        fixed = _quickest(cast("list[object]", operands[1].value))
        return lambda facts: get(facts) in fixed
    return lambda facts: get(facts) in items(facts)


def _quickest(items: list[object]) -> Collection[object]:
    """A set, when the items can be in one: lists and maps cannot."""
    return items if isinstance(items[0], (list, dict)) else frozenset(items)


def _in_map(operands: Operands) -> Evaluate:
    key, entries = operands[0].evaluate, cast("_Map", operands[1].evaluate)
    if operands[0].is_constant:
        value = operands[0].value
        return lambda facts: value in entries(facts)
    return lambda facts: key(facts) in entries(facts)


def _index_map(operands: Operands) -> Evaluate:
    entries, key = cast("_Map", operands[0].evaluate), operands[1].evaluate

    def evaluate(facts: object) -> object:
        try:
            return entries(facts)[key(facts)]
        except KeyError:
            raise EvaluationError("no such key") from None

    return _index_fixed(entries, operands[1].value) if operands[1].is_constant else evaluate


def _index_fixed(entries: _Map, key: object) -> Evaluate:
    def evaluate(facts: object) -> object:
        try:
            return entries(facts)[key]
        except KeyError:
            raise EvaluationError("no such key") from None

    return evaluate


def _index_list(operands: Operands) -> Evaluate:
    items, place = cast("_List", operands[0].evaluate), cast("_Number", operands[1].evaluate)

    def evaluate(facts: object) -> object:
        found, index = items(facts), place(facts)
        if not 0 <= index < len(found):  # Python would count from the end
            raise EvaluationError("index out of range")
        return found[index]

    return evaluate


def _add_list(operands: Operands) -> Evaluate:
    left, right = cast("_List", operands[0].evaluate), cast("_List", operands[1].evaluate)

    def evaluate(facts: object) -> object:
        whole = left(facts) + right(facts)
        if len(whole) > ITEMS_MAX:
            raise EvaluationError("too many items")
        return whole

    return evaluate


def _list(operands: Operands) -> Evaluate:
    gets = [operand.evaluate for operand in operands]
    return lambda facts: [get(facts) for get in gets]


def _map(operands: Operands) -> Evaluate:
    gets = [(k.value, v.evaluate) for k, v in zip(operands[::2], operands[1::2], strict=True)]
    return lambda facts: {key: get(facts) for key, get in gets}


_KINDS = ("bool", "int64", "string", "duration", "timestamp")

OPERATIONS: Mapping[str, _Make] = MappingProxyType(
    {
        "list": _list,
        "map": _map,
        "logical_and": _and,
        "logical_or": _or,
        "logical_not": _not,
        "conditional": _conditional,
        "equals": _equals,
        "not_equals": _not_equals,
        **{f"less_{kind}": _less for kind in _KINDS},
        **{f"less_equals_{kind}": _less_equals for kind in _KINDS},
        **{f"greater_{kind}": _greater for kind in _KINDS},
        **{f"greater_equals_{kind}": _greater_equals for kind in _KINDS},
        "add_int64": _add(bounded),
        "add_duration_duration": _add(bounded),
        "add_timestamp_duration": _add(timing.within),
        "add_duration_timestamp": _add(timing.within),
        "add_string": _join,
        "add_list": _add_list,
        "subtract_int64": _subtract(bounded),
        "subtract_duration_duration": _subtract(bounded),
        "subtract_timestamp_duration": _subtract(timing.within),
        "subtract_timestamp_timestamp": _of_numbers(timing.between),
        "multiply_int64": _multiply,
        "divide_int64": _of_numbers(divide),
        "modulo_int64": _of_numbers(modulo),
        "negate_int64": _of_number(lambda whole: bounded(-whole)),
        "in_list": _in_list,
        "in_map": _in_map,
        "index_list": _index_list,
        "index_map": _index_map,
        **{f"size_{kind}": _size for kind in ("string", "list", "map")},
        "contains_string": _contains,
        "starts_with_string": _starts_with,
        "ends_with_string": _ends_with,
        "string_lower_ascii": _of_text(wording.lower),
        "string_upper_ascii": _of_text(wording.upper),
        "string_index_of_string": _index_of,
        "string_split_string": _split,
        "string_substring_int": _substring,
        "string_to_int64": _of_text(wording.number),
        "string_to_bool": _of_text(wording.truth),
        "bool_to_string": _of_number(lambda value: "true" if value else "false"),
        "int64_to_string": _of_number(str),
        "int64_to_timestamp": _of_number(lambda seconds: timing.within(seconds * NS_PER_S)),
        "duration_to_string": _of_number(timing.duration_text),
        "timestamp_to_string": _of_number(timing.timestamp_text),
        **{name: _of_number(part) for name, part in timing.PARTS.items()},
    }
)
