"""What is on record about the end of each request; `World.check` counts that it is one each."""

import asyncio

import pytest

from sidecar.core.reason import Reason
from tests.proxy.streams import CHAT, streaming
from tests.proxy.world import HOUR_MS, Received, World, decision_id, request, running


async def last(world: World) -> tuple[str, Reason | None, bool, int]:
    await world.until(lambda: bool(world.recorder.outcomes))
    [end] = world.recorder.outcomes
    assert end.decision_id == decision_id(len(world.recorder.decisions) - 1)
    return end[1:]


async def test_a_relayed_answer_is_a_permit_with_its_status() -> None:
    async with running() as world:
        await world.ask(CHAT)
        assert await last(world) == ("permit", None, True, 200)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (request(target="/secret"), "EG204"),
        (b"GET / HTTP/1.1\r\n\r\n", "EG001"),
        (request(target="/health", method="GET"), None),
    ],
)
async def test_a_denial_and_an_exemption_have_no_outcome_of_their_own(
    raw: bytes, code: str | None
) -> None:
    async with running() as world:
        assert (await world.ask(raw)).reason == code
        assert world.recorder.outcomes == []
        assert len(world.recorder.decisions) == (code is not None)


async def test_a_cut_stream_is_an_abort_with_its_reason() -> None:
    async with running() as world:
        client, _ = await streaming(world)
        world.hold()
        await client.ended()
        assert await last(world) == ("abort", Reason.QUORUM_LOST, True, 200)


async def test_a_client_that_leaves_is_an_abort_without_a_reason() -> None:
    async with running() as world:
        client, _ = await streaming(world)
        client.reset()
        assert await last(world) == ("abort", None, True, 0)


async def test_a_body_that_breaks_later_is_an_abort() -> None:
    async with running() as world:
        world.lossy = True
        client = await world.connect()
        client.send(request(headers="Transfer-Encoding: chunked\r\n") + b"1\r\na\r\n")
        await world.until(lambda: bool(world.service.received))
        client.send(b"zz\r\n")
        assert (await client.response()).status == 400
        assert await last(world) == ("abort", Reason.REQUEST_MALFORMED, True, 400)


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"no response\r\n\r\n", 502), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", 200)],
)
async def test_a_service_that_fails_is_an_error(sent: bytes, status: int) -> None:
    async with running() as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(sent)
            writer.close()

        world.service.answer = answer
        client = await world.connect()
        client.send(CHAT)
        assert (await client.head())[0] == status
        assert await last(world) == ("error", Reason.UPSTREAM_INVALID, True, status)


async def test_a_service_that_is_silent_is_an_error() -> None:
    async with running(response_ms=1000) as world:
        never = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            await never.wait()

        world.service.answer = answer
        client = await world.connect()
        client.send(CHAT)
        await world.until(lambda: bool(world.service.received))
        world.clock.move(1000)
        assert (await client.response()).status == 504
        assert await last(world) == ("error", Reason.UPSTREAM_TIMEOUT, True, 504)


async def test_a_write_that_proves_late_is_late() -> None:
    async with running() as world:
        world.lossy = True
        world.recorder.before = lambda: world.clock.jumps_ms.extend([0, HOUR_MS])
        assert (await world.ask(CHAT)).reason == "EG102"
        assert await last(world) == ("late", Reason.LEASE_EXPIRED, True, 503)


async def test_an_end_that_cannot_be_recorded_leaves_no_connection_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as world:
        keep = world.recorder.outcome

        def fails(*args: object, **more: object) -> None:
            keep(*args, **more)  # type: ignore[arg-type]
            raise ZeroDivisionError

        world.recorder.outcome = fails  # type: ignore[method-assign]
        client = await world.connect()
        client.send(CHAT)
        await client.ended()
        await world.until(lambda: world.server.connections == 0)
        assert "ZeroDivisionError" in caplog.text


async def test_the_first_byte_is_timed() -> None:
    async with running() as world:
        seen: list[int] = []
        finished = world.observer.finished

        def watch(*args: object, **named: object) -> None:
            seen.append(int(str(args[-1])))
            finished(*args, **named)  # type: ignore[arg-type]

        world.observer.finished = watch  # type: ignore[method-assign]
        go_on = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            await go_on.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        world.service.answer = answer
        client = await world.connect()
        client.send(CHAT)
        await world.until(lambda: bool(world.service.received))
        world.clock.move(70)
        go_on.set()
        await client.response()
        assert seen == [70_000_000]
