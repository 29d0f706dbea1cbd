"""Which macro a loop stands for.

CEL expands macros before anybody else sees them. `r.all(x, p)` becomes a loop over r that begins
with true, goes on while that is not false, and takes each time `accumulator && p`; and so on. A
loop that is like none of these, node for node, was not written as a macro, and is none here.

Source: cel-spec, langdef.md, "Macros"; cel-cpp, parser/macro.cc.
"""

from dataclasses import dataclass

from sidecar.cli.cel.tree import Call, Constant, Fold, Ident, ListOf, Node


@dataclass(frozen=True, slots=True)
class Macro:
    """Walks that do the same; `bodies`: what each does with an item."""

    ops: tuple[str, ...]
    bodies: tuple[Node, ...]


def recognized(fold: Fold) -> Macro | None:
    """The macro that a loop stands for; None: none."""
    if not fold.plain or fold.variable == fold.accumulator:
        return None
    for attempt in (_all, _exists, _exists_one, _list):
        found = attempt(fold)
        if found is not None:
            return found
    return None


def _all(fold: Fold) -> Macro | None:
    """True; while accumulator; accumulator && body; accumulator."""
    if not _constant(fold.start, "bool", value=True) or not _is_accumulator(fold, fold.result):
        return None
    (going,) = _operands(fold.condition, "@not_strictly_false", 1) or (None,)
    step = _operands(fold.step, "_&&_", 2)
    if going is None or step is None or not _is_accumulator(fold, going):
        return None
    return Macro(("all",), step[1:]) if _is_accumulator(fold, step[0]) else None


def _exists(fold: Fold) -> Macro | None:
    """False; while !accumulator; accumulator || body; accumulator."""
    if not _constant(fold.start, "bool", value=False) or not _is_accumulator(fold, fold.result):
        return None
    (going,) = _operands(fold.condition, "@not_strictly_false", 1) or (None,)
    (not_yet,) = _operands(going, "!_", 1) or (None,)
    step = _operands(fold.step, "_||_", 2)
    if not_yet is None or step is None or not _is_accumulator(fold, not_yet):
        return None
    return Macro(("exists",), step[1:]) if _is_accumulator(fold, step[0]) else None


def _exists_one(fold: Fold) -> Macro | None:
    """0; always; body ? accumulator + 1 : accumulator; accumulator == 1."""
    counted = _operands(fold.result, "_==_", 2)
    step = _operands(fold.step, "_?_:_", 3)
    if counted is None or step is None or not _whole(fold):
        return None
    more = _operands(step[1], "_+_", 2)
    fits = (
        _constant(fold.start, "int", value=0)
        and _is_accumulator(fold, counted[0])
        and _constant(counted[1], "int", value=1)
        and more is not None
        and _is_accumulator(fold, more[0])
        and _constant(more[1], "int", value=1)
        and _is_accumulator(fold, step[2])
    )
    return Macro(("exists_one",), step[:1]) if fits else None


def _list(fold: Fold) -> Macro | None:
    """[]; always; accumulator + [made], or that when a condition holds; accumulator.

    `filter(x, p)` makes x itself; `map(x, f)` has no condition; `map(x, p, f)` has both.
    """
    empty = isinstance(fold.start, ListOf) and not fold.start.items
    if not empty or not _whole(fold) or not _is_accumulator(fold, fold.result):
        return None
    guarded = _operands(fold.step, "_?_:_", 3)
    if guarded is None:
        made = _appended(fold, fold.step)
        return None if made is None else Macro(("transform",), (made,))
    made = _appended(fold, guarded[1])
    if made is None or not _is_accumulator(fold, guarded[2]):
        return None
    if isinstance(made, Ident) and made.name == fold.variable:
        return Macro(("filter",), guarded[:1])
    return Macro(("filter", "transform"), (guarded[0], made))


def _appended(fold: Fold, step: Node) -> Node | None:
    """What a step appends to the accumulator."""
    both = _operands(step, "_+_", 2)
    if both is None or not _is_accumulator(fold, both[0]):
        return None
    one = both[1]
    return one.items[0] if isinstance(one, ListOf) and len(one.items) == 1 else None


def _whole(fold: Fold) -> bool:
    """Whether the loop goes through to the end."""
    return _constant(fold.condition, "bool", value=True)


def _constant(node: Node, kind: str, *, value: int) -> bool:
    return isinstance(node, Constant) and node.kind == kind and node.value == value


def _is_accumulator(fold: Fold, node: Node) -> bool:
    return isinstance(node, Ident) and node.name == fold.accumulator


def _operands(node: Node | None, function: str, count: int) -> tuple[Node, ...] | None:
    if not isinstance(node, Call) or node.function != function or len(node.operands) != count:
        return None
    return node.operands
