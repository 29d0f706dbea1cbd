"""The names that expressions can use."""

import re
from pathlib import Path

from sidecar.core.expression.environment import DECLARED, VARIABLES

DOCUMENT = Path(__file__).resolve().parents[3] / "policies" / "EXPRESSIONS.md"


def test_every_name_and_its_kind_is_in_the_document() -> None:
    rows = re.findall(
        r"^\| `([a-z.]+)` \| ([a-z(), ]+) \|", DOCUMENT.read_text("utf-8"), re.MULTILINE
    )
    assert dict(rows) == {name: str(kind) for name, kind in DECLARED.items()}


def test_no_name_can_be_taken_for_a_variable_of_a_policy() -> None:
    assert not [name for name in DECLARED if name.startswith(VARIABLES)]
