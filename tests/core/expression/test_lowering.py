"""Code of expressions by hand: that each rule of the language holds without any compiler."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest

from sidecar.core.expression.checking import check
from sidecar.core.expression.kind import BOOL, INT, STRING, EvaluationError, Type, map_of
from sidecar.core.expression.lowering import lower
from sidecar.core.policy_body import ExpressionBody

Facts = Mapping[str, object]
NAMES: Mapping[str, Type] = {"b": BOOL, "i": INT, "s": STRING, "m": map_of(STRING, STRING)}
FAILS: list[list[object]] = [["name", "m"], ["string", "missing"], ["index_map", 0, 1]]


def body(*code: list[object]) -> ExpressionBody:
    return ExpressionBody(code=list(code), text="by hand")


def getter(name: str) -> Callable[[Facts], object]:
    return lambda facts: facts[name]


GETTERS = MappingProxyType({name: getter(name) for name in NAMES})


def value(*code: list[object], **facts: object) -> object:
    check(body(*code), NAMES)
    return lower(body(*code), GETTERS)(facts)


def test_a_constant_and_a_name_are_themselves() -> None:
    assert value(["int", "-5"]) == -5
    assert value(["name", "s"], s="x") == "x"


@pytest.mark.parametrize(("op", "other"), [("logical_and", False), ("logical_or", True)])
def test_an_error_counts_only_when_no_other_operand_decides(op: str, *, other: bool) -> None:
    failing: list[list[object]] = [*FAILS, ["string", "x"], ["equals", 2, 3]]
    assert value(*failing, ["bool", other], [op, 4, 5], m={}) is other
    assert value(["bool", other], *shifted(failing), [op, 5, 0], m={}) is other
    with pytest.raises(EvaluationError):
        value(*failing, ["bool", not other], [op, 4, 5], m={})


def shifted(code: list[list[object]], by: int = 1) -> list[list[object]]:
    """The same code, when `by` nodes come before it."""
    return [[n[0], *(o + by if isinstance(o, int) else o for o in n[1:])] for n in code]


def test_walks_inside_of_walks_each_have_their_item() -> None:
    """['a', s].exists(x, m.exists(y, m[y] == x))."""
    code: list[list[object]] = [
        ["string", "a"], ["name", "s"], ["list", 0, 1], ["each", 2],
        ["name", "m"], ["each", 4],
        ["name", "m"], ["item", 5], ["index_map", 6, 7], ["item", 3], ["equals", 8, 9],
        ["exists", 5, 10], ["exists", 3, 11],
    ]  # fmt: skip
    assert value(*code, s="b", m={"x": "n", "y": "b"}) is True
    assert value(*code, s="b", m={"x": "n", "y": "x"}) is False
