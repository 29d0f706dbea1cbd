"""What is wrong with the code of an expression; its kind, and what it costs at most.

Code is a list of nodes `[op, operand, ...]`. Operands are numbers of earlier nodes, so there are no
circles, and each node is used exactly once, so the code is one tree; the last node is its root.

| node | value |
|---|---|
| `["bool", true]` `["string", "x"]` | itself |
| `["int", "-5"]` | decimal, as 64 bits do not fit into canonical JSON |
| `["duration", "1000000000"]` `["timestamp", "0"]` | nanoseconds, decimal |
| `["name", "request.path"]` | what stands behind a name |
| `["list", a, b, ...]` | at least one item, all of one kind |
| `["map", k, v, ...]` | at least one pair; keys are constants, each once |
| `["logical_and", a, b, ...]` `["logical_or", ...]` | at least two bool |
| `["each", range]` | the walk over the items of a list or the keys of a map |
| `["item", each]` | the item where that walk stands; only inside of the body below |
| `["all", each, body]`, also `exists`, `exists_one`, `filter` | body is bool |
| `["transform", each, body]` | the list of what body gives |
| `[overload, a, ...]` | a row of `overload.OVERLOADS` |

Bundles come from outside, so this holds for whoever made them: kinds, scope, and bounds on the
number of nodes, on nesting and on steps.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sidecar.core.expression.kind import (
    BOOL,
    DURATION,
    INT,
    INT_MAX,
    INT_MIN,
    ITEMS_MAX,
    KEYS,
    NESTING_MAX,
    NODES_MAX,
    STEPS_MAX,
    STRING,
    TIMESTAMP,
    TIMESTAMP_MAX_NS,
    TIMESTAMP_MIN_NS,
    Type,
    list_of,
    map_of,
)
from sidecar.core.expression.overload import OVERLOADS
from sidecar.core.policy_body import ExpressionBody
from sidecar.core.reason import ProtocolError, Reason

WALKS = ("all", "exists", "exists_one", "filter", "transform")
NUMBERS = {
    "int": (INT, INT_MIN, INT_MAX),
    "duration": (DURATION, INT_MIN, INT_MAX),
    "timestamp": (TIMESTAMP, TIMESTAMP_MIN_NS, TIMESTAMP_MAX_NS),
}
_DECIMAL = re.compile(r"\A(?:0|-?[1-9][0-9]{0,18})\Z", re.ASCII)
_DECIMAL_LONG = re.compile(r"\A(?:0|-?[1-9][0-9]{0,20})\Z", re.ASCII)  # a timestamp has up to 21

Nodes = Sequence[Sequence[object]]

SEARCHES = ("contains_string", "string_index_of_string", "string_split_string")
_UNKNOWN_PART = 10  # times a search: a client that chooses both texts can choose the worst ones
_FLAT: Mapping[str, int] = {}


class CodeError(Exception):
    """What is wrong with a node.

    Attributes:
        index: Which one.
        text: One line for people.
    """

    def __init__(self, index: int, text: str) -> None:
        super().__init__(f"node {index}: {text}")
        self.index = index
        self.text = text


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of a node, or of a whole expression.

    Attributes:
        type: Kind of its value.
        steps: What it costs at most.
        items: How many items its value has at most, if it is a list or a map.
        nesting: Nodes inside of each other, itself included.
        free: Walks whose items it reads and that are not inside of it.
    """

    type: Type
    steps: int = 1
    items: int = ITEMS_MAX
    nesting: int = 1
    free: frozenset[int] = frozenset()


def check(body: ExpressionBody, names: Mapping[str, Type]) -> Type:
    """The kind of an expression's value, when `names` have these kinds.

    Raises:
        ProtocolError: POLICY_INVALID with the node and what is wrong with it.
    """
    return judged(body, names).type


def steps(body: ExpressionBody, names: Mapping[str, Type]) -> int:
    """What an expression costs at most; a step is about 0.1 microseconds."""
    return judged(body, names).steps


def judged(
    body: ExpressionBody, names: Mapping[str, Type], nesting: Mapping[str, int] = _FLAT
) -> Judged:
    """What is known of an expression.

    Args:
        body: The expression.
        names: What it can use.
        nesting: Of the expressions behind names, if they have one: that of variables. All of them
            together may be as deep as one, because the interpreter has one stack for them.

    Raises:
        ProtocolError: POLICY_INVALID with the node and what is wrong with it.
    """
    try:
        return judge(body.code, names, nesting)
    except CodeError as error:
        raise ProtocolError(Reason.POLICY_INVALID, f"expression {body.text!r}: {error}") from None


