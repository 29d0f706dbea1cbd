"""One request and its response: relaying, deciding, cutting."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.gate import Permit
from sidecar.core.objects.epoch import Epoch
from sidecar.core.policy import DENY_ALL
from sidecar.core.reason import Reason
from sidecar.core.scoped import Scoped
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.proxy.upstream import Upstream
from tests.builders import make_epoch, make_trust
from tests.compiled import replaces_a_method
from tests.proxy.streams import CHAT, STREAM_HEAD, streaming
from tests.proxy.world import HOUR_MS, OK, Received, World, decision_id, request, running

TO_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def says(*pieces: bytes, close: bool = False):  # type: ignore[no-untyped-def]
    """An answering service: these bytes, and then perhaps an orderly end."""

    async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if close:
            writer.close()

    return answer


# Relaying.


async def test_relays_a_request_with_a_length_and_its_answer() -> None:
    async with running() as world:
        response = await world.ask(CHAT)
        assert (response.status, response.body, response.complete) == (200, b"ok", True)
        assert response.headers[b"x-epochgate-decision"] == b"permit"
        assert response.headers[b"x-epochgate-epoch"] == b"1"
        assert response.headers[b"x-epochgate-decision-id"] == b"0123456789abcdef-0"
        [seen] = world.service.received
        assert seen.body == b'{"model": "m"}'
        assert seen.value(b"x-epochgate-epoch") == b"1"
        assert seen.value(b"x-epochgate-decision-id") == b"0123456789abcdef-0"
        assert world.observer.ends == [("permit", None, 200)]


async def test_relays_a_chunked_request_in_chunks_of_its_own() -> None:
    async with running() as world:
        client = await world.connect()
        client.send(request(headers="Transfer-Encoding: CHUNKED\r\n") + b"3;a=b\r\nabc\r\n")
        await world.until(lambda: bool(world.service.received))
        client.send(b"2\r\nde\r\n0\r\nX-Trailer: gone\r\n\r\n")
        response = await client.response()
        assert response.body == b"ok"
        assert world.service.received[0].body == b"abcde"
        assert world.service.received[0].value(b"transfer-encoding") == b"chunked"


async def test_events_are_relayed_one_by_one_as_they_come() -> None:
    async with running() as world:
        more = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM_HEAD + b"data: 1\n\n")
            await more.wait()
            writer.write(b"data: 2\n\n")
            writer.close()

        world.service.answer = answer
        client = await world.connect()
        client.send(CHAT)
        status, headers = await client.head()
        assert (status, headers[b"transfer-encoding"]) == (200, b"chunked")
        assert await client.chunk() == b"data: 1\n\n"
        more.set()
        assert await client.chunk() == b"data: 2\n\n"
        assert await client.chunk() == b""


async def test_an_upstream_response_in_chunks_is_relayed_in_chunks() -> None:
    async with running() as world:
        world.service.answer = says(TO_JSON, b"3\r\nabc\r\n", b"0\r\n\r\n")
        response = await world.ask(CHAT)
        assert (response.body, response.complete) == (b"abc", True)


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", (200, b"7")),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (200, None)),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", (204, None)),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", (204, None)),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", (304, b"9")),
    ],
)
async def test_a_response_without_a_body_ends_with_its_head(
    method: str, answer: bytes, expected: tuple[int, bytes | None]
) -> None:
    async with running() as world:
        world.service.answer = says(answer)
        client = await world.connect()
        for _ in range(2):
            client.send(request(method))
            response = await client.response(method)
            assert (response.status, response.headers.get(b"content-length")) == expected


async def test_an_http_1_0_client_gets_a_body_that_ends_with_the_connection() -> None:
    async with running() as world:
        world.service.answer = says(TO_JSON, b"3\r\nabc\r\n0\r\n\r\n")
        client = await world.connect()
        client.send(b"GET /v1/x HTTP/1.0\r\nHost: a\r\n\r\n")
        status, headers = await client.head()
        assert (status, headers[b"connection"]) == (200, b"close")
        assert b"transfer-encoding" not in headers
        assert await client.ended() == b"abc"


async def test_an_http_1_0_client_may_keep_its_connection() -> None:
    async with running() as world:
        client = await world.connect()
        for _ in range(2):
            client.send(b"GET /v1/x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            response = await client.response()
            assert response.headers[b"connection"] == b"keep-alive"


async def test_an_expected_100_is_relayed_and_other_interim_responses_are_not() -> None:
    async with running() as world:
        world.service.early = True
        body = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            writer.write(b"HTTP/1.1 199 Odd\r\n\r\n")
            await body.wait()
            writer.write(OK)

        world.service.answer = answer
        client = await world.connect()
        client.send(request(headers="Expect: 100-Continue\r\nContent-Length: 3\r\n"))
        assert await client.head() == (100, {})
        assert world.service.received[0].value(b"expect") == b"100-continue"
        client.send(b"abc")
        await world.until(lambda: client.writer.transport.get_write_buffer_size() == 0)
        body.set()
        assert (await client.response()).body == b"ok"


async def test_an_early_answer_is_relayed_and_both_connections_end() -> None:
    async with running() as world:
        world.service.early = True
        world.service.answer = says(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        client = await world.connect()
        client.send(request(headers="Content-Length: 1000\r\n") + b"abc")
        response = await client.response()
        assert (response.status, response.headers[b"connection"]) == (413, b"close")
        assert await client.ended() == b""
        await world.service_ended()


async def test_exempt_targets_pass_a_closed_gate_and_are_not_journalled() -> None:
    async with running() as world:
        world.hold()
        response = await world.ask(request("GET", "/health"))
        assert (response.status, response.headers[b"x-epochgate-decision"]) == (200, b"exempt")
        assert world.recorder.decisions == []
        assert world.observer.ends == [("exempt", None, 200)]


@pytest.mark.parametrize(
    "framing",
    ["Content-Length: {}\r\n", "Transfer-Encoding: chunked\r\n"],
    ids=["length", "chunks"],
)
async def test_an_exempt_target_takes_no_body(framing: str) -> None:
    """A service that does not read the body of a GET takes it for the next request."""
    async with running() as world:
        world.hold()
        hidden = request("POST", "/v1/chat")
        headers = framing.format(len(hidden))
        if "chunked" in framing:
            hidden = b"%x\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden)
        client = await world.connect()
        client.send(request("GET", "/health", headers) + hidden)
        response = await client.response()
        assert (response.status, response.reason) == (400, "EG001")
        assert world.service.total_bytes == 0
        assert await client.ended() == b""
        assert (await world.ask(request("GET", "/health", "Content-Length: 0\r\n"))).status == 200


async def test_a_trace_id_is_journalled_and_forwarded() -> None:
    async with running() as world:
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        await world.ask(request(headers=f"traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n"))
        assert world.recorder.decisions[0][2] == trace
        assert trace.encode() in (world.service.received[0].value(b"traceparent") or b"")


# Deciding.


async def test_a_closed_gate_denies_without_touching_the_service() -> None:
    async with running() as world:
        world.hold()
        client = await world.connect()
        client.send(CHAT + CHAT)  # the body came with the head, so the connection stays
        first, last = await client.response(), await client.response()
        for response in (first, last):
            assert (response.status, response.reason) == (503, "EG801")
        assert (world.service.connections, world.service.total_bytes) == (0, 0)
        assert world.recorder.denials == [Reason.QUORUM_LOST, Reason.QUORUM_LOST]
        problem = json.loads(last.body)
        assert problem["causes"] == ["EG801"]
        assert problem["instance"].endswith("0123456789abcdef-1")


async def test_a_policy_denial_is_403_under_an_open_gate() -> None:
    async with running() as world:
        response = await world.ask(request(target="/secret"))
        assert (response.status, response.reason) == (403, "EG204")
        assert json.loads(response.body)["state"] == "running"


async def test_a_recorder_that_fails_denies_and_nothing_goes_upstream() -> None:
    async with running() as world:
        world.recorder.failing = True
        response = await world.ask(CHAT)
        assert (response.status, response.reason) == (503, "EG702")
        assert b"x-epochgate-decision-id" not in response.headers
        assert world.service.total_bytes == 0


async def test_a_gate_that_closes_while_the_decision_is_journalled_takes_the_permit_back() -> None:
    async with running() as world:
        world.recorder.before = world.hold
        response = await world.ask(CHAT)
        assert (response.status, response.reason) == (503, "EG801")
        [end] = world.recorder.outcomes
        assert end == (decision_id(0), "abort", Reason.QUORUM_LOST, False, 503)
        assert response.headers[b"x-epochgate-decision-id"] == b"0123456789abcdef-0"
        assert world.service.total_bytes == 0


async def test_a_lease_that_ends_while_the_decision_is_journalled_takes_the_permit_back() -> None:
    async with running() as world:
        world.recorder.before = lambda: world.clock.move(HOUR_MS)
        response = await world.ask(CHAT)
        assert (response.status, response.reason) == (503, "EG102")
        assert [(end.kind, end.sent) for end in world.recorder.outcomes] == [("abort", False)]
        assert world.service.total_bytes == 0


async def test_a_write_that_proves_late_is_recorded_and_its_answer_is_never_relayed() -> None:
    """The process was stopped between the check and the write: promise (ii)."""
    async with running() as world:
        world.lossy = True
        world.service.answer = says(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        # Let the connection be there, so that one callback holds all readings of the clock.
        client = await world.connect()
        client.send(CHAT)
        await client.response()
        world.recorder.before = lambda: world.clock.jumps_ms.extend([0, HOUR_MS])
        client.send(CHAT)
        response = await client.response()
        assert (response.status, response.reason) == (503, "EG102")
        late = (decision_id(1), "late", Reason.LEASE_EXPIRED, True, 503)
        assert world.recorder.outcomes[-1] == late
        assert b"secret" not in response.body
        assert world.observer.ends[-1][0] == "late"


@replaces_a_method
async def test_a_piece_of_the_body_that_proves_late_is_recorded_like_a_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A service may begin with the last piece: a stop before it is what promise (ii) is for."""
    async with running() as world:
        world.lossy = True
        world.service.answer = says(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        relay = Upstream.relay

        def slow(self: Upstream, data: bytes) -> None:
            world.clock.move(HOUR_MS)
            relay(self, data)

        monkeypatch.setattr(Upstream, "relay", slow)
        client = await world.connect()
        client.send(CHAT[:-3])
        await world.until(lambda: bool(world.service.received))
        client.send(CHAT[-3:])
        response = await client.response()
        assert (response.status, response.reason) == (503, "EG102")
        late = (decision_id(0), "late", Reason.LEASE_EXPIRED, True, 503)
        assert world.recorder.outcomes == [late]
        assert b"secret" not in response.body
        assert world.observer.ends[-1][0] == "late"


async def test_a_late_write_that_cannot_be_recorded_is_answered_once() -> None:
    """The recorder closes the gate from within, and so cuts the exchange that is being answered."""
    async with running() as world:
        world.lossy = True
        client = await world.connect()
        client.send(CHAT)
        await client.response()
        world.recorder.before = lambda: world.clock.jumps_ms.extend([0, HOUR_MS])
        outcome = world.recorder.outcome

        def fails(*args: Any, **more: Any) -> None:
            outcome(*args, **more)
            world.gate.place(Hold(Reason.AUDIT_UNWRITABLE, HoldKind.LATCHED))

        world.recorder.outcome = fails  # type: ignore[method-assign]
        client.send(CHAT)
        assert (await client.response()).status == 503
        client.writer.write_eof()
        assert await client.ended() == b""


async def test_an_error_within_an_exempt_answer_is_no_second_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as world:
        more = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nab")
            await more.wait()
            writer.write(b"cd")

        world.service.answer = answer
        client = await world.connect()
        client.send(request("GET", "/health"))
        await client.head()
        [connection] = world.server._connections
        exchange = connection._exchange
        assert exchange is not None
        exchange._response._body = None  # type: ignore[assignment]
        more.set()
        assert await client.ended() in {b"", b"ab"}
        assert "AttributeError" in caplog.text


@replaces_a_method
async def test_a_gate_that_closes_while_connecting_denies() -> None:
    async with running(warm_connections=0) as world:
        client = await world.connect()
        seen = world.server._plane.pool.connect

        def connect_and_close(*args) -> None:  # type: ignore[no-untyped-def]
            seen(*args)
            world.hold()

        world.server._plane.pool.connect = connect_and_close  # type: ignore[assignment,method-assign]
        client.send(CHAT)
        response = await client.response()
        assert (response.status, response.reason) == (503, "EG801")
        assert world.service.total_bytes == 0


def fail_times(world: World, times: int) -> None:
    """The recorder raises what it never should, for the next calls."""
    left = [times]

    def fail() -> None:
        if left[0]:
            left[0] -= 1
            raise ZeroDivisionError

    world.recorder.before = fail


async def test_an_error_of_our_own_denies_and_forwards_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as world:
        fail_times(world, 1)
        response = await world.ask(CHAT)
        assert (response.status, response.reason) == (503, "EG906")
        assert world.service.total_bytes == 0
        assert "ZeroDivisionError" in caplog.text


async def test_an_error_while_an_error_is_answered_ends_the_connection() -> None:
    async with running() as world:
        fail_times(world, 2)
        client = await world.connect()
        client.send(CHAT)
        assert await client.ended() == b""
        assert world.service.total_bytes == 0


async def test_an_error_between_journal_and_write_takes_the_permit_back() -> None:
    async with running() as world:
        # A clock that fails at its next reading, which is the one before the write.
        world.recorder.before = lambda: world.clock.jumps_ms.append(None)  # type: ignore[arg-type]
        response = await world.ask(CHAT)
        assert (response.status, response.reason) == (503, "EG906")
        assert [(end.kind, end.sent) for end in world.recorder.outcomes] == [("abort", False)]
        assert world.service.total_bytes == 0


# Cutting.


async def test_an_event_stream_is_cut_with_an_event_and_without_a_last_chunk() -> None:
    async with running() as world:
        client, more = await streaming(world)
        assert await client.chunk() == b"data: 1\n\n"
        world.hold()  # nobody sends anything: the change itself cuts, within the call
        assert world.observer.cuts == [Reason.QUORUM_LOST]
        event = await client.chunk()
        assert event.startswith(b"event: error\ndata: {")
        problem = json.loads(event.partition(b"data: ")[2])
        assert (problem["reason"], problem["error"]["type"]) == ("EG801", "governance_denial")
        assert await client.ended() == b""
        assert world.observer.cuts == [Reason.QUORUM_LOST]
        assert world.observer.ends == [("cut", Reason.QUORUM_LOST, 200)]
        more.set()
        await world.service_ended()


async def test_a_stream_is_cut_by_its_next_piece_once_the_lease_is_over() -> None:
    async with running() as world:
        client, more = await streaming(world)
        await client.chunk()
        world.clock.move(HOUR_MS)
        more.set()
        assert b"EG102" in await client.chunk()
        assert b"late" not in await client.ended()


async def test_a_silent_stream_is_cut_when_the_clock_was_stepped() -> None:
    async with running() as world:
        client, _ = await streaming(world)
        await client.chunk()
        world.clock.wall += HOUR_MS  # no timer knows; the tick sees it
        assert b"EG102" in await client.chunk()


async def test_a_stream_goes_on_while_leases_are_renewed() -> None:
    async with running() as world:
        client, more = await streaming(world)
        await client.chunk()
        world.clock.move(HOUR_MS - 1)
        world.open()
        world.clock.move(2)
        more.set()
        assert await client.chunk() == b"data: late\n\n"


async def test_a_stream_that_is_cut_within_an_event_gets_no_event() -> None:
    """An error event there would be read as the rest of the one before."""
    async with running() as world:
        client, _ = await streaming(world, first=b"data: {")
        assert await client.chunk() == b"data: {"
        world.hold()
        assert await client.ended() == b""


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: text/event-stream\r\n\r\n",
    ],
)
async def test_other_responses_are_cut_so_that_they_are_incomplete(head: bytes) -> None:
    async with running() as world:
        client, _ = await streaming(world, head)
        await client.reader.readuntil(b"1\n\n")
        world.hold()
        assert b"0\r\n\r\n" not in await client.ended()
        assert world.observer.ends[0][0] == "cut"


