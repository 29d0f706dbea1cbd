"""Which macro a loop stands for."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.cli.cel.library import compiled
from sidecar.cli.cel.macro import recognized
from sidecar.cli.cel.tree import Call, Constant, Fold, Ident, Node, read
from sidecar.core.expression.kind import STRING, list_of


def fold(text: str) -> Fold:
    root = read(compiled(text, {"l": list_of(STRING)})).root
    assert isinstance(root, Fold)
    return root


MACROS = [
    ("l.all(x, x == 'a')", ("all",)),
    ("l.exists(x, x == 'a')", ("exists",)),
    ("l.exists_one(x, x == 'a')", ("exists_one",)),
    ("l.filter(x, x == 'a')", ("filter",)),
    ("l.map(x, x + 'a')", ("transform",)),
    ("l.map(x, x == 'a', x + 'a')", ("filter", "transform")),
    ("l.map(x, x == 'a', x)", ("filter",)),
]


@pytest.mark.parametrize(("text", "ops"), MACROS)
def test_each_macro_is_known_by_its_loop(text: str, ops: tuple[str, ...]) -> None:
    found = recognized(fold(text))
    assert found is not None
    assert found.ops == ops
    assert len(found.bodies) == len(ops)


@pytest.mark.parametrize("text", [text for text, _ in MACROS])
def test_a_loop_that_differs_anywhere_is_none(text: str) -> None:
    """Whoever takes it for a macro would change what it means."""
    whole, other = fold(text), Constant(99, "int", 7)
    assert recognized(replace(whole, plain=False)) is None
    assert recognized(replace(whole, accumulator="other")) is None
    for part in ("start", "condition", "step", "result"):
        node = getattr(whole, part)
        assert recognized(with_part(whole, part, other)) is None, part
        if isinstance(node, Call):
            renamed = replace(node, function="_-_")
            assert recognized(with_part(whole, part, renamed)) is None, part
            for place in range(len(node.operands)):
                if node.operands[place] in _bodies(whole):
                    continue
                operands = (*node.operands[:place], other, *node.operands[place + 1 :])
                changed = with_part(whole, part, replace(node, operands=operands))
                assert recognized(changed) is None, (part, place)


def with_part(whole: Fold, part: str, node: Node) -> Fold:
    parts: dict[str, Any] = {part: node}
    return replace(whole, **parts)


def _bodies(whole: Fold) -> tuple[object, ...]:
    found = recognized(whole)
    assert found is not None
    return found.bodies


def test_the_item_may_not_be_the_accumulator() -> None:
    whole = fold("l.all(x, x == 'a')")
    assert recognized(replace(whole, variable=whole.accumulator)) is None
    assert isinstance(whole.result, Ident)
