"""From checked code to a function of the facts: each node becomes a small closure over others.

Rules:

* Whatever the code is, calling the result gives a value or raises `EvaluationError`.
* `and` and `or` take an error for unknown: it counts only when no other operand decides. So do
  `all` and `exists`. Everything else fails with its operands.
* Nothing is kept between two calls: the items of walks live in a list (a frame) that one walk makes
  and hands to its body in place of the facts: first the facts, then one item for each walk around.
* What has no free operand is reckoned once, here. Why no generated Python: then a mistake in here
  would let a bundle run code.

Source: cel-spec, langdef.md, "Logical Operators", "Macros".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

from sidecar.core.expression.checking import NUMBERS, WALKS, Nodes
from sidecar.core.expression.kind import EvaluationError
from sidecar.core.expression.operation import OPERATIONS, Evaluate, Term
from sidecar.core.expression.walk import each_item, walk
from sidecar.core.policy_body import ExpressionBody

F = TypeVar("F")


Names: TypeAlias = Mapping[str, Callable[[object], object]]


def lower(
    body: ExpressionBody, names: Mapping[str, Callable[[F], object]]
) -> Callable[[F], object]:
    """The function that an expression is.

    Args:
        body: Checked (`checking.check`).
        names: How to get what stands behind each name from the facts, in the form that `kind`
            shows. May raise `EvaluationError`; called each time that the name is met.

    Returns:
        A function of the facts; it raises `EvaluationError` and nothing else.
    """
    getters = cast("Names", names)
    depths = _depths(body.code)
    terms: list[Term] = []
    for index, node in enumerate(body.code):
        terms.append(_term(node, terms, depths[index], getters, depths))
    return cast("Callable[[F], object]", terms[-1].evaluate)


def _depths(code: Nodes) -> list[int]:
    """For each node, inside of how many bodies it is. Whoever uses a node comes after it."""
    depths = [0] * len(code)
    for index in range(len(code) - 1, -1, -1):
        op, *operands = code[index]
        for place, operand in enumerate(operands):
            if op not in _LEAVES and isinstance(operand, int):
                depths[operand] = depths[index] + (op in WALKS and place == 1)
    return depths


def _term(
    node: Sequence[object], terms: list[Term], depth: int, names: Names, depths: list[int]
) -> Term:
    op, operand = str(node[0]), node[1]
    if op in ("bool", "string"):
        return Term.constant(operand)
    if op in NUMBERS:
        return Term.constant(int(str(operand)))
    if op == "name":
        return Term(_named(names[str(operand)], depth))
    if op == "item":
        return Term(each_item(depths[cast("int", operand)]))
    operands = [terms[index] for index in cast("Sequence[int]", node[1:])]
    if op == "each":
        return operands[0]
    if op in WALKS:
        return Term(walk(op, operands[0].evaluate, operands[1].evaluate, depth))
    return _folded(OPERATIONS[op](operands), operands)


def _named(get: Callable[[object], object], depth: int) -> Evaluate:
    if depth == 0:
        return get
    in_frame = cast("Callable[[list[object]], object]", lambda frame: get(frame[0]))
    return cast("Evaluate", in_frame)


def _folded(evaluate: Evaluate, operands: Sequence[Term]) -> Term:
    """A constant, when all operands are, and no error comes of them."""
    if not all(operand.is_constant for operand in operands):
        return Term(evaluate)
    try:
        return Term.constant(evaluate(None))
    except EvaluationError:
        return Term(evaluate)


_LEAVES = frozenset(("bool", "string", "name", "item", *NUMBERS))
