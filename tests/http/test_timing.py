"""Rows T: slow clients, ends at the wrong moment, floods. One row is one test, for ever."""

from pathlib import Path

import pytest

from tests.http.catalogue_timing import ELSEWHERE, ROWS, TimedRow

HERE = tuple(row for row in ROWS if row.run is not None)


@pytest.mark.parametrize("row", HERE, ids=lambda row: row.id)
async def test_row(row: TimedRow) -> None:
    assert row.run is not None
    assert await row.run() == row.expected


def test_the_row_that_is_tested_elsewhere_is_there() -> None:
    assert [row.id for row in ROWS if row.run is None] == ["T23"]
    assert (Path(__file__).parents[2] / ELSEWHERE).is_file()