async def test_a_body_that_ends_with_the_connection_is_cut_with_a_reset() -> None:
    """An orderly end would look complete to an HTTP/1.0 client."""
    async with running() as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM_HEAD + b"data: 1\n\n")

        world.service.answer = answer
        client = await world.connect()
        client.send(b"GET /v1/x HTTP/1.0\r\nHost: a\r\n\r\n")
        await client.head()
        await client.reader.readuntil(b"1\n\n")
        world.hold()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


async def test_a_request_that_waits_for_its_answer_is_cut_with_a_denial() -> None:
    async with running() as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            world.hold(Reason.QUORUM_LOST)
            await asyncio.sleep(0)

        world.service.answer = answer
        response = await world.ask(CHAT)
        assert (response.status, response.reason) == (503, "EG801")
        assert world.observer.ends == [("cut", Reason.QUORUM_LOST, 503)]


async def test_a_body_that_is_on_its_way_is_cut() -> None:
    async with running() as world:
        client = await world.connect()
        client.send(request(headers="Content-Length: 6\r\n") + b"abc")
        await world.until(lambda: bool(world.service.received))
        world.hold()
        response = await client.response()
        assert (response.status, response.reason) == (503, "EG801")
        client.send(b"def")
        await client.ended()
        await world.service_ended()
        assert not world.service.received[0].complete


