"""From the tree of a checked expression to code, as far as the subset goes.

Rules:

* What is not known here is refused, with its place: nothing is ever left out.
* Macros arrive as loops. A loop is taken for a macro when it is, node for node, what that macro
  stands for.
* Texts of durations and timestamps are read here, so that no sidecar has to. So only literals.

Source: policies/EXPRESSIONS.md; cel-spec, langdef.md, "Macros".
"""

from collections.abc import Callable, Mapping

from sidecar.cli.cel import macro
from sidecar.cli.cel.hint import FORMS, refused
from sidecar.cli.cel.tree import (
    Call,
    Checked,
    Constant,
    Fold,
    Ident,
    ListOf,
    MapOf,
    Node,
    Select,
)
from sidecar.core.expression.environment import DECLARED
from sidecar.core.expression.kind import NODES_MAX, Type
from sidecar.core.expression.overload import OVERLOADS

_ROOTS = {name.partition(".")[0] for name in DECLARED} | {"variables"}

_SAME = {"string_size": "size_string", "list_size": "size_list", "map_size": "size_map"}
_NOTHING_TO_DO = frozenset(
    f"{kind}_to_{kind}" for kind in ("bool", "int64", "string", "duration", "timestamp")
)
_READ = {"string_to_duration": "duration", "string_to_timestamp": "timestamp"}

# Kind and text of a literal -> nanoseconds; None: it is none.
Nanoseconds = Callable[[str, str], int | None]


class RefusedError(Exception):
    """A node is outside of the subset.

    Attributes:
        id: Which one.
        text: What it is.
        hint: What to write instead.
    """

    def __init__(self, key: int, text: str, hint: str) -> None:
        super().__init__(text)
        self.id = key
        self.text = text
        self.hint = hint


class Translation:
    """Makes code of one expression.

    Attributes:
        code: The nodes, once `root` has returned.
        ids: For each node, the id of what it was made from.
    """

    def __init__(
        self, checked: Checked, names: Mapping[str, Type], nanoseconds: Nanoseconds
    ) -> None:
        self.code: list[list[object]] = []
        self.ids: list[int] = []
        self._overloads = checked.overloads
        self._names = names
        self._nanoseconds = nanoseconds
        self._walks: dict[str, int] = {}  # variable of a macro -> its walk

    def node(self, node: Node) -> int:
        """Add a node and what it needs; its number."""
        match node:
            case Constant():
                return self._constant(node)
            case Ident():
                return self._ident(node)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListOf():
                return self._list(node)
            case MapOf():
                return self._map(node)
            case Fold():
                return self._fold(node)

    def _add(self, key: int, *parts: object) -> int:
        self.code.append(list(parts))
        self.ids.append(key)
        if len(self.code) > NODES_MAX:
            raise RefusedError(key, *FORMS["long"])
        return len(self.code) - 1

    def _constant(self, node: Constant) -> int:
        if node.value is None:
            raise RefusedError(node.id, *FORMS[node.kind])
        value = str(node.value) if node.kind == "int" else node.value
        return self._add(node.id, node.kind, value)

    def _ident(self, node: Ident) -> int:
        if node.name in self._walks:
            return self._add(node.id, "item", self._walks[node.name])
        if node.name not in self._names:
            raise RefusedError(node.id, *FORMS["type"])
        return self._add(node.id, "name", node.name)

    def _select(self, node: Select) -> int:
        if node.test:
            key = self._add(node.id, "string", node.field)
            return self._add(node.id, "in_map", key, self.node(node.operand))
        entries = self.node(node.operand)
        return self._add(node.id, "index_map", entries, self._add(node.id, "string", node.field))

    def _call(self, node: Call) -> int:
        overloads = self._overloads.get(node.id, ())
        if len(overloads) != 1:
            raise RefusedError(node.id, *FORMS["dyn"])
        overload = _SAME.get(overloads[0], overloads[0])
        if overload in _NOTHING_TO_DO:
            return self.node(node.operands[0])
        if overload in _READ:
            return self._literal(node, _READ[overload])
        if overload in ("logical_and", "logical_or"):
            terms = [self.node(term) for term in self._flat(node, overload)]
            return self._add(node.id, overload, *terms)
        operands = [self.node(operand) for operand in node.operands]  # the deepest cause first
        if overload not in OVERLOADS:
            raise RefusedError(node.id, *refused(overload, node.function))
        return self._add(node.id, overload, *operands)

    def _flat(self, node: Node, overload: str) -> list[Node]:
        """The terms of `a && b && c`, however they were nested."""
        if isinstance(node, Call) and self._overloads.get(node.id) == (overload,):
            return [term for operand in node.operands for term in self._flat(operand, overload)]
        return [node]

    def _literal(self, node: Call, kind: str) -> int:
        (operand,) = node.operands
        if not isinstance(operand, Constant) or not isinstance(operand.value, str):
            raise RefusedError(node.id, *FORMS[kind])
        count = self._nanoseconds(kind, operand.value)
        if count is None:
            raise RefusedError(operand.id, f"{operand.value!r} is no {kind}", FORMS[kind][1])
        return self._add(node.id, kind, str(count))

    def _list(self, node: ListOf) -> int:
        if not node.items or node.optional:
            raise RefusedError(node.id, *FORMS["optional" if node.optional else "empty list"])
        return self._add(node.id, "list", *[self.node(item) for item in node.items])

    def _map(self, node: MapOf) -> int:
        if not node.entries or not node.plain:
            raise RefusedError(node.id, *FORMS["empty map" if node.plain else "message"])
        parts = [self.node(part) for entry in node.entries for part in entry]
        return self._add(node.id, "map", *parts)

    def _fold(self, node: Fold) -> int:
        found = macro.recognized(node)
        if found is None:
            raise RefusedError(node.id, *FORMS["macro"])
        if node.variable in _ROOTS:
            raise RefusedError(node.id, *FORMS["variable"])
        return self._walk(node, found.ops, found.bodies)

    def _walk(self, node: Fold, ops: tuple[str, ...], bodies: tuple[Node, ...]) -> int:
        """One walk after the other, each over what the one before gave."""
        over = self.node(node.over)
        for op, body in zip(ops, bodies, strict=True):
            walk = self._add(node.id, "each", over)
            outer = dict(self._walks)
            self._walks[node.variable] = walk
            over = self._add(node.id, op, walk, self.node(body))
            self._walks = outer
        return over
