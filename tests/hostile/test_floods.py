"""Clients that send more than they should: work grows with what they send and memory does not."""

import asyncio

import pytest

from sidecar.core.reason import Reason
from sidecar.proxy.connections import STEP_MAX, TOLD_MAX
from sidecar.proxy.server import TURN_LINES
from tests.hostile.measure import READ_BYTES, Buffers, counted, served
from tests.proxy.world import OK, Client, Received, World, request, running

HEAD_BYTES = 32 * 1024  # the default of limits.head
GET = request("GET")
DENIED = request("GET", "/secret")  # by the policy, so that no service is needed


async def answers(client: Client, count: int) -> int:
    """Read so many answers; how many were 200 or 403."""
    return sum([(await client.response()).status in (200, 403) for _ in range(count)])


# Requests sent ahead.


@pytest.mark.parametrize("ask", [GET, DENIED], ids=["permitted", "denied"])
async def test_the_work_of_a_pipelining_flood_grows_with_its_requests_only(ask: bytes) -> None:
    works = []
    for count in (500, 1000):
        async with running() as world:
            client = await world.connect()
            with counted() as work:
                client.send(ask * count)
                assert await answers(client, count) == count
            works.append(work.calls)
            assert len(world.recorder.decisions) == count
    assert works[1] < 2.2 * works[0]


async def test_a_pipelining_flood_waits_in_a_bounded_buffer_and_good_clients_are_served() -> None:
    async with running() as world:
        buffers = Buffers(world)
        client = await world.connect()
        client.send(GET * 10_000)
        answered = 0
        while answered < 300:
            answered += await answers(client, 30)
            await served(world, 1)
            buffers.look()
        assert len(world.recorder.decisions) < 5000  # the good ones did not wait for its end
        assert buffers.most < HEAD_BYTES + READ_BYTES
        world.lossy = True  # it leaves in the middle, and its last request with it


async def test_a_flood_of_denied_requests_that_reads_no_answer_stops_deciding() -> None:
    async with running() as world:
        buffers = Buffers(world)
        client = await world.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(DENIED * 60_000)
        await world.until(lambda: any(one.write_full for one in world.server._connections))
        before = len(world.recorder.decisions)
        await served(world)
        buffers.look()
        assert len(world.recorder.decisions) - before <= 3 + world.settings.limits.pipeline_depth
        assert before < 60_000
        assert buffers.most < HEAD_BYTES + READ_BYTES + world.settings.limits.buffer_bytes + 4096


# Chunks.


def chunks(count: int) -> bytes:
    return request(headers="Transfer-Encoding: chunked\r\n") + b"1\r\nx\r\n" * count + b"0\r\n\r\n"


async def test_the_work_of_tiny_chunks_grows_with_their_number_only() -> None:
    works = []
    for count in (10_000, 20_000):
        async with running() as world:
            with counted() as work:
                answer = await world.ask(chunks(count))
            assert answer.status == 200
            assert world.service.received[0].body == b"x" * count
            works.append(work.calls)
    assert works[1] < 2.2 * works[0]


async def test_a_hundred_thousand_tiny_chunks_let_good_clients_through() -> None:
    async with running() as world:
        buffers = Buffers(world)
        client = await world.connect()
        client.send(chunks(100_000))
        await world.until(lambda: bool(world.service.received))
        flood = world.service.received[0]
        for _ in range(5):
            await served(world, 1)
            buffers.look()
        assert not flood.complete  # else nothing was shown
        assert (await client.response()).status == 200
        assert flood.body == b"x" * 100_000
        assert buffers.most < READ_BYTES + HEAD_BYTES


async def test_no_turn_reads_more_than_its_share_of_a_chunked_body() -> None:
    """What one turn has read is relayed as one chunk of ours."""
    async with running() as world:
        sizes: list[int] = []

        async def body(received: Received, reader: asyncio.StreamReader) -> None:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await reader.readexactly(size + 2)
                sizes.append(size)
            await reader.readexactly(2)

        world.service._body = body  # type: ignore[method-assign,assignment]
        assert (await world.ask(chunks(30_000))).status == 200
        assert sum(sizes) == 30_000
        assert max(sizes) <= TURN_LINES // 2


# Heads.


