"""A row never says more than the checks that were run."""

from dataclasses import replace

import pytest

from sidecar.cli.conformance import outcome
from sidecar.cli.conformance.check import Result
from sidecar.cli.conformance.items import BY_ID, ITEMS


def rows(*results: Result) -> dict[str, outcome.Row]:
    known = {item.id: ["a_check"] for item in ITEMS if item.id != "5.3"}
    return {row.item.id: row for row in outcome.rows(results, known)}


def test_an_item_holds_when_all_its_checks_held() -> None:
    held = Result("one", ("1.1",), "closed", held=True)
    assert rows(held)["1.1"].result == outcome.HELD
    broken = Result("two", ("1.1",), "stayed open", held=False)
    row = rows(held, broken)["1.1"]
    assert (row.result, row.seen) == (outcome.BROKEN, "two: stayed open")


def test_the_check_with_the_fewest_items_is_heard() -> None:
    wide = Result("wide", ("1.1", "1.2"), "much", held=True)
    narrow = Result("narrow", ("1.1",), "this", held=True)
    assert rows(wide, narrow)["1.1"].seen == "this"


def test_what_is_missing_is_said_of_an_item_that_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is in part now; the next one may be."""
    partly = replace(BY_ID["8.7"], missing="the other half")
    monkeypatch.setattr(outcome, "ITEMS", (partly,))
    row = rows(Result("one", ("8.7",), "kept", held=True))["8.7"]
    assert (row.result, row.seen) == (outcome.PART, "kept; missing: the other half")


@pytest.mark.parametrize(("item", "result"), [("5.3", outcome.GAP), ("1.1", outcome.NOT_RUN)])
def test_what_nobody_looked_at_does_not_hold(item: str, result: str) -> None:
    assert rows()[item].result == result


def test_results_are_counted_in_words() -> None:
    found = outcome.rows([Result("one", ("1.1",), "", held=True)], {})
    assert outcome.counted(found) == f"1 held, {len(ITEMS) - 1} GAP"
