"""The document of the subset: its examples compile, and it lists what there is."""

import re
from pathlib import Path

import pytest

from sidecar.cli.cel import compile_expression
from sidecar.cli.cel.complaint import FUNCTIONS
from sidecar.core.expression import DECLARED
from sidecar.core.expression.kind import BOOL, STRING

DOCUMENT = (Path(__file__).resolve().parents[2] / "policies" / "EXPRESSIONS.md").read_text("utf-8")
NAMES = {**DECLARED, "variables.tier": STRING}
EXAMPLES = [
    line[3:].partition("` |")[0].replace("\\|", "|")
    for line in DOCUMENT.partition("## Examples")[2].splitlines()
    if line.startswith("| `")
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_compiles(text: str) -> None:
    assert compile_expression(text, NAMES)[1] == BOOL


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 10


def test_every_function_is_listed() -> None:
    listed = re.findall(r"[A-Za-z_]+", DOCUMENT)
    assert sorted(set(FUNCTIONS) - set(listed)) == []
