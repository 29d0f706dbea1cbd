"""Expressions in files: the place of a mistake, and one mistake for each."""

from collections.abc import Callable

import pytest

from sidecar.cli.kinds.expressions import Expressions, place
from sidecar.cli.resource import Reader
from sidecar.config import document
from sidecar.config.document import Scalar, Table


def opened(text: str) -> tuple[Reader, Callable[[str], Scalar]]:
    root = document.parse(text, "f")
    assert isinstance(root, Table)

    def value(key: str) -> Scalar:
        found = root.items[key]
        assert isinstance(found, Scalar)
        return found

    return Reader(text), value


@pytest.mark.parametrize(
    ("yaml", "line", "column", "found"),
    [
        ("a: one two", 1, 5, "f:1:8"),
        ('a: "one two"', 1, 5, "f:1:9"),
        ("a: 'one two'", 1, 5, "f:1:9"),
        ("a: 'it''s'", 1, 4, ""),
        ('a: "tab\\tx"', 1, 5, ""),
        ("a: |-\n  one\n    two", 1, 2, "f:2:4"),
        ("a: |-\n  one\n    two", 2, 3, "f:3:5"),
        ("a: >-\n  one\n  two", 1, 5, ""),
        ("a: one\n  two", 1, 5, ""),
        ("a: one two # one two", 1, 5, "f:1:8"),
    ],
)
def test_a_character_has_its_place_in_the_file_where_that_is_certain(
    yaml: str, line: int, column: int, found: str
) -> None:
    reader, value = opened(yaml)
    node = value("a")
    assert node.text is not None
    assert place(reader.lines, node.origin, node.text, line, column) == found


def test_an_expression_is_compiled_and_has_to_be_of_the_type_that_its_place_asks_for() -> None:
    reader, value = opened("a: request.path == '/'\nb: request.path\nc: epoch.seq")
    expressions = Expressions(reader)
    assert expressions.boolean(value("a"), "a").text == "request.path == '/'"
    assert expressions.string(value("b"), "b").code == [["name", "request.path"]]
    assert reader.problems == []
    expressions.boolean(value("b"), "b")
    expressions.string(value("c"), "c")
    assert [str(problem) for problem in reader.problems] == [
        "f:2:4: b: is of type string, must be bool; compare it with something",
        "f:3:4: c: is of type int, must be string; write string(...)",
    ]


def test_variables_have_the_type_of_their_expression() -> None:
    reader, value = opened("a: epoch.seq\nb: variables.n + 1\nc: variables.n + 'x'")
    expressions = Expressions(reader)
    expressions.variable("n", value("a"), "a")
    expressions.variable("m", value("b"), "b")
    assert reader.problems == []
    expressions.string(value("c"), "c")
    assert [problem.origin for problem in reader.problems] == ["f:3:16"]


def test_a_variable_that_is_wrong_is_one_mistake() -> None:
    reader, value = opened("a: epoch.number\nb: variables.n == 1\nc: variables.nn == 1")
    expressions = Expressions(reader)
    expressions.variable("n", value("a"), "a")
    expressions.boolean(value("b"), "b")
    assert len(reader.problems) == 1
    expressions.boolean(value("c"), "c")
    assert len(reader.problems) == 2


def test_a_mistake_in_a_text_of_other_lines_says_how_far_into_the_text() -> None:
    reader, value = opened("a: >-\n  request.path ==\n  1")
    Expressions(reader).boolean(value("a"), "a")
    [problem] = reader.problems
    assert problem.origin == "f:1:4"
    assert problem.message.endswith("(line 1, column 14 of the text)")
