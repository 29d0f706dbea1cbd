"""T: time, connections and their ends.

Each row is a scenario that says what it saw in the words of its expectation. Details that are
always the same are asserted on the way. Clocks are moved by hand, so nothing here waits for time.

Source: RFC 9112 sections 8 and 9; RFC 9110 sections 7.8, 9.2.2 and 10.1.1.
"""

import asyncio
import gc
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sidecar.core.reason import Reason
from tests.audit.journals import make_recorder, open_journal
from tests.http.catalogue_hops import HELLO
from tests.http.rows import chunks, get, post
from tests.proxy.streams import streaming
from tests.proxy.world import HOUR_MS, OK, Client, Received, World, request, running

ELSEWHERE = "tests/hostile/test_descriptors.py"
HOUR = HOUR_MS
GET = get()
POST = post("Content-Length: 3", body="abc")
UNFINISHED = post("Content-Length: 6", body="abc")


@dataclass(frozen=True, slots=True)
class TimedRow:
    """A scenario.

    Attributes:
        id: Its number, for ever.
        what: What the client or the service does.
        expected: What must be seen.
        run: Does it, and returns what was seen; None where another test is the row's.
    """

    id: str
    what: str
    expected: str
    run: Callable[[], Awaitable[str]] | None


async def told(client: Client) -> str:
    """The next answer, and what becomes of the connection."""
    response = await client.response()
    code = f" {response.reason}" if response.reason else ""
    if response.headers.get(b"connection") != b"close":
        return f"{response.status}{code}, kept"
    assert await client.ended() == b""
    return f"{response.status}{code}, closed"


def reached(world: World) -> str:
    """What reached the service."""
    if not world.service.total_bytes:
        return "0 bytes upstream"
    whole = sum(seen.complete for seen in world.service.received)
    return f"{whole} of {len(world.service.received)} complete upstream"


async def no_answer(received: Received, writer: asyncio.StreamWriter) -> None:
    """A service that never answers."""


async def connect_and_say_nothing() -> str:
    async with running(idle_ms=1000) as world:
        client = await world.connect()
        await world.until(lambda: world.server.connections == 1)
        world.clock.move(1000)
        assert await client.ended() == b""
        await world.until(lambda: world.server.connections == 0)
        return f"closed, {len(world.recorder.decisions)} records"


async def one_header_byte_at_a_time() -> str:
    async with running(head_ms=1000) as world:
        client = await world.connect()
        for index in range(5):  # four pieces in time, and then it is over
            await fed(world, client, GET[index : index + 1])
            world.clock.move(200)
        return f"{await told(client)}, {reached(world)}"


async def fed(world: World, client: Client, data: bytes) -> None:
    """Send bytes of a head and wait until they are there."""
    await world.until(lambda: world.server.connections == 1)
    [connection] = world.server._connections
    size = len(connection.buffer)
    client.send(data)
    await world.until(lambda: len(connection.buffer) == size + len(data))


async def a_body_that_trickles() -> str:
    async with running(body_ms=1000) as world:
        client = await world.connect()
        client.send(post("Content-Length: 100"))
        await world.until(lambda: bool(world.service.received))
        head = world.service.total_bytes
        for number in range(1, 5):
            client.send(b"a")
            await world.until(lambda n=head + number: world.service.total_bytes == n)  # type: ignore[misc]
            world.clock.move(250)
        seen = await told(client)
        await world.service_ended()
        return f"{seen}, {reached(world)}"


async def a_reader_that_does_not_read() -> str:
    size, limit = 16 * 1024 * 1024, 64 * 1024
    async with running(buffer_bytes=limit) as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            writer.write(b"a" * size)

        world.service.answer = answer
        client = await world.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GET)
        await world.until(lambda: world.server.connections == 1)
        [connection] = world.server._connections
        await world.until(lambda: connection.write_full)
        for _ in range(20):
            await asyncio.sleep(0)
            # The limit and one piece read.
            assert connection._transport.get_write_buffer_size() < limit + 512 * 1024
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await client.response()).body) == size
        return "the service waits, memory stays bounded, nothing is lost"


