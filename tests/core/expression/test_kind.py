"""Kinds of values."""

from sidecar.core.expression.kind import INT, STRING, list_of, map_of


def test_a_kind_is_written_as_in_the_documentation() -> None:
    assert str(map_of(STRING, list_of(INT))) == "map(string, list(int))"


def test_kinds_are_equal_when_all_of_them_is() -> None:
    assert list_of(INT) == list_of(INT)
    assert list_of(INT) != list_of(STRING)
