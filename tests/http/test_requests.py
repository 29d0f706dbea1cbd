"""Rows A to F: every input of a client that must have one meaning, or none.

One row is one test, for ever. Each runs in one piece, byte by byte and in random pieces; what
becomes of it may not depend on that.
"""

from dataclasses import replace

import pytest

from tests.http.observe import expected, outcome, running, ways
from tests.http.requests import ROWS
from tests.http.rows import Row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_row(row: Row) -> None:
    async with running() as world:
        world.lossy = row.in_body
        for way, pieces in enumerate(ways(row.data, row.id)):
            observed = await outcome(world, row, pieces)
            if row.in_turns or (row.in_body and way):
                # The head was good, so what came before the fault may have been relayed by then.
                assert observed.begun <= observed.permits <= 1
                observed = replace(observed, permits=0, begun=0, other_bytes=0)
            assert observed == expected(row), f"in {len(pieces)} pieces"
