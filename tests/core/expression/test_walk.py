"""Walks over lists and maps."""

import pytest

from sidecar.core.expression.kind import ITEMS_MAX, EvaluationError
from sidecar.core.expression.operation import Evaluate
from sidecar.core.expression.walk import each_item, walk

ITEM = each_item(0)


def over(*items: object) -> Evaluate:
    return lambda _: list(items)


def equals(wanted: object) -> Evaluate:
    """Fails for None."""

    def body(frame: object) -> bool:
        item = ITEM(frame)
        if item is None:
            raise EvaluationError("nothing")
        return item == wanted

    return body


def ask(op: str, items: Evaluate, body: Evaluate) -> object:
    return walk(op, items, body, 0)({})


def test_an_item_that_decides_counts_whatever_failed_before_and_after() -> None:
    assert ask("exists", over(None, 1, None), equals(1)) is True
    assert ask("all", over(None, 2, None), equals(1)) is False


@pytest.mark.parametrize(("op", "items"), [("exists", (2, None)), ("all", (1, None))])
def test_without_one_that_decides_a_failure_is_one(op: str, items: tuple[object, ...]) -> None:
    with pytest.raises(EvaluationError, match="nothing"):
        ask(op, over(*items), equals(1))


@pytest.mark.parametrize("op", ["exists_one", "filter", "transform"])
def test_the_others_fail_with_any_item(op: str) -> None:
    with pytest.raises(EvaluationError):
        ask(op, over(1, None), equals(1))


def test_each_gives_what_it_is_for() -> None:
    assert ask("exists_one", over(1, 2), equals(1)) is True
    assert ask("exists_one", over(1, 1), equals(1)) is False
    assert ask("filter", over(1, 2, 1), equals(1)) == [1, 1]
    assert ask("transform", over(1, 2), equals(1)) == [True, False]
    assert ask("exists", over(), equals(1)) is False
    assert ask("all", over(), equals(1)) is True


def test_more_items_than_the_bound_are_an_error() -> None:
    assert ask("all", over(*[1] * ITEMS_MAX), equals(1)) is True
    with pytest.raises(EvaluationError, match="too many"):
        ask("all", over(*[1] * (ITEMS_MAX + 1)), equals(1))


def test_a_walk_inside_of_a_body_leaves_the_item_around_it_alone() -> None:
    outer, inner = each_item(0), each_item(1)
    inside = walk("transform", over("a", "b"), lambda frame: (outer(frame), inner(frame)), 1)
    assert walk("transform", over(1, 2), inside, 0)({}) == [
        [(1, "a"), (1, "b")],
        [(2, "a"), (2, "b")],
    ]
