"""YAML, with places, and without what makes a file say more than it shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.document import Items, Scalar, Table, parse
from sidecar.config.problem import ConfigError


def test_values_stay_text_and_know_their_place() -> None:
    tree = parse("a: {b: 1e3}\nc: [yes, ~]\n", "f")
    assert isinstance(tree, Table)
    inner, items = tree.items["a"], tree.items["c"]
    assert isinstance(inner, Table)
    assert inner.items["b"] == Scalar("1e3", "f:1:8")
    assert inner.keys["b"] == "f:1:5"
    assert items == Items((Scalar("yes", "f:2:5"), Scalar(None, "f:2:10")), "f:2:4")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2\n", "f:2:1: a: stands twice; first at f:1:1"),
        ("a: {b: 1, c: 1, b: 2}", "a.b: stands twice"),
        ("a: &x 1\nb: *x\n", "f:1:4: anchors, aliases and tags"),
        ("a: !!python/object:os.system 1", "anchors, aliases and tags"),
        ("a: !secret x", "anchors, aliases and tags"),
        ("? [a]\n: 1\n", "a key must be a plain word"),
        ("a: [1", "f:1:"),
        ("a: 'x", "is not YAML"),
        ("a: 1\n---\nb: 2\n", "is not YAML"),
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("a: \x00", "is not YAML"),
        ('a: "\\U99999999"', "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("a" * 300_000, "longer than"),
    ],
)
def test_other_texts_are_refused_with_their_place(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text, "f")
    assert says in str(refused.value)
    assert all(problem.origin.startswith("f") for problem in refused.value.problems)


SYNTAX = st.sampled_from(list("ab:-[]{}&*!|>'\"%@`?,# \n\t\\U0x~."))


@given(st.text(SYNTAX | st.characters()))
def test_any_text_is_a_tree_or_a_config_error(text: str) -> None:
    try:
        tree = parse(text, "f")
    except ConfigError:
        return
    assert tree.origin.startswith("f:")
