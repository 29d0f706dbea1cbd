"""From a tree to code."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from sidecar.cli.cel.library import compiled, nanoseconds
from sidecar.cli.cel.translation import RefusedError, Translation
from sidecar.cli.cel.tree import Ident, read
from sidecar.core.expression.kind import BOOL, INT, STRING, Type, list_of, map_of

NAMES: Mapping[str, Type] = {
    "b": BOOL, "i": INT, "l": list_of(STRING), "request.headers": map_of(STRING, STRING),
}  # fmt: skip


def code(text: str) -> list[list[object]]:
    checked = read(compiled(text, NAMES))
    translation = Translation(checked, NAMES, nanoseconds)
    assert translation.node(checked.root) == len(translation.code) - 1
    assert len(translation.ids) == len(translation.code)
    return translation.code


def test_a_chain_of_terms_is_one_node() -> None:
    assert code("b && (b && b) && b")[-1] == ["logical_and", 0, 1, 2, 3]
    assert code("b && b || b")[-1] == ["logical_or", 2, 3]


@pytest.mark.parametrize("text", ["int(i)", "string(string(i))", "bool(b)"])
def test_a_conversion_of_what_it_is_already_is_nothing(text: str) -> None:
    assert len(code(text)) <= 2


def test_a_size_is_one_operation_however_it_is_written() -> None:
    assert code("size(l)") == code("l.size()") == [["name", "l"], ["size_list", 0]]


def test_durations_are_nanoseconds() -> None:
    assert code("duration('1m')") == [["duration", "60000000000"]]


def test_an_inner_item_hides_the_outer_one_of_the_same_name() -> None:
    made = code("l.exists(x, l.exists(x, x == 'a') && x == 'b')")
    items = [node[1] for node in made if node[0] == "item"]
    assert items == [3, 1]
    assert made[3][0] == made[1][0] == "each"


def test_a_name_that_is_not_declared_is_refused() -> None:
    checked = read(compiled("i", NAMES))
    with pytest.raises(RefusedError):
        Translation(checked, NAMES, nanoseconds).node(Ident(1, "int"))


def test_more_nodes_than_the_bound_are_refused_as_such() -> None:
    with pytest.raises(RefusedError, match="too long"):
        code(f"i in [{','.join(['1'] * 1100)}]")


def test_a_call_that_can_mean_two_things_is_refused() -> None:
    """Taking the first would decide what only the values can tell."""
    checked = read(compiled("1 + i", NAMES))
    both = {key: (*known, "add_string") for key, known in checked.overloads.items()}
    with pytest.raises(RefusedError, match="not certain"):
        Translation(replace(checked, overloads=both), NAMES, nanoseconds).node(checked.root)
