"""A bounded run of the differential fuzzer, and that it sees what it is there for."""

import hashlib
from typing import Any

import pytest

from tests.fuzz import answers, differential, servers
from tests.fuzz.differential import Meant, Tally, View, judge, read_forwarded
from tests.fuzz.mutate import REQUEST_MUTATIONS
from tests.fuzz.tap import Disagreement, Tap, tapped
from tests.proxy.world import MemoryRecorder

SEED = 1
CASES = 500
ANSWERS = 600
INSTALLED = [name for name in servers.RUN if name not in servers.PROGRAMS]
MEANT = Meant(b"GET", b"/a", ((b"host", b"a"),), b"")
SEEN: dict[str, Any] = {
    "method": "GET", "target": "/a", "headers": [["host", "a"]], "size": 0,
    "sha256": hashlib.sha256(b"").hexdigest(),
}  # fmt: skip
INNER = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OUTER = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(INNER), INNER)


async def test_every_server_sees_the_requests_that_were_permitted() -> None:
    async with differential.serving(INSTALLED) as ports:
        assert len(ports) >= 4
        tally = await differential.run(ports, SEED, lambda number: number < CASES)
    assert tally.cases == CASES
    assert tally.forwarded > CASES / 10
    assert len(tally.mutations) == len(REQUEST_MUTATIONS) == 13
    # A server may be stricter than we are, but then it is the exception.
    assert sum(tally.refused.values()) < tally.forwarded / 10


@pytest.mark.parametrize("name", servers.PROGRAMS)
async def test_a_server_of_the_system_sees_them_too(name: str) -> None:
    if name in servers.missing():
        pytest.skip(f"needs {name} to be installed")
    async with differential.serving([name]) as ports:
        tally = await differential.run(ports, SEED, lambda number: number < CASES // 4)
    assert tally.forwarded > 0


async def test_every_client_sees_the_responses_that_were_relayed() -> None:
    tally = await answers.run(SEED, lambda number: number < ANSWERS)
    assert tally.cases == ANSWERS
    assert tally.responses > ANSWERS
    assert tally.refused > 0
    assert tally.cut > 0


# What it has to see: servers that differ.


@pytest.mark.parametrize(
    ("view", "wrong"),
    [
        (View((SEEN, SEEN)), "one request more"),
        (View(()), "0 requests of 1"),
        (View((SEEN,), waits=True), "waits for more"),
        (View(({**SEEN, "method": "POST"},)), "another method"),
        (View(({**SEEN, "target": "/b"},)), "another target"),
        (View(({**SEEN, "headers": [["host", "a"], ["host", "b"]]},)), "another headers"),
        (View(({**SEEN, "size": 1},)), "another size of the body"),
        (View(({**SEEN, "sha256": "0" * 64},)), "another body"),
        (View(({"method": "GET", "target": "/a", "host": "b"},)), "another host"),
        (View((SEEN, SEEN), 400), "one request more"),
    ],
)
def test_a_server_that_saw_something_else_disagrees(view: View, wrong: str) -> None:
    with pytest.raises(Disagreement, match=wrong):
        judge("it", [MEANT], view, Tally(), b"")


def test_a_server_that_refuses_is_counted_and_does_not_disagree() -> None:
    tally = Tally()
    judge("it", [MEANT, MEANT], View((SEEN,), 400), tally, b"raw")
    assert (tally.refused, tally.refusals) == ({"it 400": 1}, {"it 400": b"raw"})


async def test_servers_that_differ_over_the_same_bytes_are_shown() -> None:
    # h11 ends a line at a bare LF; the letter of RFC 9112 and our own reader do not.
    raw = b"GET /a HTTP/1.1\r\nhost: a\r\nx: y\nz: w\r\n\r\n"
    async with differential.serving(["uvicorn", "waitress"]) as ports:
        with pytest.raises(Disagreement, match=r"uvicorn saw another headers[^$]*waitress: View"):
            await differential.compare(ports, raw, Tally())


# A proxy that forwards what was not decided.


async def test_a_body_that_is_forwarded_as_a_request_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = Tap.take

    def unframed(tap: Tap) -> list[bytes]:
        return [raw.replace(b"content-length: %d\r\n" % len(INNER), b"") for raw in plain(tap)]

    monkeypatch.setattr(Tap, "take", unframed)
    async with tapped() as (world, tap):
        with pytest.raises(Disagreement, match="reached the service"):
            await differential.case(world, tap, {}, [OUTER], Tally())


async def test_a_request_without_a_record_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryRecorder, "decision", lambda *_: "0123456789abcdef-0")
    async with tapped() as (world, tap):
        with pytest.raises(Disagreement, match="reached the service"):
            await differential.case(world, tap, {}, [OUTER], Tally())


async def test_what_is_right_passes() -> None:
    tally = Tally()
    async with tapped() as (world, tap):
        await differential.case(world, tap, {}, [OUTER[:9], OUTER[9:] + INNER], tally)
    assert (tally.forwarded, tally.connections) == (2, 1)


@pytest.mark.parametrize(
    ("raw", "body", "missing"),
    [
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nab", b"abA", b"A"),
        (
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
            b"ab", b"0\r\n\r\n",
        ),
    ],
)  # fmt: skip
def test_a_body_that_a_client_left_unfinished_is_filled_up(
    raw: bytes, body: bytes, missing: bytes
) -> None:
    (meant,), filled = read_forwarded(raw)
    assert (meant.body, filled) == (body, missing)


# Clients that differ, and a service that answers for another.

ONE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 3\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nx: y\nz: w\r\ncontent-length: 0\r\n\r\n",
        ONE + answers.TWO + b"more",
        ONE + ONE,
    ],
)
def test_readers_that_differ_or_a_wrong_second_answer_are_seen(raw: bytes) -> None:
    with pytest.raises(Disagreement):
        answers.judge(raw, [b"GET", b"GET"], answers.Tally(), at_once=True)


def test_two_right_answers_pass() -> None:
    tally = answers.Tally()
    answers.judge(ONE + answers.TWO, [b"GET", b"GET"], tally, at_once=True)
    assert (tally.responses, tally.cut) == (2, 0)
