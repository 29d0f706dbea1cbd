"""One client connection: reading, pipelining, limits. What is refused: tests/http."""

import asyncio

import pytest

from sidecar.core.reason import Reason
from tests.http.requests import ROWS
from tests.proxy.world import OK, WAIT_S, Received, World, request, running

GOOD = request(body=b"abc")


def get(headers: str = "Host: a\r\n", line: str = "GET /v1/x HTTP/1.1") -> bytes:
    return f"{line}\r\n{headers}\r\n".encode("latin-1")


def post(headers: str, body: str = "") -> bytes:
    return f"POST /v1/x HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}".encode("latin-1")


def chunked(body: str) -> bytes:
    return post("Transfer-Encoding: chunked\r\n", body)


async def test_405_names_the_methods_that_there_are() -> None:
    async with running() as world:
        response = await world.ask(get(line="TRACE / HTTP/1.1"))
        assert b"GET" in response.headers[b"allow"]


# Keeping a connection, sending ahead.


async def test_requests_sent_ahead_are_answered_in_order_each_with_its_own_decision() -> None:
    async with running() as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            if received.value(b"x-n") == b"1":
                world.hold()  # closes between the first and the second
            writer.write(OK)

        world.service.answer = answer
        client = await world.connect()
        client.send(
            request("GET", headers="X-N: 0\r\n")
            + request("GET", "/health")
            + request("GET", headers="X-N: 1\r\n")
            + request("GET", headers="X-N: 2\r\n")
        )
        seen = [await client.response() for _ in range(4)]
        assert [item.status for item in seen] == [200, 200, 503, 503]
        assert len(world.service.received) == 3


async def test_many_denied_requests_sent_ahead_are_all_answered() -> None:
    async with running() as world:
        world.hold()
        client = await world.connect()
        client.send(request("GET") * 500)
        for _ in range(500):
            assert (await client.response()).status == 503
        assert len(world.recorder.denials) == 500


async def test_reading_pauses_when_a_client_sends_too_far_ahead() -> None:
    async with running(pipeline_depth=4) as world:
        go_on = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            await go_on.wait()
            writer.write(OK)

        world.service.answer = answer
        client = await world.connect()
        for _ in range(20):
            client.send(request("GET"))
            await asyncio.sleep(0)
        [connection] = world.server._connections
        await world.until(lambda: not connection._transport.is_reading())
        go_on.set()
        for _ in range(20):
            assert (await client.response()).status == 200


async def test_reading_pauses_when_a_client_asks_on_and_reads_no_answer() -> None:
    async with running() as world:
        world.hold()
        client = await world.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        [connection] = await opened(world)
        each = 10_000
        client.send(request("GET") * each)
        await world.until(lambda: connection.write_full)
        client.send(request("GET") * each)
        most = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            most = max(most, len(connection.buffer))
        assert not connection._transport.is_reading()
        assert most < world.settings.limits.head_bytes + 512 * 1024  # the limit and one piece read
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        answered = 0
        while answered < 2 * each:  # nothing is lost, and reading goes on
            await asyncio.wait_for(client.reader.readuntil(b"HTTP/1.1 503 "), WAIT_S)
            answered += 1


async def test_one_upstream_connection_serves_one_client_connection() -> None:
    async with running(warm_connections=0) as world:
        one, other = await world.connect(), await world.connect()
        for client in (one, other, one, other, one):
            client.send(GOOD)
            assert (await client.response()).status == 200
        assert world.service.connections == 2


# Limits and time.


async def test_one_connection_too_many_is_told_so() -> None:
    async with running(connections=1) as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        world.service.answer = answer
        busy = await world.connect()
        busy.send(GOOD)
        await world.until(lambda: bool(world.service.received))
        extra = await world.connect()
        response = await extra.response()
        assert (response.status, response.reason) == (503, "EG012")
        assert await extra.ended() == b""
        assert world.recorder.denials == [Reason.CONNECTION_LIMIT]
        assert world.observer.malformed_requests == [Reason.CONNECTION_LIMIT]


async def test_a_connection_that_waits_for_a_request_gives_way_to_a_new_one() -> None:
    async with running(connections=2) as world:
        old = await world.connect()
        old.send(b"GET / HTTP/1.1\r\nHost: never ends")
        await world.until(lambda: world.server.connections == 1)
        world.clock.move(1)
        young = await world.connect()
        await world.until(lambda: world.server.connections == 2)
        assert (await world.ask(GOOD)).status == 200
        assert await old.ended() == b""
        young.send(GOOD)
        assert (await young.response()).status == 200
        assert world.observer.malformed_requests == [Reason.CONNECTION_LIMIT]


