"""A rule that lets running exchanges outlive the lease, for as long as was signed."""

import asyncio

from sidecar.core.reason import Reason
from sidecar.core.snapshot import Hold, HoldKind
from tests.proxy.streams import streaming
from tests.proxy.world import DRAIN_MS, HOUR_MS, Client, World, request, running

DRAINED = request(target="/drain", body=b"{}")


async def begun(world: World) -> tuple[Client, asyncio.Event]:
    """A stream that has outlived its lease by one millisecond."""
    client, more = await streaming(world, asking=DRAINED)
    assert await client.chunk() == b"data: 1\n\n"
    world.clock.move(HOUR_MS + 1)
    return client, more


async def test_a_stream_is_relayed_while_it_drains() -> None:
    async with running() as world:
        client, more = await begun(world)
        world.clock.move(DRAIN_MS - 2)
        more.set()
        assert await client.chunk() == b"data: late\n\n"
        assert world.observer.cuts == []


async def test_a_new_request_is_denied_while_others_drain() -> None:
    async with running() as world:
        client, more = await begun(world)
        response = await world.ask(DRAINED)
        assert (response.status, response.reason) == (503, "EG102")
        more.set()
        assert await client.chunk() == b"data: late\n\n"


async def test_a_piece_after_the_drain_is_cut() -> None:
    async with running() as world:
        client, more = await begun(world)
        world.clock.move(DRAIN_MS)
        more.set()
        assert b"EG102" in await client.chunk()
        assert b"late" not in await client.ended()
        assert world.observer.cuts == [Reason.LEASE_EXPIRED]


async def test_a_silent_stream_is_cut_at_the_end_of_its_drain() -> None:
    async with running() as world:
        client, _ = await begun(world)
        [connection] = world.server._connections
        await world.until(lambda: connection.deadline == world.clock.boot + (DRAIN_MS - 1) * 10**6)
        world.clock.move(DRAIN_MS)
        assert b"EG102" in await client.chunk()


async def test_a_lease_that_comes_back_ends_the_drain() -> None:
    async with running() as world:
        client, more = await begun(world)
        world.clock.move(DRAIN_MS - 2)
        world.open()
        world.clock.move(DRAIN_MS)
        more.set()
        assert await client.chunk() == b"data: late\n\n"
        assert world.observer.cuts == []


async def test_a_silent_stream_outlives_the_drain_that_a_new_lease_has_ended() -> None:
    async with running() as world:
        client, more = await begun(world)
        [connection] = world.server._connections
        until = world.clock.boot + (DRAIN_MS - 1) * 10**6
        await world.until(lambda: connection.deadline == until)
        world.open()
        world.clock.move(DRAIN_MS)
        await world.until(lambda: connection.deadline != until)
        more.set()
        assert await client.chunk() == b"data: late\n\n"
        assert world.observer.ends == []


async def test_a_halt_cuts_what_drains() -> None:
    async with running() as world:
        client, _ = await begun(world)
        world.gate.place(Hold(Reason.HALT_GLOBAL, HoldKind.STICKY))
        assert b"EG901" in await client.chunk()
        assert world.observer.cuts == [Reason.HALT_GLOBAL]


async def test_a_rule_without_a_drain_is_cut_as_ever() -> None:
    async with running() as world:
        client, more = await streaming(world)
        await client.chunk()
        world.clock.move(HOUR_MS + 1)
        more.set()
        assert b"EG102" in await client.chunk()
