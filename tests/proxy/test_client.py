"""A client that does not read, or whose connection is one too many."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from sidecar.core.reason import Reason
from sidecar.proxy.connections import TOLD_MAX
from tests.proxy.world import WAIT_S, Client, Received, World, request, running

UNREAD_MS = 10_000
BUFFER_BYTES = 64 * 1024
PROGRESS_BYTES = 8 * 1024
PIECE_BYTES = 256 * 1024  # what is read from the service at once
STEP_BYTES = 512 * 1024  # more than a client's kernel keeps before it tells ours
BIG_BYTES = 8 * 1024 * 1024  # far more than the kernel takes on both sides of a connection
SETTINGS = {"unread_ms": UNREAD_MS, "buffer_bytes": BUFFER_BYTES, "progress_bytes": PROGRESS_BYTES}


async def big(received: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG_BYTES)
    for _ in range(BIG_BYTES // 65536):
        writer.write(b"x" * 65536)
        await writer.drain()


async def small(received: Received, writer: asyncio.StreamWriter) -> None:
    size = BUFFER_BYTES // 2
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, b"x" * size))


class Idler:
    """A client that reads only when told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = 0

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def read(self, size: int) -> None:
        """So many bytes, or all until the end."""
        loop = asyncio.get_running_loop()
        until = self.received + size
        while self.received < until:
            data = await asyncio.wait_for(loop.sock_recv(self.sock, until - self.received), WAIT_S)
            if not data:
                return
            self.received += len(data)


@asynccontextmanager
async def idler(world: World) -> AsyncIterator[Idler]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
        sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(sock, world.where)
        yield Idler(sock)
    await world.until(lambda: world.server.connections == 0)


def waiting(world: World) -> int:
    """Bytes of answers that wait in the process."""
    return sum(one._unread for one in world.server._connections)


async def stuck(world: World) -> None:
    """Until the answer waits for its reader, and nothing moves any more."""
    await world.until(lambda: any(one.write_full for one in world.server._connections))


async def passes(world: World, ms: int) -> None:
    """Let time pass for everybody; the tick of the server is not waited for."""
    world.clock.move(ms)
    for one in world.server._connections:
        one.tick(world.clock())
    await asyncio.sleep(0)


async def test_a_client_that_reads_nothing_is_cut_and_not_the_service_blamed() -> None:
    async with running(**SETTINGS, stream_ms=UNREAD_MS // 2) as world, idler(world) as client:
        world.service.answer = big
        await client.send(request("GET"))
        await stuck(world)
        assert waiting(world) < BUFFER_BYTES + PIECE_BYTES
        await passes(world, UNREAD_MS - 1)
        assert world.server.connections == 1
        await passes(world, 1)
        await world.until(lambda: world.server.connections == 0)
        assert world.observer.ends == [("gone", Reason.ANSWER_UNREAD, 0)]
        assert world.observer.malformed_requests == [Reason.ANSWER_UNREAD]
        with suppress(ConnectionResetError):
            await client.read(BIG_BYTES)
        assert client.received < BIG_BYTES
        await world.service_ended()


async def test_a_client_that_reads_a_piece_in_time_gets_its_whole_answer() -> None:
    async with running(**SETTINGS, stream_ms=UNREAD_MS // 2) as world, idler(world) as client:
        world.service.answer = big
        await client.send(request("GET"))
        for _ in range(4):
            await stuck(world)
            await passes(world, UNREAD_MS - 1)
            await client.read(STEP_BYTES)
        await client.read(BIG_BYTES - 4 * STEP_BYTES)
        await world.until(lambda: world.server.in_flight == 0)
        assert [end[0] for end in world.observer.ends] == ["permit"]


@pytest.mark.parametrize("half_closed", [False, True])
async def test_an_answer_that_is_never_read_to_its_end_keeps_no_connection(
    *, half_closed: bool
) -> None:
    """The exchange is over; what is left of its answer waits in our own buffer."""
    settings = {**SETTINGS, "idle_ms": 5000, "linger_ms": 1000}
    async with running(**settings) as world, idler(world) as client:
        world.service.answer = small
        while not waiting(world):  # answers, until one does not fit into the buffers of the kernel
            done = len(world.observer.ends)
            await client.send(request("GET"))
            while len(world.observer.ends) == done and not waiting(world):
                await asyncio.sleep(0.001)
        if half_closed:
            client.sock.shutdown(socket.SHUT_WR)
            await world.until(lambda: all(one.eof for one in world.server._connections))
        for _ in range(5 + UNREAD_MS // 1000 + 1):  # idle, then unread
            await passes(world, 1000)
        await world.until(lambda: world.server.connections == 0)


async def test_beyond_those_that_are_told_connections_are_closed_without_a_record() -> None:
    async with running(connections=1) as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        world.service.answer = answer
        (await world.connect()).send(request("GET"))
        await world.until(lambda: bool(world.service.received))
        count = TOLD_MAX + 50
        extra: list[Client] = [await world.connect() for _ in range(count)]
        told = [b"EG012" in await client.ended() for client in extra]
        assert sum(told) == TOLD_MAX
        assert world.recorder.denials == [Reason.CONNECTION_LIMIT] * TOLD_MAX
        assert world.observer.malformed_requests == [Reason.CONNECTION_LIMIT] * count
