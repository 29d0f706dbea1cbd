"""An expression taken apart: what each part of it was worth for one request.

Rules:

* Parts are evaluated by the closures that decide (`expression/lowering.py`), each by itself. So a
  part has a value here also where `&&` never came to it.
* What stands inside of a walk (`all`, `exists`, ...) has a value for each item and is not shown;
  nor are constants, which say it themselves, and maps, which may hold all headers of a request.
* The text of a part is made from what was signed, not cut out of what a person wrote.

Source: core/expression/checking (nodes), kind (what stands for a value).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from sidecar.core.expression.checking import NUMBERS, WALKS, Nodes, check
from sidecar.core.expression.kind import DURATION, TIMESTAMP, EvaluationError, Type
from sidecar.core.expression.lowering import lower
from sidecar.core.facts import Ask, Facts
from sidecar.core.policy_body import ExpressionBody

NS_PER_S, NS_PER_US = 1_000_000_000, 1000
TEXT_MAX = 160  # characters of a value that is shown

_CONSTANTS = frozenset(("bool", "string", *NUMBERS))
_LEAVES = _CONSTANTS | {"name", "item"}
_OPERATORS = {
    "logical_and": "&&", "logical_or": "||", "equals": "==", "not_equals": "!=", "less": "<",
    "less_equals": "<=", "greater": ">", "greater_equals": ">=", "add": "+", "subtract": "-",
    "multiply": "*", "divide": "/", "modulo": "%", "in": "in",
}  # fmt: skip
_FORMS = {
    "each": "{}", "logical_not": "!{}", "negate_int64": "-{}", "conditional": "{} ? {} : {}",
    "index_list": "{}[{}]", "index_map": "{}[{}]",
}  # fmt: skip
_METHODS = {"contains": "contains", "starts_with": "startsWith", "ends_with": "endsWith"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an expression.

    Attributes:
        text: As CEL would write it.
        value: As CEL would write it; of one that has none, why.
        failed: Whether it has none.
    """

    text: str
    value: str
    failed: bool = False


def worth(
    body: ExpressionBody, kinds: Mapping[str, Type], names: Mapping[str, Ask], known: Facts
) -> Part:
    """What a whole expression was worth."""
    return _part(body, " ".join(body.text.split()), kinds, names, known)


def parts(
    body: ExpressionBody, kinds: Mapping[str, Type], names: Mapping[str, Ask], known: Facts
) -> list[Part]:
    """What its parts were worth, each before what it is a part of; each text once.

    Args:
        body: Checked.
        kinds: Of the names that it may use.
        names: How to get what stands behind them.
        known: The request.
    """
    code = body.code
    found: dict[str, Part] = {}
    for index in _shown(code, len(code) - 1, root=True):
        alone = ExpressionBody(code=_alone(code, index), text="part")
        if check(alone, kinds).kind != "map":
            text = spell(code, index)
            found.setdefault(text, _part(alone, text, kinds, names, known))
    return list(found.values())


def spell(code: Nodes, index: int) -> str:
    """A node as CEL would write it."""
    op, *operands = code[index]
    if op in _CONSTANTS:
        return _constant(str(op), operands[0])
    if op == "name":
        return str(operands[0])
    if op == "item":
        return f"item{operands[0]}"
    texts = [_inside(code, cast("int", operand)) for operand in operands]
    return _compound(str(op), texts, operands)


def shown(value: object, kind: Type) -> str:
    """A value as CEL would write it."""
    if kind == DURATION:
        return f'duration("{cast("int", value) / NS_PER_S:.12g}s")'
    if kind == TIMESTAMP:
        return _moment(cast("int", value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(item, kind.of[0]) for item in value)}]"
    return str(value)


