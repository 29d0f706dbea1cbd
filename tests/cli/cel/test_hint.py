"""What people are told about what is outside of the subset."""

import pytest

from sidecar.cli.cel.hint import limit, refused, shown


@pytest.mark.parametrize(
    ("function", "written"),
    [("_+_", "+"), ("_?_:_", "?:"), ("@in", "in"), ("_[_]", "[]"), ("!_", "!"), ("size", "size()")],
)
def test_operators_are_shown_as_they_are_written(function: str, written: str) -> None:
    assert shown(function) == written


def test_an_unknown_overload_leads_to_the_document() -> None:
    assert refused("string_reverse", "reverse")[1].startswith("policies/EXPRESSIONS.md")


def test_there_is_a_remedy_for_each_limit() -> None:
    assert all(limit(text) for text in ("costs up to 9 steps", "nested deeper than 64"))
    assert limit("anything else") == ""
