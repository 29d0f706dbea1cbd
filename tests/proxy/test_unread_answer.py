"""An answer of which the last bytes wait for a client that does not read."""

import asyncio
from contextlib import suppress
from typing import Any

from sidecar.core.reason import Reason
from tests.proxy.world import Client, Received, World, decision_id, request, running

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"  # several fit between one byte waiting and too many


async def asked(world: World) -> Client:
    """A client that reads nothing; the service has sent all, and we keep the end of it."""
    enough = asyncio.Event()

    async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        while not enough.is_set():
            writer.write(PIECE)
            await asyncio.sleep(0.001)
        writer.write(b"0\r\n\r\n")

    world.service.answer = answer
    client = await world.connect()
    ours: Any = client.writer.transport
    ours.pause_reading()
    client.send(request())
    await world.until(lambda: bool(world.service.received))
    [connection] = world.server._connections
    await world.until(lambda: bool(connection._unread))
    enough.set()
    await world.until(
        lambda: connection._exchange is not None and connection._exchange._response.done
    )
    assert connection._unread, "nothing waits, so nothing is shown"
    return client


def reads(client: Client) -> None:
    ours: Any = client.writer.transport
    ours.resume_reading()


async def test_it_is_cut_when_the_gate_closes() -> None:
    async with running() as world:
        client = await asked(world)
        world.hold()
        assert world.recorder.outcomes == [(decision_id(0), "abort", Reason.QUORUM_LOST, True, 200)]
        reads(client)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            assert not (await client.response()).complete


async def test_it_ends_when_it_is_read_and_the_connection_goes_on() -> None:
    async with running() as world:
        client = await asked(world)
        assert world.recorder.outcomes == []
        reads(client)
        assert (await client.response()).complete
        client.send(request())
        assert (await client.response()).complete
        assert [end.kind for end in world.recorder.outcomes] == ["permit", "permit"]


async def test_a_client_that_leaves_it_unread_is_on_record() -> None:
    async with running() as world:
        client = await asked(world)
        client.reset()
        await world.until(lambda: bool(world.recorder.outcomes))
        assert world.recorder.outcomes == [(decision_id(0), "abort", None, True, 0)]