async def split_at_every_byte() -> str:
    data = b"\r\n" + chunks("3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n") + get("Connection: close")
    seen = set()
    async with running() as world:
        for index in range(len(data) + 1):
            before = len(world.service.received)
            client = await world.connect()
            client.send(data[:index])
            await asyncio.sleep(0)
            client.send(data[index:])
            statuses = tuple([(await client.response()).status for _ in range(2)])
            assert await client.ended() == b""
            bodies = tuple(item.body for item in world.service.received[before:])
            seen.add((statuses, bodies))
    assert seen == {((200, 200), (b"abc", b""))}
    return f"{len(seen)} outcome"


async def end_after_a_request() -> str:
    async with running() as world:
        client = await world.connect()
        client.send(POST)
        client.writer.write_eof()
        response = await client.response()
        assert await client.ended() == b""
        return f"{response.status}, closed, {reached(world)}"


async def end_within_a_body() -> str:
    async with running() as world:
        client = await world.connect()
        client.send(UNFINISHED)
        await world.until(lambda: bool(world.service.received))
        client.writer.write_eof()
        rest = await client.ended()
        await world.service_ended()
        return f"{len(rest)} bytes back, closed, {reached(world)}"


async def reset_while_the_service_works() -> str:
    async with running() as world:
        world.service.answer = no_answer
        client = await world.connect()
        client.send(GET)
        await world.until(lambda: bool(world.service.received))
        client.reset()
        await world.service_ended()
        await world.until(lambda: bool(world.observer.ends))
        return f"the service sees the end, outcome {world.observer.ends[0][0]}"


async def closed_gate_and_a_body_on_its_way() -> str:
    async with running() as world:
        world.hold()
        client = await world.connect()
        client.send(post("Content-Length: 1000", body="abc"))
        seen = await told(client)
        client.send(b"a" * 997 + GET)  # the rest, and one more: nobody may take that for a request
        return f"{seen}, {reached(world)}, {len(world.recorder.decisions)} record"


async def the_gate_closes_within_a_body() -> str:
    async with running() as world:
        client = await world.connect()
        client.send(UNFINISHED)
        await world.until(lambda: bool(world.service.received))
        world.hold()
        seen = await told(client)
        client.send(b"def")
        await world.service_ended()
        return f"{seen}, {reached(world)}"


async def the_gate_closes_within_an_answer() -> str:
    async with running() as world:
        client, _ = await streaming(world, b"HTTP/1.1 200 OK\r\nX: a\r\n\r\n")
        assert await client.chunk() == b"data: 1\n\n"
        world.hold()
        assert b"0\r\n\r\n" not in await client.ended()
        return f"incomplete, outcome {world.observer.ends[0][0]}"


async def a_websocket_at_the_deadline() -> str:
    async with running() as world:
        client = await world.connect()
        client.send(get("Connection: Upgrade", "Upgrade: websocket"))
        return f"{await told(client)}, {reached(world)}"


async def ten_thousand_sent_ahead() -> str:
    count = 10_000
    async with running() as world:
        world.hold()
        client = await world.connect()
        client.send(GET * count)
        ids = []
        for _ in range(count):
            response = await client.response()
            assert response.status == 503
            ids.append(int(response.headers[b"x-epochgate-decision-id"].rpartition(b"-")[2]))
        assert ids == list(range(count))
        return f"{count} answers in order, {reached(world)}"


async def sent_ahead_and_the_first_is_denied() -> str:
    async with running() as world:
        client = await world.connect()
        client.send(request(target="/secret", body=b"abc") + GET)
        client.send(request(target="/secret", headers="Content-Length: 9\r\n") + b"abc")
        seen = [await told(client) for _ in range(3)]
        return f"{'; '.join(seen)}; {reached(world)}"


async def an_expectation_and_no_body() -> str:
    data = post("Expect: 100-continue", "Content-Length: 3")
    async with running(body_ms=1000) as world:
        client = await world.connect()
        client.send(data)
        await world.until(lambda: bool(world.service.received))
        world.clock.move(1000)
        seen = [await told(client)]
        await world.service_ended()
        world.hold()
        client, before = await world.connect(), world.service.total_bytes
        client.send(data)
        seen.append(await told(client))
        assert world.service.total_bytes == before
        return f"open: {seen[0]}; contained: {seen[1]}"


