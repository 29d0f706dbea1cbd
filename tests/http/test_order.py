"""What came before a request does not change what becomes of it; and the tests' own eyes."""

import random

import pytest

from sidecar.proxy.downstream import Downstream
from tests.http.catalogue_answers import ROWS as ANSWERS
from tests.http.catalogue_chunks import ROWS as CHUNKS
from tests.http.observe import exchanged, expected, outcome, read_answers, running, settled, ways
from tests.http.observe_answers import expected as expected_answer
from tests.http.observe_answers import outcome as answer_outcome
from tests.http.requests import ROWS
from tests.http.rows import get

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


async def test_pieces_arrive_as_they_were_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing here would say anything about pieces."""
    sizes: list[int] = []
    received = Downstream.data_received

    def counted(self: Downstream, data: bytes) -> None:
        sizes.append(len(data))
        received(self, data)

    monkeypatch.setattr(Downstream, "data_received", counted)
    [row] = [row for row in CHUNKS if row.id == "B30"]
    async with running() as world:
        assert await outcome(world, row, ways(row.data, "")[1]) == expected(row)
    assert len(sizes) > len(row.data) / 2  # a busy machine may join some


@pytest.mark.parametrize(
    "target",
    [
        "/health/", "//health", "/./health", "/x/../health", "/%68ealth", "/health?x", "/health?",
        "/health;a", "/HEALTH", "/health%2f", "/health%20", "/x/%2e%2e/health",
    ],
)  # fmt: skip
async def test_no_other_spelling_of_an_exempt_target_passes_a_closed_gate(target: str) -> None:
    async with running() as world:
        world.hold()
        for line, status in ((f"GET {target} HTTP/1.1", 503), ("GET /health HTTP/1.1", 200)):
            raw = await exchanged(world, [get("Connection: close", line=line)])
            await settled(world)
            assert [answer.status for answer in read_answers(raw)] == [status]
        assert len(world.service.received) == 1
