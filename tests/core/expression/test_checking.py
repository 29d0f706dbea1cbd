"""Code of expressions from outside: what is wrong with it is found before it is lowered."""

import pytest

from sidecar.core.expression.checking import CodeError, check, judge, steps
from sidecar.core.expression.kind import (
    BOOL,
    INT,
    ITEMS_MAX,
    NESTING_MAX,
    NODES_MAX,
    STRING,
    Type,
    list_of,
    map_of,
)
from sidecar.core.policy_body import ExpressionBody
from sidecar.core.reason import ProtocolError, Reason

NAMES = {"b": BOOL, "i": INT, "s": STRING, "m": map_of(STRING, STRING), "l": list_of(INT)}
Code = list[list[object]]


def checked(code: Code) -> Type:
    return check(ExpressionBody(code=code, text="by hand"), NAMES)


GOOD: list[tuple[Code, Type]] = [
    ([["bool", True]], BOOL),
    ([["int", "-9223372036854775808"]], INT),
    ([["name", "m"]], map_of(STRING, STRING)),
    ([["int", "1"], ["int", "2"], ["list", 0, 1]], list_of(INT)),
    ([["string", "k"], ["int", "2"], ["map", 0, 1]], map_of(STRING, INT)),
    ([["name", "m"], ["each", 0], ["item", 1], ["transform", 1, 2]], list_of(STRING)),
    ([["name", "l"], ["each", 0], ["bool", True], ["filter", 1, 2]], list_of(INT)),
    (
        [["name", "l"], ["each", 0], ["item", 1], ["item", 1], ["equals", 2, 3], ["all", 1, 4]],
        BOOL,
    ),
]


@pytest.mark.parametrize(("code", "kind"), GOOD)
def test_the_kind_of_a_value_follows_from_the_code(code: Code, kind: Type) -> None:
    assert checked(code) == kind


