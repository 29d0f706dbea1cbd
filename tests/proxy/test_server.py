"""The listener: draining, counting, ending."""

import asyncio

from tests.proxy.world import HOUR_MS, OK, Received, request, running


async def test_a_drain_lets_the_running_finish_and_takes_nothing_new() -> None:
    async with running() as world:
        go_on = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            await go_on.wait()
            writer.write(OK)

        world.service.answer = answer
        idle, busy = await world.connect(), await world.connect()
        busy.send(request("GET"))
        await world.until(lambda: bool(world.service.received))
        world.server.stop_accepting()
        assert await idle.ended() == b""
        assert not await world.server.wait_idle(20)
        go_on.set()
        response = await busy.response()
        assert (response.status, response.headers[b"connection"]) == (200, b"close")
        assert await world.server.wait_idle(5000)
        try:
            await world.connect()
        except ConnectionRefusedError:
            return
        raise AssertionError("a draining server took a connection")


async def test_what_runs_is_counted() -> None:
    async with running(warm_connections=1) as world:
        assert (world.server.connections, world.server.in_flight) == (0, 0)
        await world.ask(request("GET"))
        assert (world.server.connections, world.server.in_flight) == (1, 0)
        await world.until(lambda: world.server.upstream_connections == 2)  # one is warm


async def test_closing_ends_what_is_left() -> None:
    async with running() as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        world.service.answer = answer
        client = await world.connect()
        client.send(request("GET"))
        await world.until(lambda: bool(world.service.received))
        await world.server.close()
        assert await client.ended() == b""


async def test_the_timer_of_the_lease_cuts_a_silent_stream() -> None:
    async with running() as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: a\n\n")

        world.service.answer = answer
        client = await world.connect()
        client.send(request("GET"))
        await client.head()
        await client.chunk()
        world.clock.move(HOUR_MS)
        world.server._lapsed()  # as the loop calls it at the deadline
        assert b"EG102" in await client.chunk()


async def test_a_gate_that_changes_before_the_start_is_taken_up() -> None:
    async with running() as world:
        world.hold()
        assert (await world.ask(request("GET"))).status == 503