async def test_an_exempt_exchange_is_not_cut() -> None:
    async with running() as world:
        begun = asyncio.Event()
        go_on = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            begun.set()
            await go_on.wait()
            writer.write(OK)

        world.service.answer = answer
        client = await world.connect()
        client.send(request("GET", "/health"))
        await begun.wait()
        world.gate.place(Hold(Reason.HALT_GLOBAL, HoldKind.STICKY, "aa"))
        go_on.set()
        assert (await client.response()).status == 200


# The service behind fails.


async def test_a_service_that_closes_without_an_answer_is_502() -> None:
    async with running() as world:
        world.service.answer = says(close=True)
        assert (await world.ask(CHAT)).reason == "EG021"


async def test_a_stream_that_stalls_is_ended_incomplete() -> None:
    async with running(stream_ms=1000) as world:
        client, _ = await streaming(world)
        assert await client.chunk() == b"data: 1\n\n"
        world.clock.move(1000)
        assert await client.ended() == b""
        assert world.observer.ends == [("failed", Reason.UPSTREAM_TIMEOUT, 200)]


async def test_a_service_that_takes_a_body_slowly_is_not_the_clients_fault() -> None:
    """While the service is behind, its own time runs and not the client's."""
    async with running(body_ms=1000, response_ms=5000, buffer_bytes=64 * 1024) as world:
        go_on = world.service.take_no_body()
        size = 32 * 1024 * 1024
        client = await world.connect()
        client.send(request(headers=f"Content-Length: {size}\r\n") + b"a" * size)
        await world.until(lambda: bool(world.server._connections))
        [connection] = world.server._connections
        await world.until(lambda: connection._upstream_full)
        world.clock.move(2000)
        connection.tick(world.clock())
        go_on.set()
        assert (await client.response()).status == 200


