"""What is done with texts; that this is CEL is tested in tests/expressions."""

import pytest

from sidecar.core.expression import wording
from sidecar.core.expression.kind import CHARACTERS_MAX, ITEMS_MAX, EvaluationError


@pytest.mark.parametrize(
    "text", ["", "x", "0x1", "1_0", "\u0663", "5\0", "9223372036854775808", "1" * 5000]
)
def test_a_text_that_is_no_number_of_64_bits_is_an_error(text: str) -> None:
    with pytest.raises(EvaluationError):
        wording.number(text)


def test_a_number_may_have_a_sign_zeros_and_space_around_it() -> None:
    assert [wording.number(text) for text in (" +7\n", "-0", "007")] == [7, 0, 7]


def test_what_is_neither_true_nor_false_is_an_error() -> None:
    assert wording.truth("t") is True
    with pytest.raises(EvaluationError):
        wording.truth("T")


def test_a_text_that_is_made_has_a_bound() -> None:
    half = "x" * (CHARACTERS_MAX // 2)
    assert len(wording.joined(half, half)) == CHARACTERS_MAX
    with pytest.raises(EvaluationError):
        wording.joined(half, half + "x")


def test_only_ascii_letters_change_case() -> None:
    assert (wording.lower("\u00c9A"), wording.upper("\u00e9a")) == ("\u00c9a", "\u00e9A")


def test_a_text_is_split_into_so_many_parts_and_no_more() -> None:
    assert wording.split("/a/b", "/") == ["", "a", "b"]
    assert wording.split("ab", "") == ["a", "b"]
    for text, separator in (("/" * ITEMS_MAX, "/"), ("x" * (ITEMS_MAX + 1), "")):
        with pytest.raises(EvaluationError):
            wording.split(text, separator)


@pytest.mark.parametrize("start", [-1, 3])
def test_a_place_outside_of_the_text_is_an_error(start: int) -> None:
    assert wording.substring("ab", 2) == ""
    with pytest.raises(EvaluationError):
        wording.substring("ab", start)
