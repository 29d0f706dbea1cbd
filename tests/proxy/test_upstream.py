"""Upstream connections: nothing without a permit, nothing from a connection in doubt."""

import asyncio
import socket

import pytest

from sidecar.core.gate import Denial, Exempt
from sidecar.core.reason import Reason
from sidecar.core.routes import Upstream as Address
from sidecar.core.snapshot import CLOSED
from sidecar.proxy.upstream import Pool, Upstream
from tests.proxy.world import World, running


async def connected(world: World) -> tuple[Pool, Address, Upstream]:
    pool = world.server._pool
    address = Address("local", "127.0.0.1", world.service.port)
    made: asyncio.Future[Upstream | None] = asyncio.get_running_loop().create_future()
    pool.connect(address, made.set_result)
    upstream = await made
    assert upstream is not None
    return pool, address, upstream


async def test_nothing_is_sent_without_a_permit_or_an_exemption() -> None:
    async with running() as world:
        _, address, upstream = await connected(world)
        for decision in (None, True, Denial(Reason.STARTING, CLOSED)):
            with pytest.raises((RuntimeError, TypeError)):
                upstream.send(decision, b"GET / HTTP/1.1\r\n\r\n", None)  # type: ignore[arg-type]
        with pytest.raises(RuntimeError):
            upstream.relay(b"GET / HTTP/1.1\r\n\r\n")
        elsewhere = Exempt(Address("x", "127.0.0.1", 1))
        with pytest.raises(RuntimeError):
            upstream.send(elsewhere, b"GET / HTTP/1.1\r\n\r\n", None)  # type: ignore[arg-type]
        upstream.abort()
        with pytest.raises(RuntimeError):
            upstream.send(Exempt(address), b"GET / HTTP/1.1\r\n\r\n", None)  # type: ignore[arg-type]
        assert world.service.total_bytes == 0


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async with running(warm_connections=0) as world:
        _, _, upstream = await connected(world)
        upstream.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
        assert upstream.lost
        assert not upstream.ready


async def test_a_warm_connection_is_taken_once_and_replaced() -> None:
    async with running(warm_connections=2) as world:
        pool, address, upstream = await connected(world)
        await world.until(lambda: len(pool._warm[address]) == 2)
        one, other = pool.take(address), pool.take(address)
        assert one is not None
        assert other is not None
        assert len({id(one), id(other), id(upstream)}) == 3
        for item in (one, other, upstream):
            item.abort()
        await world.until(lambda: pool.count == 2)


async def test_new_routes_drop_what_is_warm() -> None:
    async with running(warm_connections=2) as world:
        pool, address, upstream = await connected(world)
        upstream.abort()
        await world.until(lambda: pool.count == 2)
        pool.clear()
        assert pool.take(address) is None
        await world.until(lambda: pool.count == 0)


async def test_nobody_there_is_told_as_none() -> None:
    async with running() as world:
        await world.service.close()
        made: asyncio.Future[Upstream | None] = asyncio.get_running_loop().create_future()
        world.server._pool.connect(
            Address("local", "127.0.0.1", world.service.port), made.set_result
        )
        assert await made is None


async def test_what_is_written_is_in_the_kernel_when_the_write_returns() -> None:
    """The clocks are read right after the write; bytes sent by the loop later would escape that."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
        taken, _ = listener.accept()
        with taken:
            taken.settimeout(0)
            transport.write(b"now")
            assert taken.recv(16) == b"now"
        transport.abort()
        await asyncio.sleep(0)