async def test_a_client_that_stalls_after_a_slow_service_has_caught_up_is_408() -> None:
    async with running(body_ms=1000, response_ms=5000, buffer_bytes=64 * 1024) as world:
        go_on = world.service.take_no_body()
        client = await world.connect()
        client.send(request(headers=f"Content-Length: {64 * 1024 * 1024}\r\n"))
        await world.until(lambda: bool(world.service.received))
        [connection] = world.server._connections
        sent = 0
        while not connection._upstream_full:
            client.send(b"a" * 65536)
            sent += 65536
            await world.until(
                lambda: (
                    connection._upstream_full
                    or client.writer.transport.get_write_buffer_size() == 0
                )
            )
        go_on.set()
        await world.until(lambda: world.service.total_bytes >= sent)
        await world.until(lambda: not connection._upstream_full)
        world.clock.move(1000)
        response = await client.response()
        assert (response.status, response.reason) == (408, "EG005")


async def test_a_service_that_never_takes_the_body_is_504() -> None:
    async with running(body_ms=1000, response_ms=5000, buffer_bytes=64 * 1024) as world:
        stuck = asyncio.Event()

        async def never(received: Received, reader: asyncio.StreamReader) -> None:
            await stuck.wait()

        world.service._body = never  # type: ignore[assignment,method-assign]
        size = 32 * 1024 * 1024
        client = await world.connect()
        client.send(request(headers=f"Content-Length: {size}\r\n") + b"a" * size)
        await world.until(lambda: bool(world.server._connections))
        [connection] = world.server._connections
        await world.until(lambda: connection._upstream_full)
        world.clock.move(5000)
        response = await client.response()
        assert (response.status, response.reason) == (504, "EG022")