def judge(code: Nodes, names: Mapping[str, Type], nesting: Mapping[str, int] = _FLAT) -> Judged:
    """What `judged` does.

    Raises:
        CodeError: The first node that is wrong.
    """
    if not 1 <= len(code) <= NODES_MAX:
        raise CodeError(0, f"{len(code)} nodes, at most {NODES_MAX}")
    return _Checker(code, names, nesting).root()


class _Checker:
    def __init__(self, code: Nodes, names: Mapping[str, Type], nesting: Mapping[str, int]) -> None:
        self._code = code
        self._names = names
        self._nesting = nesting
        self._judged: list[Judged] = []
        self._used: set[int] = set()
        self._index = 0

    def root(self) -> Judged:
        for index, node in enumerate(self._code):
            self._index = index
            judged = self._node(node)
            if judged.nesting > NESTING_MAX:
                raise self._wrong(f"nested deeper than {NESTING_MAX}")
            if judged.steps > STEPS_MAX:
                raise self._wrong(f"costs up to {judged.steps} steps, at most {STEPS_MAX}")
            self._judged.append(judged)
        if len(self._used) != len(self._code) - 1:
            raise self._wrong("some node is not used")
        if self._judged[-1].free or self._code[-1][0] == "each":
            raise self._wrong("reads an item outside of its walk")
        return self._judged[-1]

    def _wrong(self, text: str) -> CodeError:
        return CodeError(self._index, text)

    def _node(self, node: Sequence[object]) -> Judged:
        if not node or not isinstance(node[0], str):
            raise self._wrong("has no operation")
        op, operands = node[0], node[1:]
        if op in _LEAVES:
            if len(operands) != 1:
                raise self._wrong(f"{op} has {len(operands)} operands")
            return _LEAVES[op](self, op, operands[0])
        if op in _BRANCHES:
            return _BRANCHES[op](self, op, [self._use(operand) for operand in operands])
        if op in OVERLOADS:
            return self._call(op, [self._use(operand) for operand in operands])
        raise self._wrong(f"no operation {op!r}")

    def _use(self, operand: object) -> int:
        """The number of an earlier node, which nothing else uses."""
        if type(operand) is not int or not 0 <= operand < self._index:
            raise self._wrong("an operand is no earlier node")
        if operand in self._used:
            raise self._wrong(f"node {operand} is used twice")
        self._used.add(operand)
        return operand

    def _values(self, operands: Sequence[int]) -> list[Judged]:
        if any(self._code[operand][0] == "each" for operand in operands):
            raise self._wrong("a walk is no value")
        return [self._judged[operand] for operand in operands]

    def bool_node(self, _op: str, value: object) -> Judged:
        if type(value) is not bool:
            raise self._wrong("is not true or false")
        return Judged(BOOL)

    def string_node(self, _op: str, value: object) -> Judged:
        if type(value) is not str:
            raise self._wrong("is no text")
        return Judged(STRING)

    def number_node(self, op: str, value: object) -> Judged:
        kind, least, most = NUMBERS[op]
        pattern = _DECIMAL_LONG if kind == TIMESTAMP else _DECIMAL
        if type(value) is not str or not pattern.match(value) or not least <= int(value) <= most:
            raise self._wrong(f"is no {op} in decimal")
        return Judged(kind)

    def name_node(self, _op: str, value: object) -> Judged:
        if type(value) is not str or value not in self._names:
            raise self._wrong(f"no name {value!r}")
        return Judged(self._names[value], nesting=1 + self._nesting.get(value, 0))

    def item_node(self, _op: str, value: object) -> Judged:
        """Not a use: an item can be read any number of times."""
        if type(value) is not int or not 0 <= value < self._index:
            raise self._wrong("an operand is no earlier node")
        if self._code[value][0] != "each":
            raise self._wrong("item of what is no walk")
        return Judged(self._judged[value].type, free=frozenset((value,)))

    def list_node(self, _op: str, operands: list[int]) -> Judged:
        items = self._values(operands)
        if not items or any(item.type != items[0].type for item in items):
            raise self._wrong("a list has at least one item, and items of one kind")
        return self._of(list_of(items[0].type), items, items=len(items))

    def map_node(self, _op: str, operands: list[int]) -> Judged:
        keys, values = self._values(operands[::2]), self._values(operands[1::2])
        if not keys or len(keys) != len(values):
            raise self._wrong("a map has at least one pair of key and value")
        kinds = (keys[0].type, values[0].type)
        if kinds[0] not in KEYS or any(
            pair != kinds
            for pair in zip([k.type for k in keys], [v.type for v in values], strict=True)
        ):
            raise self._wrong("a map has keys bool, int or string, and pairs of one kind")
        constants = [tuple(self._code[key]) for key in operands[::2]]
        if len(set(constants)) != len(keys) or any(c[0] not in _CONSTANTS for c in constants):
            raise self._wrong("the keys of a map are constants, each once")
        return self._of(map_of(*kinds), [*keys, *values], items=len(keys))

    def logical_node(self, _op: str, operands: list[int]) -> Judged:
        terms = self._values(operands)
        if len(terms) <= 1 or any(term.type != BOOL for term in terms):
            raise self._wrong("takes at least two bool")
        return self._of(BOOL, terms)

    def each_node(self, _op: str, operands: list[int]) -> Judged:
        (over,) = self._values(operands) if len(operands) == 1 else (None,)
        if over is None or over.type.kind not in ("list", "map"):
            raise self._wrong("walks over one list or map")
        return self._of(over.type.of[0], [over], items=over.items)

    def walk_node(self, op: str, operands: list[int]) -> Judged:
        if len(operands) != 2 or self._code[operands[0]][0] != "each":  # noqa: PLR2004
            raise self._wrong("takes a walk and a body")
        each, (body,) = self._judged[operands[0]], self._values(operands[1:])
        if each.items > ITEMS_MAX:
            raise self._wrong(f"walks over {each.items} items, at most {ITEMS_MAX}")
        if op != "transform" and body.type != BOOL:
            raise self._wrong("the body is no bool")
        results = {"filter": list_of(each.type), "transform": list_of(body.type)}
        return Judged(
            results.get(op, BOOL),
            each.steps + each.items * (body.steps + 2),
            each.items,
            1 + max(each.nesting, body.nesting),
            each.free | body.free - {operands[0]},
        )

    def _call(self, op: str, operands: list[int]) -> Judged:
        values = self._values(operands)
        overload = OVERLOADS[op]
        result = overload.result(tuple(value.type for value in values))
        if result is None:
            given = ", ".join(str(value.type) for value in values)
            raise self._wrong(f"{op} does not take ({given})")
        more = overload.steps
        if op in SEARCHES and self._code[operands[1]][0] != "string":
            more *= _UNKNOWN_PART
        if op in _ITEMWISE:
            more += max(_leaves(value.type, value.items) for value in values)
        items = {
            "add_list": min(ITEMS_MAX, sum(value.items for value in values)),
            "conditional": max((value.items for value in values[1:]), default=0),
        }
        return self._of(result, values, more, items=items.get(op, ITEMS_MAX))

    def _of(
        self, kind: Type, parts: Sequence[Judged], more: int = 1, items: int = ITEMS_MAX
    ) -> Judged:
        return Judged(
            kind,
            more + sum(part.steps for part in parts),
            items,
            1 + max(part.nesting for part in parts),
            frozenset().union(*(part.free for part in parts)),
        )


def _leaves(kind: Type, items: int) -> int:
    """How many values without parts are in one of this kind, at most."""
    return items * _leaves(kind.of[-1], ITEMS_MAX) if kind.of else 1


_Leaf = Callable[[_Checker, str, object], Judged]
_Branch = Callable[[_Checker, str, list[int]], Judged]

_CONSTANTS = ("bool", "string", *NUMBERS)
_ITEMWISE = ("add_list", "equals", "in_list", "not_equals")  # cost grows with the items
_LEAVES: Mapping[str, _Leaf] = {
    "bool": _Checker.bool_node,
    "string": _Checker.string_node,
    "int": _Checker.number_node,
    "duration": _Checker.number_node,
    "timestamp": _Checker.number_node,
    "name": _Checker.name_node,
    "item": _Checker.item_node,
}
_BRANCHES: Mapping[str, _Branch] = {
    "list": _Checker.list_node,
    "map": _Checker.map_node,
    "logical_and": _Checker.logical_node,
    "logical_or": _Checker.logical_node,
    "each": _Checker.each_node,
    **dict.fromkeys(WALKS, _Checker.walk_node),
}