@pytest.mark.parametrize(
    "data",
    [
        post("Content-Length: 11\r\n", "a" * 11),
        chunked("6\r\naaaaaa\r\n5\r\naaaaa\r\n0\r\n\r\n"),
    ],
)
async def test_a_body_over_the_limit_is_413(data: bytes) -> None:
    async with running(body_bytes=10) as world:
        response = await world.ask(data)
        assert (response.status, response.reason) == (413, "EG004")
        assert world.service.total_bytes == 0


async def test_after_an_error_little_is_discarded_and_not_for_long() -> None:
    async with running(linger_ms=1000) as world:
        client = await world.connect()
        client.send(b"\x00")
        assert (await client.response()).status == 400
        assert await client.ended() == b""
        assert world.server.connections == 1
        world.clock.move(1000)
        await world.until(lambda: world.server.connections == 0)


async def test_a_flood_after_an_error_ends_the_connection() -> None:
    async with running() as world:
        client = await world.connect()
        client.send(b"\x00")
        assert (await client.response()).status == 400
        client.send(b"a" * 100_000)
        await world.until(lambda: world.server.connections == 0)


async def opened(world: World):  # type: ignore[no-untyped-def]
    await world.until(lambda: world.server.connections == 1)
    return list(world.server._connections)


# A slow reader, a slow service.

LARGE = 32 * 1024 * 1024


async def test_a_slow_reader_pauses_the_service_and_memory_stays_bounded() -> None:
    async with running(buffer_bytes=64 * 1024) as world:
        written = [0]

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
            for _ in range(LARGE // 65536):
                writer.write(b"a" * 65536)
                await writer.drain()
                written[0] += 65536

        world.service.answer = answer
        client = await world.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GOOD)
        [connection] = await opened(world)
        await world.until(lambda: connection.write_full)
        most = connection._transport.get_write_buffer_size()
        for _ in range(20):
            await asyncio.sleep(0.005)
            most = max(most, connection._transport.get_write_buffer_size())
        assert most < 64 * 1024 + 512 * 1024  # the limit and one piece read
        assert written[0] < LARGE
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await client.response()).body) == LARGE


async def test_a_slow_service_pauses_the_client_and_memory_stays_bounded() -> None:
    async with running(buffer_bytes=64 * 1024) as world:
        go_on = world.service.take_no_body()
        client = await world.connect()
        client.send(request(headers=f"Content-Length: {LARGE}\r\n") + b"a" * LARGE)
        [connection] = await opened(world)
        await world.until(lambda: connection._upstream_full)
        assert not connection._transport.is_reading()
        upstream = connection._upstream
        assert upstream is not None
        assert upstream._transport.get_write_buffer_size() < 64 * 1024 + 512 * 1024
        go_on.set()
        assert (await client.response()).status == 200
        assert len(world.service.received[0].body) == LARGE


async def test_an_answer_that_overtakes_a_slow_service_leaves_the_client_readable() -> None:
    """The request was taken to its end, but the service has not read it when it answers."""
    async with running(buffer_bytes=64 * 1024) as world:
        read_on = world.service.take_no_body()
        world.service.early = True
        answer = asyncio.Event()

        async def late(received: Received, writer: asyncio.StreamWriter) -> None:
            await answer.wait()
            writer.write(OK)

        world.service.answer = late
        client = await world.connect()
        client.send(request(headers="Transfer-Encoding: chunked\r\n"))
        [connection] = await opened(world)
        piece = b"10000\r\n" + b"a" * 65536 + b"\r\n"
        await world.until(lambda: connection._exchange is not None and connection._exchange.sent)
        exchange = connection._exchange
        assert exchange is not None
        upstream = connection._upstream
        assert upstream is not None
        # One turn takes the end of the body and fills the buffer towards the service.
        while not upstream._transport.get_write_buffer_size():
            client.send(piece)
            await asyncio.sleep(0.001)
        connection._received(piece * 4 + b"0\r\n\r\n")
        assert not exchange.wants_body
        assert connection._upstream_full
        answer.set()
        assert (await client.response()).status == 200
        client.send(GOOD)
        assert (await client.response()).status == 200
        read_on.set()


async def test_reasons_of_the_exchange_are_all_produced_by_some_test() -> None:
    """EG001 to EG012 here and in tests/http, EG013 with `client.py`, EG020 on with the exchange."""
    answers = [answer for row in ROWS for answer in row.answers]
    codes = {answer[4:] for answer in answers} | {"EG004", "EG005", "EG012"}
    ours = {reason.code for reason in Reason if reason.validation == 0}
    assert ours - codes == {"EG013", "EG020", "EG021", "EG022"}