async def test_a_body_that_stalls_is_408_and_the_service_sees_it_incomplete() -> None:
    async with running(body_ms=1000) as world:
        client = await world.connect()
        client.send(request(headers="Content-Length: 6\r\n") + b"abc")
        await world.until(lambda: bool(world.service.received))
        world.clock.move(1000)
        response = await client.response()
        assert (response.status, response.reason) == (408, "EG005")
        await world.service_ended()
        assert not world.service.received[0].complete


async def test_a_client_that_leaves_ends_the_exchange_behind() -> None:
    async with running() as world:
        client, more = await streaming(world)
        client.reset()
        await world.until(lambda: world.server.connections == 0)
        more.set()
        await world.service_ended()
        await world.until(lambda: bool(world.observer.ends))
        assert world.observer.ends == [("gone", None, 0)]


async def test_a_client_that_ends_its_side_during_the_answer_sees_it_end() -> None:
    async with running() as world:
        more = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(OK[:-1])
            await more.wait()
            writer.write(OK[-1:])

        world.service.answer = answer
        client = await world.connect()
        client.send(CHAT)
        assert b"connection" not in (await client.head())[1]
        [connection] = world.server._connections
        client.writer.write_eof()
        await world.until(lambda: connection.eof)
        more.set()
        assert await client.ended() == b"ok"
        await world.until(lambda: world.server.connections == 0)


