"""Bytes of a request that the service has no room for yet: they wait here, and may leave late."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from sidecar.core.reason import Reason
from sidecar.proxy.upstream import Upstream
from tests.proxy.world import HOUR_MS, OK, Client, World, decision_id, made_routes, request, running

BODY = b"x" * 60_000  # several times what the small buffers below hold
EXPIRED = Reason.LEASE_EXPIRED


class Slow:
    """A service with a small buffer that takes bytes when it is told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def take(self, most_bytes: int = 2**20) -> bytes:
        """What has arrived."""
        taken = b""
        while len(taken) < most_bytes:
            try:
                data = self.sock.recv(most_bytes - len(taken))
            except (BlockingIOError, ConnectionError):
                break
            if not data:
                break
            taken += data
        return taken

    async def take_until_end(self) -> bytes:
        """All that will ever arrive."""
        taken, loop = b"", asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(self.sock, 2**20):
                taken += data
        except ConnectionError:
            pass
        return taken


@asynccontextmanager
async def waiting(world: World) -> AsyncIterator[tuple[Client, Slow, Upstream]]:
    """A whole body was taken from the client, and most of it waits for the service."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.settimeout(0)
        world.lossy = True
        world.base = replace(world.base, routes=made_routes(listening.getsockname()[1]))
        world.open()
        client = await world.connect()
        client.send(request(headers=f"Content-Length: {len(BODY)}\r\n"))
        behind, _ = await asyncio.wait_for(loop.sock_accept(listening), 5)
        with behind:
            [connection] = world.server._connections
            await world.until(lambda: bool(connection._upstream and connection._upstream._busy))
            upstream = connection._upstream
            assert upstream is not None
            sock: Any = upstream._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            client.send(BODY)
            await world.until(lambda: upstream.full)
            tick = world.server._tick
            assert tick is not None
            tick.cancel()  # what is seen below, the bytes have made us see
            yield client, Slow(behind), upstream


def left(upstream: Upstream) -> int:
    return upstream._transport.get_write_buffer_size()


async def test_bytes_that_left_after_the_lease_are_recorded_as_late() -> None:
    async with running(warm_connections=0) as world, waiting(world) as (client, service, _):
        world.clock.move(HOUR_MS)
        await service.take_until_end()
        assert (await client.response()).reason == "EG102"
        assert world.recorder.outcomes == [(decision_id(0), "late", EXPIRED, True, 503)]
        assert world.observer.ends[-1][0] == "late"


async def test_bytes_of_which_some_left_nobody_knows_when_are_recorded_as_late() -> None:
    async with running(warm_connections=0) as world, waiting(world) as (_, service, upstream):
        before = left(upstream)
        world.clock.move(HOUR_MS)

        def some() -> bool:
            service.take(1024)
            return left(upstream) < before

        await world.until(some)
        assert upstream.full
        world.server._look(world.gate.snapshot)
        assert world.recorder.outcomes == [(decision_id(0), "late", EXPIRED, True, 503)]


async def test_bytes_that_never_left_are_no_late_ones() -> None:
    async with running(warm_connections=0) as world, waiting(world):
        [connection] = world.server._connections
        connection.tick(world.clock())
        world.clock.move(HOUR_MS)
        world.server._look(world.gate.snapshot)
        assert world.recorder.outcomes == [(decision_id(0), "abort", EXPIRED, True, 503)]


async def test_bytes_that_leave_in_time_are_no_late_ones() -> None:
    async with running(warm_connections=0) as world, waiting(world) as (client, service, upstream):
        taken = b""

        def all_left() -> bool:
            nonlocal taken
            taken += service.take()
            return not upstream.full

        await world.until(all_left)
        world.clock.move(HOUR_MS)
        world.server._look(world.gate.snapshot)
        assert (await client.response()).reason == "EG102"
        assert [end.kind for end in world.recorder.outcomes] == ["abort"]


async def test_bytes_that_wait_after_the_answer_leave_no_more_once_the_gate_is_closed() -> None:
    async with running(warm_connections=0) as world, waiting(world) as (client, service, _):
        service.sock.send(OK)
        assert (await client.response()).status == 200
        world.hold()
        assert len(await service.take_until_end()) < len(BODY)
        assert [end.kind for end in world.recorder.outcomes] == ["permit"]
