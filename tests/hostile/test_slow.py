"""Clients that take their time: each is answered and closed at a deadline that it cannot move."""

import asyncio

import pytest

from sidecar.core.reason import Reason
from tests.hostile.measure import served
from tests.proxy.world import Client, World, request, running

MANY = 50


async def passes(world: World, ms: int) -> None:
    """Let time pass for every connection."""
    world.clock.move(ms)
    for one in world.server._connections:
        one.tick(world.clock())
    await asyncio.sleep(0)


async def connected(world: World, count: int, first: bytes = b"") -> list[Client]:
    clients = [await world.connect() for _ in range(count)]
    for client in clients:
        client.send(first)
    await world.until(lambda: world.server.connections == count)
    return clients


async def arrived(world: World, size: int) -> None:
    """Until every connection holds so many bytes of a head."""
    await world.until(lambda: all(len(one.buffer) == size for one in world.server._connections))


async def test_connections_that_send_nothing_are_closed_and_cost_no_decision() -> None:
    async with running(idle_ms=75_000) as world:
        clients = await connected(world, MANY)
        await served(world)
        await world.until(lambda: world.server.connections == MANY)
        await passes(world, 74_999)
        assert world.server.connections == MANY
        await passes(world, 1)
        assert [await client.ended() for client in clients] == [b""] * MANY
        assert world.recorder.denials == []
        await served(world)


async def test_slow_heads_are_answered_408_when_the_whole_head_is_due() -> None:
    """A byte every second buys nothing."""
    first = b"GET /v1/x HTTP/1.1\r\nHost: a\r\nX: "
    async with running(head_ms=10_000) as world:
        clients = await connected(world, MANY, first)
        for second in range(10):
            await arrived(world, len(first) + second)
            await served(world, 1)
            assert world.recorder.denials == []
            for client in clients:
                client.send(b"a")
            await arrived(world, len(first) + second + 1)
            await passes(world, 1000)
        answers = [await client.response() for client in clients]
        assert {(answer.status, answer.reason) for answer in answers} == {(408, "EG005")}
        assert [await client.ended() for client in clients] == [b""] * MANY
        assert world.recorder.denials == [Reason.REQUEST_TIMEOUT] * MANY
        assert len(world.service.received) == 10  # of the good client
        await served(world)


@pytest.mark.parametrize(
    ("framing", "piece"),
    [
        ("Content-Length: 100000\r\n", b"x"),
        ("Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n"),
        ("Transfer-Encoding: chunked\r\n", b"0"),  # a chunk size that never ends
    ],
)
async def test_a_body_that_trickles_is_given_up_although_it_never_stalls(
    framing: str, piece: bytes
) -> None:
    async with running(body_ms=30_000, progress_bytes=8192, chunk_line_bytes=8192) as world:
        client = await world.connect()
        client.send(request(headers=framing))
        await world.until(lambda: bool(world.service.received))
        (one,) = world.server._connections
        for _ in range(30):
            taken = one._exchange._intake._taken  # type: ignore[union-attr]
            client.send(piece)
            await world.until(lambda at=taken: one._exchange._intake._taken > at)  # type: ignore[misc,union-attr]
            assert world.recorder.denials == []
            await passes(world, 1000)
        answer = await client.response()
        assert (answer.status, answer.reason) == (408, "EG005")
        assert await client.ended() == b""
        await world.service_ended()
        assert not world.service.received[0].complete
        assert world.observer.malformed_requests == [Reason.REQUEST_TIMEOUT]
        await served(world)


async def test_a_body_that_makes_progress_may_take_as_long_as_it_needs() -> None:
    async with running(body_ms=30_000, progress_bytes=8192) as world:
        client = await world.connect()
        client.send(request(headers="Content-Length: 163840\r\n"))
        await world.until(lambda: bool(world.service.received))
        for count in range(1, 21):
            await passes(world, 29_999)
            client.send(b"x" * 8192)
            await world.until(lambda at=count: world.service.total_bytes > at * 8192)  # type: ignore[misc]
        assert (await client.response()).status == 200


async def test_a_length_beyond_the_limit_is_answered_before_any_body() -> None:
    async with running(body_bytes=1024) as world:
        answer = await world.ask(request(headers="Content-Length: 1000000000000\r\n"))
        assert (answer.status, answer.reason) == (413, "EG004")
        assert world.service.total_bytes == 0
