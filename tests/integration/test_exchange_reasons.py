"""Every reason of the exchange itself (EG0xx), through the real sidecar, over raw sockets."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress

import pytest

from sidecar.core.reason import Reason
from tests import builders
from tests.integration.harness import HOST, LIMIT_S, World
from tests.integration.reasons import produces

POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: model\r\n"


async def raw(world: World, *pieces: bytes, wait_s: float = 10.0) -> tuple[int, str, bytes]:
    """Send bytes on a connection of their own; status, reason, everything that came back."""
    reader, writer = await asyncio.open_connection(HOST, world.sidecar.inbound)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(wait_s):
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
            answer += await reader.readexactly(int(length[1])) if length else b""
    finally:
        writer.close()
    reason = re.search(rb"x-epochgate-reason: (\w+)", answer, re.IGNORECASE)
    return int(answer.split()[1]), reason[1].decode() if reason else "", answer


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.fixture
async def served(world: World) -> World:
    """A world whose gate is open."""
    await world.open()
    return world


@produces(
    Reason.REQUEST_MALFORMED, Reason.REQUEST_TARGET_TOO_LONG, Reason.REQUEST_HEAD_TOO_LARGE,
    Reason.METHOD_NOT_ALLOWED, Reason.METHOD_UNKNOWN, Reason.VERSION_UNSUPPORTED,
    Reason.CODING_UNSUPPORTED, Reason.EXPECTATION_UNSUPPORTED, Reason.UPGRADE_UNSUPPORTED,
)  # fmt: skip
async def test_what_is_not_one_plain_request_is_refused(served: World) -> None:
    before = len(served.service.requests)
    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    cases = {
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": (400, "EG001"),
        POST + b"Host: other\r\n\r\n": (400, "EG001"),
        b"POST /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: m\r\n\r\n": (414, "EG002"),
        POST + b"X: " + b"y" * 40_000 + b"\r\n\r\n": (431, "EG003"),
        b"TRACE / HTTP/1.1\r\nHost: m\r\n\r\n": (405, "EG006"),
        b"BREW / HTTP/1.1\r\nHost: m\r\n\r\n": (501, "EG007"),
        b"GET / HTTP/2.0\r\nHost: m\r\n\r\n": (505, "EG008"),
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n": (501, "EG009"),
        POST + b"Expect: tea\r\nContent-Length: 1\r\n\r\n": (417, "EG010"),
        b"GET /v1/ws HTTP/1.1\r\nHost: m\r\n" + upgrade + b"\r\n": (501, "EG011"),
    }
    for request, expected in cases.items():
        status, reason, answer = await raw(served, request)
        assert (status, reason) == expected, answer[:300]
        assert b"connection: close" in answer.lower()
    assert len(served.service.requests) == before


@produces(Reason.REQUEST_BODY_TOO_LARGE)
@pytest.mark.sidecar(limits={"body": "1KiB"})
async def test_a_body_above_the_limit_is_refused_from_its_header(served: World) -> None:
    before = len(served.service.requests)
    status, reason, _ = await raw(served, POST + b"Content-Length: 2048\r\n\r\n")
    assert (status, reason) == (413, "EG004")
    assert len(served.service.requests) == before


@produces(Reason.REQUEST_TIMEOUT)
@pytest.mark.sidecar(timeouts={"head": "300ms"})
async def test_a_head_that_never_ends_is_answered_408(served: World) -> None:
    assert (await raw(served, POST))[:2] == (408, "EG005")


@produces(Reason.CONNECTION_LIMIT)
@pytest.mark.sidecar(limits={"connections": 2})
async def test_connections_above_the_limit_are_answered_and_closed(served: World) -> None:
    before = len(served.service.requests)
    held = [await asyncio.open_connection(HOST, served.sidecar.inbound) for _ in range(2)]
    for _, writer in held:  # a request in progress does not give way
        writer.write(POST + b"Content-Length: 2\r\n\r\n{")
    await until(lambda: len(served.service.requests) == before + 2)
    assert (await raw(served, POST + b"\r\n"))[:2] == (503, "EG012")
    for reader, writer in held:
        writer.write(b"}")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


@produces(Reason.ANSWER_UNREAD)
@pytest.mark.sidecar(timeouts={"unread": "300ms"})
async def test_a_client_that_does_not_read_its_answer_is_cut(served: World) -> None:
    """No status can be told any more: the metric and the outcome record say why."""
    reader, writer = await asyncio.open_connection(HOST, served.sidecar.inbound, limit=1)
    body = json.dumps({"model": "m", "repeat": 6_000_000}).encode()
    writer.write(POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    await until(
        lambda: any(
            line["type"] == "outcome" and line["reason"] == "EG013"
            for line in served.sidecar.records()
        )
    )
    with suppress(ConnectionError):
        while await reader.read(65536):
            pass
    writer.close()


@produces(Reason.UPSTREAM_UNREACHABLE)
async def test_a_service_that_is_down_is_502_and_named_as_the_origin(world: World) -> None:
    world.hand.put_epoch(routes=builders.routes_bytes(1))
    world.hand.start()
    await world.sidecar.start()
    await world.until(502, "EG020")
    _, _, answer = await raw(world, POST + b"Content-Length: 0\r\n\r\n")
    assert b"x-epochgate-origin: upstream" in answer.lower()


async def _broken(world: World, *pieces: bytes) -> tuple[int, str, bytes]:
    """Route to a service that says these bytes and nothing else."""
    reached = 0

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal reached
        head = await reader.readuntil(b"\r\n\r\n")
        reached += 1
        decision = re.search(rb"x-epochgate-decision-id: (\S+)", head, re.IGNORECASE)
        assert decision is not None
        world.service.seen.append(decision[1].decode())
        for piece in pieces:
            writer.write(piece)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say, HOST, 0)
    async with server:
        world.hand.put_epoch(routes=builders.routes_bytes(server.sockets[0].getsockname()[1]))
        world.hand.pulse()
        world.hand.start()
        await world.sidecar.start()
        await world.until_cause("ok")
        async with asyncio.timeout(10):
            while (await world.state())["state"] != "running":
                await asyncio.sleep(0.01)
        answer = await raw(world, POST + b"Content-Length: 0\r\n\r\n")
        assert reached == 1
    return answer


@produces(Reason.UPSTREAM_INVALID)
async def test_a_response_with_two_framings_is_502(world: World) -> None:
    both = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, reason, answer = await _broken(world, both)
    assert (status, reason) == (502, "EG021"), answer


@produces(Reason.UPSTREAM_TIMEOUT)
@pytest.mark.sidecar(timeouts={"response": "300ms"})
async def test_a_service_that_thinks_too_long_is_504(world: World) -> None:
    status, reason, answer = await _broken(world)
    assert (status, reason) == (504, "EG022"), answer
