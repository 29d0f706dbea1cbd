"""The closures behind operators; values and errors are compared with CEL in tests/expressions."""

import pytest

from sidecar.core.expression.kind import ITEMS_MAX, EvaluationError
from sidecar.core.expression.operation import OPERATIONS, Term

X = Term(lambda facts: facts)
"""Whatever is asked about."""


def applied(op: str, facts: object, *operands: object) -> object:
    """The operation with X for None, and constants."""
    terms = [X if operand is None else Term.constant(operand) for operand in operands]
    return OPERATIONS[op](terms)(facts)


@pytest.mark.parametrize(
    ("op", "operands", "facts", "expected"),
    [
        ("equals", ("a", None), "a", True),
        ("equals", (None, "a"), "b", False),
        ("not_equals", ("a", None), "a", False),
        ("less_int64", (None, 2), 1, True),
        ("less_int64", (2, None), 1, False),
        ("greater_equals_string", (None, "\uffff"), "\U00010000", True),  # not so in UTF-16
        ("in_list", (None, [1, 2]), 2, True),
        ("in_list", (None, [[1], [2]]), [3], False),
        ("in_map", ("a", None), {"a": ""}, True),
        ("starts_with_string", (None, "ab"), "abc", True),
    ],
)
def test_a_constant_on_either_side_changes_nothing(
    op: str, operands: tuple[object, ...], facts: object, expected: object
) -> None:
    assert applied(op, facts, *operands) is expected
    both = [operand if operand is not None else facts for operand in operands]
    assert OPERATIONS[op]([Term(lambda _, value=v: value) for v in both])(None) is expected  # type: ignore[misc]


def test_an_index_does_not_count_from_the_end() -> None:
    assert applied("index_list", 0, ["a"], None) == "a"
    for place in (-1, 1):
        with pytest.raises(EvaluationError):
            applied("index_list", place, ["a"], None)


def test_a_missing_key_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no such key"):
        applied("index_map", {}, None, "a")


def test_lists_do_not_grow_without_bound() -> None:
    most = [0] * ITEMS_MAX
    with pytest.raises(EvaluationError):
        applied("add_list", [1], None, most)