def _part(
    body: ExpressionBody,
    text: str,
    kinds: Mapping[str, Type],
    names: Mapping[str, Ask],
    known: Facts,
) -> Part:
    ask: Callable[[Facts], object] = lower(body, names)
    try:
        said = shown(ask(known), check(body, kinds))
    except EvaluationError as error:
        return Part(text, f"error: {error}", failed=True)
    return Part(text, said if len(said) <= TEXT_MAX else said[: TEXT_MAX - 3] + "...")


def _shown(code: Nodes, index: int, *, root: bool = False) -> Iterator[int]:
    """The nodes below one that have a value of their own, and it."""
    op, *operands = code[index]
    if op in _CONSTANTS or op == "each":
        if op == "each":
            yield from _shown(code, cast("int", operands[0]))
        return
    if op != "name":
        below = operands[:1] if op in WALKS else operands
        for operand in below:
            yield from _shown(code, cast("int", operand))
    if not root and not (op in ("list", "map") and _is_constant(code, index)):
        yield index


def _is_constant(code: Nodes, index: int) -> bool:
    op, *operands = code[index]
    if op in _LEAVES:
        return op in _CONSTANTS
    return all(_is_constant(code, cast("int", operand)) for operand in operands)


def _alone(code: Nodes, root: int) -> list[list[object]]:
    """The code of one node: itself and what it is made of."""
    place: dict[int, int] = {}
    made: list[list[object]] = []
    for index in sorted(_below(code, root)):
        op, *operands = code[index]
        constant = op in _CONSTANTS or op == "name"
        moved = operands if constant else [place[cast("int", operand)] for operand in operands]
        place[index] = len(made)
        made.append([op, *moved])
    return made


def _below(code: Nodes, index: int) -> Iterator[int]:
    op, *operands = code[index]
    yield index
    if op not in _LEAVES:
        for operand in operands:
            yield from _below(code, cast("int", operand))


def _inside(code: Nodes, index: int) -> str:
    text = spell(code, index)
    op = str(code[index][0])
    return f"({text})" if _operator(op) or op == "conditional" else text


def _compound(op: str, texts: Sequence[str], operands: Sequence[object]) -> str:
    sign = _operator(op)
    first = texts[0]
    if sign:
        return f" {sign} ".join(texts)
    if op in WALKS:
        return f"{first}.{op}(item{operands[0]}, {texts[1]})"
    stem = op.rpartition("_")[0]
    if stem in _METHODS:
        return f"{first}.{_METHODS[stem]}({texts[1]})"
    form = _FORMS.get(op)
    if form is not None:
        return form.format(*texts)
    if op == "list":
        return f"[{', '.join(texts)}]"
    if op == "map":
        pairs = zip(texts[::2], texts[1::2], strict=True)
        return f"{{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"
    return f"{_function(op)}({', '.join(texts)})"


def _function(op: str) -> str:
    """Of conversions the kind that they give; else the word before the kind that they take."""
    before, found, after = op.partition("_to_")
    if not found:
        return op.partition("_")[0]
    if before in ("timestamp", "duration") and after not in ("string", "int64"):
        return "get" + "".join(word.capitalize() for word in after.split("_"))
    return {"int64": "int"}.get(after, after)


def _operator(op: str) -> str | None:
    """The sign that stands between the operands, if one does."""
    if op in _OPERATORS:
        return _OPERATORS[op]
    return next((_OPERATORS[stem] for stem in _stems(op) if stem in _OPERATORS), None)


def _stems(op: str) -> Iterator[str]:
    """`less_equals_int64` -> less_equals, less: the name without the kinds."""
    while "_" in op:
        op = op.rpartition("_")[0]
        yield op


def _constant(op: str, operand: object) -> str:
    if op == "bool":
        return "true" if operand else "false"
    if op == "string":
        return json.dumps(operand)
    number = int(str(operand))
    kinds = {"duration": DURATION, "timestamp": TIMESTAMP}
    return shown(number, kinds[op]) if op in kinds else str(number)


def _moment(at_ns: int) -> str:
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // NS_PER_US)
    return f'timestamp("{when.isoformat().replace("+00:00", "Z")}")'