async def test_a_head_in_fragments_is_refused_at_its_limit_whatever_it_would_become() -> None:
    async with running() as world:
        buffers = Buffers(world)
        client = await world.connect()
        client.send(b"GET /v1/x HTTP/1.1\r\nHost: a\r\nX: ")
        sent = 0
        with counted() as work:
            while not world.recorder.denials and sent < 1_600_000:
                client.send(b"y" * 100)
                sent += 100
                await asyncio.sleep(0)
                buffers.look()
                await world.until(lambda at=sent: bool(world.recorder.denials) or seen(world) >= at)  # type: ignore[misc]
        answer = await client.response()
        assert (answer.status, answer.reason) == (431, "EG003")
        assert await client.ended() == b""
        assert sent <= HEAD_BYTES + 100
        assert buffers.most <= HEAD_BYTES + 100
        assert work.calls < 60 * sent / 100  # per fragment
        await served(world)


def seen(world: World) -> int:
    """Bytes of the unfinished heads."""
    return sum(len(one.buffer) for one in world.server._connections)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\r\n" * 100_000, "EG001"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200_000 + b"\r\n", "EG003"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", "EG003"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 1_600_000, "EG003"),
        (b"GET /" + b"y" * 1_000_000, "EG002"),
    ],
    ids=["empty lines", "header lines", "one header line too many", "one header", "target"],
)
async def test_a_head_that_is_too_much_is_one_decision_and_ends_the_connection(
    data: bytes, code: str
) -> None:
    async with running() as world:
        client = await world.connect()
        with counted() as work:
            client.send(data)
            assert code.encode() in await client.ended()
        await client.close()
        assert [reason.code for reason in world.recorder.denials] == [code]
        assert work.calls < 1000  # of 100 kB to 1.6 MB
        assert not world.service.received
        await world.until(lambda: world.server.connections == 0)
        await served(world)


# Connections.

LIMIT = 100


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX: "], ids=["idle", "head"])
async def test_a_flood_of_waiting_connections_takes_nobodys_place(first: bytes) -> None:
    async with running(connections=LIMIT) as world:
        go_on = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            if received.head.startswith(b"GET"):
                await go_on.wait()
            writer.write(OK)

        world.service.answer = answer
        running_one = await world.connect()
        running_one.send(GET)
        await world.until(lambda: bool(world.service.received))
        most = 0
        for _ in range(5):
            for _ in range(LIMIT):
                (await world.connect()).send(first)
            most = max(most, world.server.connections)
            world.clock.move(1)
            await served(world)
        assert most <= LIMIT
        assert world.recorder.denials == []
        assert set(world.observer.malformed_requests) == {Reason.CONNECTION_LIMIT}
        gone = len(world.observer.malformed_requests)
        assert 5 * LIMIT - LIMIT <= gone <= 5 * LIMIT + STEP_MAX
        go_on.set()
        assert (await running_one.response()).status == 200


async def test_a_flood_beyond_the_limit_is_bounded_in_connections_and_in_records() -> None:
    """All places are taken by requests in progress: nobody can give way."""
    async with running(connections=10) as world:
        go_on = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            await go_on.wait()
            writer.write(OK)

        world.service.answer = answer
        busy = [await world.connect() for _ in range(10)]
        for client in busy:
            client.send(GET)
        await world.until(lambda: len(world.service.received) == 10)
        most = 0
        for _ in range(500):
            await world.connect()
            most = max(most, world.server.connections)
        assert len(world.recorder.denials) == TOLD_MAX
        assert most <= 10 + TOLD_MAX + 64  # accepted in one turn and not closed yet
        go_on.set()
        assert [(await client.response()).status for client in busy] == [200] * 10
        for client in world.clients:
            await client.close()
        await world.until(lambda: world.server.connections == 0)
        await served(world)


async def test_clients_that_connect_and_reset_leave_nothing_behind() -> None:
    async with running() as world:
        for first in (b"", b"GET / HT", GET, request(headers="Content-Length: 9\r\n") + b"abc"):
            for _ in range(50):
                client = await world.connect()
                client.send(first)
                client.reset()
        await served(world)
        await world.until(lambda: world.server.connections == 0)
        await world.until(lambda: world.server.in_flight == 0)
        world.lossy = True  # a request may have been written to a connection that then was ended