async def an_expectation_with_all_at_once() -> str:
    async with running() as world:
        client = await world.connect()
        client.send(post("Expect: 100-continue", "Content-Length: 3", body="abc") + GET)
        seen = [await told(client), await told(client)]
        assert [item.body for item in world.service.received] == [b"abc", b""]
        return f"{'; '.join(seen)}; {reached(world)}"


async def an_answer_before_the_body_ends() -> str:
    async with running() as world:
        world.service.early = True
        client = await world.connect()
        client.send(UNFINISHED)
        seen = await told(client)
        await world.service_ended()
        return f"{seen}, {reached(world)}"


async def the_service_closes_an_idle_connection() -> str:
    async with running(warm_connections=0) as world:

        async def once(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(OK)
            writer.close()  # in step with the answer: the next request needs another connection

        world.service.answer = once
        client = await world.connect()
        client.send(GET)
        seen = [await told(client)]
        await world.until(lambda: world.server.upstream_connections == 0)

        async def never(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.close()  # as if the end had crossed the request

        world.service.answer = never
        client.send(GET)
        seen.append(await told(client))
        return f"{'; '.join(seen)}; each sent once: {len(world.service.received) == 2}"


async def the_service_stalls() -> str:
    async with running(response_ms=1000) as world:

        async def stall(received: Received, writer: asyncio.StreamWriter) -> None:
            world.clock.move(1000)

        world.service.answer = stall
        client = await world.connect()
        client.send(GET)
        seen = await told(client)
        await world.service_ended()
        return f"{seen}, its connection destroyed"


async def the_service_is_not_there() -> str:
    async with running() as world:
        await world.service.close()
        client = await world.connect()
        client.send(GET)
        return f"{await told(client)}, {reached(world)}"


async def the_service_sends_one_byte_at_a_time() -> str:
    async with running(stream_ms=1000) as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(10):
                writer.write(b"a")
                await writer.drain()
                await world.until(asked.is_set)
                asked.clear()
            writer.close()

        asked = asyncio.Event()
        world.service.answer = answer
        client = await world.connect()
        client.send(GET)
        await client.head()
        for _ in range(10):
            assert await client.chunk() == b"a"
            world.clock.move(900)
            asked.set()
        assert await client.chunk() == b""
        return "each byte relayed as it comes, complete"


async def the_service_resets_within_an_answer() -> str:
    async with running() as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nX: a\r\n\r\nabc")
            await begun.wait()
            Client(asyncio.StreamReader(), writer).reset()

        begun = asyncio.Event()
        world.service.answer = answer
        client = await world.connect()
        client.send(GET)
        await client.head()
        assert await client.chunk() == b"abc"
        begun.set()
        assert await client.ended() == b""
        return f"incomplete, outcome {world.observer.ends[0][0]}"


async def a_hundred_thousand_chunks() -> str:
    count = 100_000
    async with running() as world:
        client = await world.connect()
        client.send(chunks("1\r\na\r\n" * count + "0\r\n\r\n"))
        seen = await told(client)
        assert world.service.received[0].body == b"a" * count
        return f"{seen}, {reached(world)}"


async def a_header_value_in_fragments() -> str:
    async with running() as world:
        client = await world.connect()
        client.send(b"GET /v1/x HTTP/1.1\r\nHost: a\r\nX: ")
        sent, most = 0, 0
        await world.until(lambda: world.server.connections == 1)
        [connection] = world.server._connections
        while not connection._ending and sent < 1_600_000:
            client.send(b"a" * 1000)
            sent += 1000
            await asyncio.sleep(0)
            most = max(most, len(connection.buffer))
        assert most <= world.settings.limits.head_bytes + 1000
        return f"{await told(client)}, {reached(world)}"


async def a_tls_hello_with_early_data() -> str:
    async with running() as world:
        client = await world.connect()
        client.send(HELLO + GET)
        return f"{await told(client)}, {reached(world)}"


async def a_huge_length() -> str:
    async with running(body_bytes=10**9) as world:
        client = await world.connect()
        client.send(post("Content-Length: 1000000000000"))
        return f"{await told(client)}, {reached(world)}"


async def a_chunk_size_without_end() -> str:
    async with running(body_ms=1000) as world:
        client = await world.connect()
        client.send(chunks("0"))
        await world.until(lambda: bool(world.service.received))
        world.clock.move(1000)
        seen = await told(client)
        await world.service_ended()
        return f"{seen}, {reached(world)}"


async def a_request_after_a_bad_one() -> str:
    async with running() as world:
        client = await world.connect()
        client.send(b"\x00")
        seen = await told(client)
        client.send(GET)
        return f"{seen}, {reached(world)}, {len(world.recorder.decisions)} record"


async def an_end_after_a_refusal() -> str:
    async with running() as world:
        client = await world.connect()
        client.send(b"\x00")
        seen = await told(client)
        client.writer.transport.abort()
        await world.until(lambda: world.server.connections == 0)  # no clock was moved
        return f"{seen}, and its place is free"


async def secrets_in_a_denied_request() -> str:
    secret = b"s3cret"
    with tempfile.TemporaryDirectory() as folder:
        journal = open_journal(Path(folder))
        async with running() as world:
            world.hold()
            client = await world.connect()
            client.send(get("Cookie: s3cret", "Authorization: Bearer s3cret"))
            response = await client.response()
            [(decision, head, trace)] = world.recorder.decisions
            assert head is not None
            assert secret in b"".join(value for _, value in head.headers)
            make_recorder(journal, world.gate).decision(decision, head, trace, world.clock())
        journal.close()
        written = (Path(folder) / "00000000.jsonl").read_bytes()
    assert b"/v1/x" in written
    assert secret not in written + response.body + b"".join(response.headers.values())
    return f"{response.status}, neither in the journal nor in the answer"


async def a_connection_that_is_used_long() -> str:
    async with running() as world:
        client = await world.connect()
        # What the test itself keeps of each request is not what is looked for.
        recorder = world.recorder
        kept = (recorder.decisions, recorder.outcomes, world.service.received, world.observer.ends)

        async def use(count: int) -> int:
            for _ in range(count):
                client.send(GET)
                assert (await client.response()).status == 200
            for items in kept:
                items.clear()
            gc.collect()
            return len(gc.get_objects())

        first = await use(500)
        assert await use(1500) - first < 100
        return "2,000 requests, nothing grows"


async def a_stop_under_load() -> str:
    async with running() as world:
        go_on = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            await go_on.wait()
            writer.write(OK)

        world.service.answer = answer
        clients = [await world.connect() for _ in range(20)]
        for client in clients:
            client.send(GET)
        await world.until(lambda: len(world.service.received) == len(clients))
        world.server.stop_accepting()
        go_on.set()
        seen = {await told(client) for client in clients}
        assert await world.server.wait_idle(5000)
        try:
            await world.connect()
        except ConnectionRefusedError:
            return f"all running: {', '.join(seen)}; new: refused"
        return "a new connection was taken"


async def changes_under_load() -> str:
    async with running() as world:
        client = await world.connect()
        for _ in range(100):
            world.gate.publish(world.base)  # a snapshot without a lease
            before = world.service.total_bytes
            client.send(GET)
            assert (await client.response()).status == 503
            assert world.service.total_bytes == before
            world.open()
            client.send(GET)
            assert (await client.response()).status == 200
        return f"each request as the gate is then, {reached(world)}"


async def the_wall_clock_jumps_within_a_request() -> str:
    async with running() as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            world.clock.wall += HOUR
            writer.write(OK)

        world.service.answer = answer
        client = await world.connect()
        client.send(GET)
        seen = await told(client)
        assert world.observer.cuts == [Reason.LEASE_EXPIRED]
        return seen


ROWS: tuple[TimedRow, ...] = (
    TimedRow("T01", "connect and send nothing", "closed, 0 records", connect_and_say_nothing),
    TimedRow("T02", "one header byte at a time, each in time",
             "408 EG005, closed, 0 bytes upstream", one_header_byte_at_a_time),
    TimedRow("T03", "one body byte at a time, each in time",
             "408 EG005, closed, 0 of 1 complete upstream", a_body_that_trickles),
    TimedRow("T04", "an answer of 16 MiB that is not read",
             "the service waits, memory stays bounded, nothing is lost",
             a_reader_that_does_not_read),
    TimedRow("T05", "two requests, cut in two at every byte", "1 outcome", split_at_every_byte),
    TimedRow("T06", "end of the client's side after a request",
             "200, closed, 1 of 1 complete upstream", end_after_a_request),
    TimedRow("T07", "end of the client's side within a body",
             "0 bytes back, closed, 0 of 1 complete upstream", end_within_a_body),
    TimedRow("T08", "reset while the service works", "the service sees the end, outcome gone",
             reset_while_the_service_works),
    TimedRow("T09", "contained, and a body is on its way; a request behind it",
             "503 EG801, closed, 0 bytes upstream, 1 record", closed_gate_and_a_body_on_its_way),
    TimedRow("T10", "contained within a body",
             "503 EG801, closed, 0 of 1 complete upstream", the_gate_closes_within_a_body),
    TimedRow("T11", "contained within an answer", "incomplete, outcome cut",
             the_gate_closes_within_an_answer),
    TimedRow("T12", "a websocket (there are none: an upgrade never makes a tunnel)",
             "501 EG011, closed, 0 bytes upstream", a_websocket_at_the_deadline),
    TimedRow("T13", "10,000 requests at once", "10000 answers in order, 0 bytes upstream",
             ten_thousand_sent_ahead),
    TimedRow("T14", "three at once: denied, permitted, denied with a body that is on its way",
             "403 EG204, kept; 200, kept; 403 EG204, closed; 1 of 1 complete upstream",
             sent_ahead_and_the_first_is_denied),
    TimedRow("T15", "100-continue, and then no body",
             "open: 408 EG005, closed; contained: 503 EG801, closed", an_expectation_and_no_body),
    TimedRow("T16", "100-continue, the body and a second request at once",
             "200, kept; 200, kept; 2 of 2 complete upstream", an_expectation_with_all_at_once),
    TimedRow("T17", "an answer before the body has ended",
             "200, closed, 0 of 1 complete upstream", an_answer_before_the_body_ends),
    TimedRow("T18", "the service closes a connection when idle, and one as it is written to",
             "200, kept; 502 EG021, kept; each sent once: True",
             the_service_closes_an_idle_connection),
    TimedRow("T19", "the service takes a request and stalls",
             "504 EG022, kept, its connection destroyed", the_service_stalls),
    TimedRow("T20", "the service is not there", "502 EG020, kept, 0 bytes upstream",
             the_service_is_not_there),
    TimedRow("T21", "the service sends one byte at a time",
             "each byte relayed as it comes, complete", the_service_sends_one_byte_at_a_time),
    TimedRow("T22", "the service resets within an answer", "incomplete, outcome failed",
             the_service_resets_within_an_answer),
    TimedRow("T23", "no descriptors are left", f"see `{ELSEWHERE}`", None),
    TimedRow("T24", "100,000 chunks of one byte", "200, kept, 1 of 1 complete upstream",
             a_hundred_thousand_chunks),
    TimedRow("T25", "a header value of 1.6 MB in fragments",
             "431 EG003, closed, 0 bytes upstream", a_header_value_in_fragments),
    TimedRow("T26", "a TLS hello with early data (there is no TLS here)",
             "400 EG001, closed, 0 bytes upstream", a_tls_hello_with_early_data),
    TimedRow("T27", "a length of 10^12 under a limit of 10^9, and no body",
             "413 EG004, closed, 0 bytes upstream", a_huge_length),
    TimedRow("T28", "a chunk size that does not end",
             "408 EG005, closed, 0 of 1 complete upstream", a_chunk_size_without_end),
    TimedRow("T29", "a request after a bad one", "400 EG001, closed, 0 bytes upstream, 1 record",
             a_request_after_a_bad_one),
    TimedRow("T30", "a cookie and authorization in a denied request",
             "503, neither in the journal nor in the answer", secrets_in_a_denied_request),
    TimedRow("T31", "2,000 requests on one connection", "2,000 requests, nothing grows",
             a_connection_that_is_used_long),
    TimedRow("T32", "a stop while 20 requests run", "all running: 200, closed; new: refused",
             a_stop_under_load),
    TimedRow("T33", "a lease is withdrawn and published 100 times between requests",
             "each request as the gate is then, 100 of 100 complete upstream", changes_under_load),
    TimedRow("T34", "the wall clock jumps within a request", "503 EG102, kept",
             the_wall_clock_jumps_within_a_request),
    TimedRow("T35", "end of the client's side after a refusal",
             "400 EG001, closed, and its place is free", an_end_after_a_refusal),
)  # fmt: skip