# Orders that stop a part, and an epoch that observes.


async def test_a_halt_of_its_route_cuts_a_stream_at_once_and_of_another_does_not() -> None:
    async with running() as world:
        client, more = await streaming(world)
        assert await client.chunk() == b"data: 1\n\n"
        lease = world.gate.snapshot.lease
        world.gate.publish(
            replace(world.base, lease=lease, scoped=Scoped(routes=frozenset({"other"})))
        )
        assert world.observer.cuts == []
        world.gate.publish(
            replace(world.base, lease=lease, scoped=Scoped(routes=frozenset({"all"})))
        )
        assert world.observer.cuts == [Reason.HALT_SCOPED]
        event = await client.chunk()
        assert json.loads(event.partition(b"data: ")[2])["reason"] == "EG902"
        assert await client.ended() == b""
        more.set()
        await world.service_ended()


async def test_what_is_only_observed_is_relayed_recorded_counted_and_says_so() -> None:
    async with running() as world:
        watched = make_epoch(make_trust(), enforcement="observe")
        lease = world.gate.snapshot.lease
        assert lease is not None
        lease = replace(lease, epoch_sha256=watched.sha256)
        world.gate.publish(replace(world.base, lease=lease, epoch=watched))
        response = await world.ask(request(target="/secret"))
        assert (response.status, response.body) == (200, b"ok")
        assert response.headers[b"x-epochgate-decision"] == b"permit"
        assert response.headers[b"x-epochgate-observed"] == b"EG204"
        [(decision, _, _)] = world.recorder.decisions
        assert isinstance(decision, Permit)
        assert decision.observed is Reason.POLICY_DENY
        assert world.observer.observed == [Reason.POLICY_DENY]
        [seen] = world.service.received
        assert seen.value(b"x-epochgate-observed") is None

        response = await world.ask(CHAT)
        assert b"x-epochgate-observed" not in response.headers
        assert world.observer.observed == [Reason.POLICY_DENY]


async def test_a_service_cannot_say_that_its_answer_was_only_observed() -> None:
    async with running() as world:
        world.service.answer = says(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Epochgate-Observed: EG204\r\n\r\nok"
        )
        assert b"x-epochgate-observed" not in (await world.ask(CHAT)).headers


async def test_a_stream_that_was_only_observed_is_cut_at_once_when_the_epoch_is_enforced() -> None:
    """The policy is the same object then: only the epoch says something else."""
    async with running() as world:
        under = make_trust()
        watched, enforced = make_epoch(under, enforcement="observe"), make_epoch(under)
        lease = world.gate.snapshot.lease
        assert lease is not None
        base = replace(world.base, policy=DENY_ALL)

        def publish(epoch: Epoch) -> None:
            held = replace(lease, epoch_sha256=epoch.sha256)
            world.gate.publish(replace(base, lease=held, epoch=epoch))

        publish(watched)
        client, more = await streaming(world)
        assert await client.chunk() == b"data: 1\n\n"
        publish(watched)
        assert world.observer.cuts == []
        publish(enforced)
        assert world.observer.cuts == [Reason.POLICY_DENY]
        more.set()
        await world.service_ended()
