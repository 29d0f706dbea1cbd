"""The judge of the campaign, on faults that were planted: it must see each of them."""

from typing import Any

import pytest

from tests.late.verdict import MS, Row, ends, judge, permits, table

WALL_MS, BOOT_MS = 1_760_000_000_000, 5_000


def entry(after_ms: float = -10, *, arrived_ms: float | None = None, **changes: Any) -> Any:
    """A request written so long after its deadlines, by both clocks."""
    arrived = after_ms + 1 if arrived_ms is None else arrived_ms
    return {
        "not_after": f"{WALL_MS};boot={BOOT_MS}",
        "written_wall_ns": int((WALL_MS + after_ms) * MS),
        "arrived_wall_ns": int((WALL_MS + arrived) * MS),
        "arrived_boot_ns": int((BOOT_MS + arrived) * MS),
        "executed": True,
        "status": 200,
        **changes,
    }


def judged(
    what: Any, outcome: str | None = "permit", *, permitted: bool = True, relayed: bool = True,
    fenced: bool = False,
) -> Row:  # fmt: skip
    return judge(what, outcome, permitted=permitted, relayed=relayed, fenced=fenced)


def test_an_ordinary_request_shows_nothing() -> None:
    assert judged(entry()) == judged(entry(), fenced=True) == Row()


def test_a_late_write_that_nobody_recorded_is_undetected() -> None:
    row = judged(entry(5), relayed=False)
    assert (row.late, row.undetected, row.detected) == (1, 1, 0)


def test_a_late_write_on_record_is_detected() -> None:
    row = judged(entry(5), "late", relayed=False)
    assert (row.late, row.undetected, row.detected, row.relayed) == (1, 0, 1, 0)


@pytest.mark.parametrize("outcome", ["late", "permit", None])
def test_an_answer_to_a_late_write_that_reached_the_client_is_counted(
    outcome: str | None,
) -> None:
    assert judged(entry(5), outcome).relayed == 1


def test_an_answer_relayed_although_recorded_late_is_counted_even_if_the_write_was_not() -> None:
    assert judged(entry(-5), "late").relayed == 1


def test_late_by_the_boot_clock_alone_is_late() -> None:
    stepped = entry(5)
    for name in ("written_wall_ns", "arrived_wall_ns"):
        stepped[name] -= 3_600_000 * MS
    assert judged(stepped).undetected == 1


def test_late_by_the_wall_clock_alone_is_late() -> None:
    assert judged(entry(5, arrived_boot_ns=0)).undetected == 1


def test_written_in_the_millisecond_of_the_deadline_is_late() -> None:
    assert judged(entry(0)).late == 1
    assert judged(entry(-1)).late == 0


def test_executed_behind_the_fence_although_it_arrived_late_is_counted() -> None:
    in_time = entry(-1, arrived_ms=3)
    assert judged(in_time, fenced=True).executed == 1
    assert judged(in_time).executed == 0
    assert judged({**in_time, "executed": False, "status": 503}, fenced=True).refused == 1


def test_executed_without_a_fence_is_counted_apart() -> None:
    assert judged(entry(5), "late", relayed=False).unfenced == 1


def test_a_permit_that_the_fence_does_not_know_is_counted() -> None:
    assert judged(entry(status=403, executed=False), fenced=True).forged == 1


def test_a_request_without_a_permit_on_record_is_counted() -> None:
    assert judged(entry(), permitted=False).unrecorded == 1


def test_the_journal_says_what_became_of_a_permit() -> None:
    records = [
        {"type": "decision", "decision": "permit", "decision_id": "a"},
        {"type": "decision", "decision": "deny", "decision_id": "b"},
        {"type": "outcome", "outcome": "late", "decision_id": "a"},
        {"type": "stop"},
    ]
    assert ends(records) == {"a": "late"}
    assert permits(records) == {"a"}


def test_the_table_has_a_sum() -> None:
    lines = table({("SIGSTOP", "x"): Row(stops=2, late=1), ("freezer", "x"): Row(stops=3)})
    assert lines[-1].split()[:3] == ["sum", "5", "1"]
