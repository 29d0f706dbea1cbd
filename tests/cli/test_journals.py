"""What the commands about journals share: a record as one line that plays no tricks."""

import pytest

from sidecar.cli import journals
from sidecar.core.log import record
from sidecar.core.log.record import StateChange
from tests.core.log.test_bundle import BOOT, line


def test_the_clause_that_denied_is_named() -> None:
    said = journals.line_of(record.parse(line(3, route="chat", rule="all", clause="small")))
    assert " rule=all clause=small " in said


def test_a_decision_is_one_line() -> None:
    said = journals.line_of(record.parse(line(3, route="chat", rule="all")))
    assert said == (
        "2027-01-15T08:00:00.003Z deny EG905 starting POST /v1/chat route=chat rule=all epoch=- "
        f"id={BOOT}-3"
    )


def test_control_characters_are_spelled_out() -> None:
    said = StateChange(
        boot=BOOT, detail={"id": "\x1b[31m\u202e"}, inst="pod", prev=record.FIRST_PREV, seq=0,
        ts=0, type="halt", v=1,
    )  # fmt: skip
    line_of = journals.line_of(said)
    assert line_of.isprintable()
    assert line_of.isascii()


@pytest.mark.parametrize(
    ("wall_ms", "said"),
    [(0, "1970-01-01T00:00:00.000Z"), (2**53 - 1, "9007199254740991ms")],
)
def test_a_time_that_no_calendar_has_is_a_number(wall_ms: int, said: str) -> None:
    assert journals.time_of(wall_ms) == said