BAD: list[tuple[str, Code]] = [
    ("0 nodes", []),
    ("has no operation", [[]]),
    ("has no operation", [[1]]),
    ("no operation 'exec'", [["exec", "x"]]),
    ("has 2 operands", [["bool", True, True]]),
    ("has 0 operands", [["name"]]),
    ("not true or false", [["bool", 1]]),
    ("is no text", [["string", 1]]),
    ("is no int", [["int", 1]]),
    ("is no int", [["int", "9223372036854775808"]]),
    ("is no int", [["int", "01"]]),
    ("is no int", [["int", "-0"]]),
    ("is no int", [["int", "\u0661"]]),
    ("is no int", [["int", "1\n"]]),
    ("is no int", [["int", "1" * 5000]]),
    ("is no timestamp", [["timestamp", "253402300800000000000"]]),
    ("is no duration", [["duration", "9223372036854775808"]]),
    ("no name 'x'", [["name", "x"]]),
    ("no name", [["name", ["s"]]]),
    ("no earlier node", [["logical_not", 0]]),
    ("no earlier node", [["bool", True], ["logical_not", True]]),
    ("no earlier node", [["bool", True], ["logical_not", -1]]),
    ("no earlier node", [["bool", True], ["logical_not", "0"]]),
    ("used twice", [["bool", True], ["equals", 0, 0]]),
    ("not used", [["bool", True], ["bool", True]]),
    ("does not take (int)", [["int", "1"], ["logical_not", 0]]),
    ("does not take (int, string)", [["int", "1"], ["string", "1"], ["equals", 0, 1]]),
    ("at least two", [["bool", True], ["logical_and", 0]]),
    ("at least two", [["bool", True], ["int", "1"], ["logical_or", 0, 1]]),
    ("items of one kind", [["list"]]),
    ("items of one kind", [["int", "1"], ["bool", True], ["list", 0, 1]]),
    ("at least one pair", [["map"]]),
    ("at least one pair", [["int", "1"], ["map", 0]]),
    ("constants", [["name", "s"], ["int", "1"], ["map", 0, 1]]),
    ("constants", [["int", "1"], ["int", "1"], ["int", "1"], ["int", "1"], ["map", 0, 1, 2, 3]]),
    ("keys bool, int or string", [["duration", "1"], ["int", "1"], ["map", 0, 1]]),
    ("walks over one", [["int", "1"], ["each", 0]]),
    ("walks over one", [["each"]]),
    ("item of what is no walk", [["name", "l"], ["item", 0]]),
    ("no earlier node", [["item", 0]]),
    ("a walk is no value", [["name", "l"], ["each", 0], ["size_list", 1]]),
    ("a walk is no value", [["name", "l"], ["each", 0], ["name", "l"], ["each", 2], ["all", 1, 3]]),
    ("outside of its walk", [["name", "l"], ["each", 0]]),
    ("a walk and a body", [["name", "l"], ["bool", True], ["all", 0, 1]]),
    ("the body is no bool", [["name", "l"], ["each", 0], ["item", 1], ["all", 1, 2]]),
    (
        "outside of its walk",
        [
            ["name", "l"], ["each", 0], ["bool", True], ["all", 1, 2],
            ["item", 1], ["int", "1"], ["equals", 4, 5], ["logical_and", 3, 6],
        ],
    ),
    (  # in the body of another walk, and in its range
        "outside of its walk",
        [
            ["name", "l"], ["each", 0], ["bool", True], ["all", 1, 2],
            ["name", "l"], ["each", 4], ["item", 1], ["item", 5], ["equals", 6, 7],
            ["all", 5, 8], ["logical_and", 3, 9],
        ],
    ),
    (
        "outside of its walk",
        [
            ["name", "l"], ["each", 0], ["bool", True], ["all", 1, 2],
            ["item", 1], ["list", 4], ["each", 5], ["bool", True], ["all", 6, 7],
            ["logical_and", 3, 8],
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "code"), BAD)
def test_code_that_is_wrong_is_refused_with_the_node(wrong: str, code: Code) -> None:
    with pytest.raises(ProtocolError) as raised:
        checked(code)
    assert raised.value.reason is Reason.POLICY_INVALID
    assert wrong in raised.value.detail
    assert "node " in raised.value.detail


def test_the_number_of_nodes_and_their_nesting_have_bounds() -> None:
    most: Code = [["bool", True], *(["logical_not", i] for i in range(NESTING_MAX - 1))]
    assert checked(most) == BOOL
    with pytest.raises(ProtocolError, match="nested deeper"):
        checked([*most, ["logical_not", NESTING_MAX - 1]])
    with pytest.raises(ProtocolError, match="at most 1024"):
        checked([["bool", True] for _ in range(NODES_MAX + 1)])


def test_what_stands_behind_a_name_counts_as_nested_in_it() -> None:
    code: Code = [["name", "b"], ["logical_not", 0]]
    assert judge(code, NAMES).nesting == 2
    assert judge(code, NAMES, {"b": 10}).nesting == 12
    with pytest.raises(CodeError, match="nested deeper"):
        judge(code, NAMES, {"b": NESTING_MAX - 1})


def test_a_search_for_what_a_client_may_choose_costs_more() -> None:
    known: Code = [["name", "s"], ["string", "x"], ["contains_string", 0, 1]]
    chosen: Code = [["name", "s"], ["name", "s"], ["contains_string", 0, 1]]
    assert judge(chosen, NAMES).steps > 5 * judge(known, NAMES).steps


def test_a_walk_costs_its_body_for_each_item_that_there_may_be() -> None:
    body: Code = [["bool", True], ["all", 1, 2]]
    unknown = ExpressionBody(code=[["name", "l"], ["each", 0], *body], text="x")
    three: Code = [["int", "1"], ["int", "2"], ["int", "3"], ["list", 0, 1, 2], ["each", 3]]
    known = ExpressionBody(code=[*three, ["bool", True], ["all", 4, 5]], text="x")
    assert steps(unknown, NAMES) == 2 + ITEMS_MAX * 3
    assert steps(known, NAMES) == 5 + 3 * 3


def test_an_expression_that_may_cost_too_much_is_refused() -> None:
    code: Code = [
        ["name", "l"], ["each", 0],
        ["name", "l"], ["each", 2], ["item", 1], ["item", 3], ["equals", 4, 5],
        ["all", 3, 6], ["all", 1, 7],
    ]  # fmt: skip
    with pytest.raises(ProtocolError, match="steps, at most 20000"):
        checked(code)


def test_a_literal_list_that_no_walk_can_finish_is_refused() -> None:
    items: Code = [["int", str(i)] for i in range(ITEMS_MAX + 1)]
    count = len(items)
    walk: Code = [
        ["list", *range(count)],
        ["each", count],
        ["bool", True],
        ["all", count + 1, count + 2],
    ]
    with pytest.raises(ProtocolError, match="walks over 129 items"):
        checked([*items, *walk])


def test_lists_of_lists_are_compared_at_the_cost_of_all_that_is_in_them() -> None:
    nested: Code = [["name", "l"], ["each", 0], ["name", "l"], ["transform", 1, 2]]
    again: Code = [["name", "l"], ["each", 4], ["name", "l"], ["transform", 5, 6]]
    assert judge([*nested, *again, ["equals", 3, 7]], NAMES).steps > ITEMS_MAX**2
