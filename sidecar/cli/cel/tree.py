"""The syntax tree of a checked expression, read from its serialized form.

Source: cel-spec, proto/cel/expr/checked.proto and syntax.proto.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.cli.cel.wire import Message, WireError, decoded, varints

TYPE_URL = "type.googleapis.com/cel.expr.CheckedExpr"


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; `kind`: null, bool, int, uint, double, string, bytes; only some have a value."""

    id: int
    kind: str
    value: bool | int | str | None = None


@dataclass(frozen=True, slots=True)
class Ident:
    """A name, with its dots."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or whether it is there (`test`)."""

    id: int
    operand: "Node"
    field: str
    test: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator; `operands`: what it is called on first, if anything."""

    id: int
    function: str
    operands: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list literal; `optional`: some item has a question mark."""

    id: int
    items: "tuple[Node, ...]"
    optional: bool


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map literal; `plain`: neither a message, nor with question marks."""

    id: int
    entries: "tuple[tuple[Node, Node], ...]"
    plain: bool


@dataclass(frozen=True, slots=True)
class Fold:
    """What macros like `all` stand for: a loop with an accumulator."""

    id: int
    variable: str
    over: "Node"
    accumulator: str
    start: "Node"
    condition: "Node"
    step: "Node"
    result: "Node"
    plain: bool  # one variable only


Node = Constant | Ident | Select | Call | ListOf | MapOf | Fold


@dataclass(frozen=True, slots=True)
class Checked:
    """A checked expression.

    Attributes:
        root: The tree.
        overloads: Id of a call -> the overloads that it can mean.
        places: Id -> offset in the text, in characters; of what was written.
    """

    root: Node
    overloads: Mapping[int, tuple[str, ...]]
    places: Mapping[int, int]


def read(serialized: bytes) -> Checked:
    """Read a `google.protobuf.Any` with a checked expression in it.

    Raises:
        WireError: It is something else, or holds what this reader does not know.
    """
    packed = Message(serialized)
    packed.only(1, 2)
    if packed.text(1) != TYPE_URL:
        raise WireError(f"holds {packed.text(1)!r}")
    checked = packed.message(2)
    checked.only(2, 3, 4, 5)
    references = {entry.integer(1): entry.message(2) for entry in checked.messages(2)}
    return Checked(
        _node(checked.message(4)),
        {key: tuple(_texts(reference, 3)) for key, reference in references.items()},
        _places(checked.message(5)),
    )


def _texts(message: Message, number: int) -> list[str]:
    return [decoded(raw) for raw in message.all_bytes(number)]


def _places(source: Message) -> dict[int, int]:
    return {entry.integer(1): entry.integer(2) for entry in source.messages(4)}


def _node(message: Message) -> Node:
    message.only(2, *_READERS)
    kinds = [number for number in _READERS if message.has(number)]
    if len(kinds) != 1:
        raise WireError("an expression of no known kind")
    return _READERS[kinds[0]](message.integer(2), message.message(kinds[0]))


_CONSTANTS = {
    1: "null", 2: "bool", 3: "int", 4: "uint", 5: "double", 6: "string", 7: "bytes",
}  # fmt: skip


def _constant(key: int, message: Message) -> Node:
    kinds = [number for number in _CONSTANTS if message.has(number)]
    if len(kinds) != 1:
        raise WireError("a literal of no known kind")
    kind = _CONSTANTS[kinds[0]]
    values: Mapping[str, bool | int | str] = {
        "bool": kind == "bool" and bool(message.integer(2)),
        "int": message.signed(3) if kind == "int" else 0,
        "string": message.text(6) if kind == "string" else "",
    }
    return Constant(key, kind, values.get(kind))


def _ident(key: int, message: Message) -> Node:
    message.only(1)
    return Ident(key, message.text(1).removeprefix("."))


def _select(key: int, message: Message) -> Node:
    message.only(1, 2, 3)
    operand = _node(message.message(1))
    return Select(key, operand, message.text(2), bool(message.integer(3)))


def _call(key: int, message: Message) -> Node:
    message.only(1, 2, 3)
    operands = tuple(_node(operand) for operand in [*message.messages(1), *message.messages(3)])
    return Call(key, message.text(2), operands)


def _list(key: int, message: Message) -> Node:
    message.only(1, 2)
    items = tuple(_node(item) for item in message.messages(1))
    return ListOf(key, items, bool(varints(message.bytes_of(2))))


def _map(key: int, message: Message) -> Node:
    message.only(1, 2)
    entries, plain = [], not message.has(1)
    for entry in message.messages(2):
        entry.only(1, 2, 3, 4, 5)
        if entry.has(2) or entry.integer(5):
            plain = False
            continue
        entries.append((_node(entry.message(3)), _node(entry.message(4))))
    return MapOf(key, tuple(entries), plain)


def _fold(key: int, message: Message) -> Node:
    message.only(1, 2, 3, 4, 5, 6, 7, 8)
    parts = [_node(message.message(number)) for number in (2, 4, 5, 6, 7)]
    over, start, condition, step, result = parts
    return Fold(
        key, message.text(1), over, message.text(3), start, condition, step, result,
        plain=not message.text(8),
    )  # fmt: skip


_READERS = {
    3: _constant, 4: _ident, 5: _select, 6: _call, 8: _map, 7: _list, 9: _fold,
}  # fmt: skip
