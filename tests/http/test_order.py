"""What came before a request does not change what becomes of it."""

import random

from tests.http.catalogue_answers import ROWS as ANSWERS
from tests.http.observe import expected, outcome, running
from tests.http.observe_answers import expected as expected_answer
from tests.http.observe_answers import outcome as answer_outcome
from tests.http.requests import ROWS

SMALL_MAX_BYTES = 3000
SMALL = [row for row in ROWS if len(row.data) < SMALL_MAX_BYTES]


async def test_requests_one_after_the_other_do_not_change_each_other() -> None:
    rows = SMALL * 2
    random.Random("order").shuffle(rows)
    async with running() as world:
        for row in rows:
            assert await outcome(world, row, [row.data]) == expected(row), row.id


async def test_answers_one_after_the_other_do_not_change_each_other() -> None:
    inputs = [(row, data) for row in ANSWERS for data in row.inputs if len(data) < SMALL_MAX_BYTES]
    random.Random("order").shuffle(inputs)
    async with running() as world:
        for row, data in inputs * 2:
            assert await answer_outcome(world, row, [data]) == expected_answer(row), row.id
