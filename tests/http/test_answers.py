"""Rows R: a service whose answers have no meaning, or more than one.

One row is one test, for ever. Each runs in one piece, byte by byte and in random pieces.
"""

import pytest

from tests.http.catalogue_answers import ROWS, AnswerRow
from tests.http.observe import running, ways
from tests.http.observe_answers import CUT, expected, outcome


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_row(row: AnswerRow) -> None:
    async with running() as world:
        for number, data in enumerate(row.inputs):
            for way, pieces in enumerate(ways(data, f"{row.id} {number}")):
                observed = await outcome(world, row, pieces)
                if row.in_body and way and observed == CUT:
                    continue  # its head had been relayed before the fault came
                assert observed == expected(row), f"input {number} in {len(pieces)} pieces"
