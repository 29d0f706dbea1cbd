"""The pieces of schemas say what core's field types demand."""

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from sidecar.cli.kinds import pieces
from sidecar.core import canonical, policy_body

TEXTS = (
    "a",
    "a-b.c_1",
    "A",
    "-a",
    "a" * 63,
    "a" * 64,
    "",
    "a\n",
    "GET",
    "G",
    "x-y",
    "x y",
    "\u00e9",
)


@pytest.mark.parametrize("kind", [canonical.Name, policy_body.Method, policy_body.Identifier])
def test_a_pattern_refuses_what_core_refuses(kind: object) -> None:
    valid = jsonschema.Draft202012Validator(pieces.typed(kind)).is_valid
    for text in TEXTS:
        try:
            msgspec.convert(text, type=kind)
        except msgspec.ValidationError:
            # `$` of ECMA is the end of the text; of Python also before a last line feed.
            assert not valid(text) or text.endswith("\n")
        else:
            assert valid(text)


def test_a_mapping_has_the_keys_that_it_says_and_no_others() -> None:
    made = pieces.mapping({"a": pieces.flag("x"), "b": pieces.listed(pieces.text("y"), "z")}, "a")
    valid = jsonschema.Draft202012Validator(made).is_valid
    assert valid({"a": True})
    assert valid({"a": True, "b": ["t"]})
    assert not any(map(valid, ({}, {"a": 1}, {"a": True, "b": []}, {"a": True, "c": 1})))


def test_a_span_may_be_nothing_and_a_duration_may_not() -> None:
    span, duration = (
        jsonschema.Draft202012Validator(made("x")).is_valid
        for made in (pieces.span, pieces.duration)
    )
    assert [span(said) for said in ("0", 0, "5s", "5")] == [True, True, True, False]
    assert [duration(said) for said in ("0", 0, "5s", "5")] == [False, False, True, False]
