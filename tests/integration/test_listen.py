"""The listener of the real sidecar: its reasons, and Unix sockets. It needs no permission."""

import asyncio
import signal

import aiohttp
import pytest

from sidecar.core.reason import Reason
from tests.integration.harness import HOST, LIMIT_S, World
from tests.integration.reasons import produces


async def _vouched(world: World) -> None:
    world.hand.put_epoch(routes=world.routes)
    world.hand.pulse()
    world.hand.start()
    await world.sidecar.start()


@produces(Reason.UPSTREAM_MISMATCH)
@pytest.mark.sidecar(
    listen={"inbound": f"{HOST}:0", "status": f"{HOST}:0", "upstream": f"{HOST}:1"}
)
async def test_a_signed_route_that_leads_elsewhere_than_the_fixed_upstream_is_denied(
    world: World,
) -> None:
    await _vouched(world)
    await world.until(403, "EG303")
    assert world.service.requests == []


@produces(Reason.NOT_REDIRECTED)
@pytest.mark.sidecar(listen={"inbound": "0.0.0.0:0", "status": f"{HOST}:0", "transparent": True})
async def test_a_connection_that_nobody_redirected_is_denied(world: World) -> None:
    await _vouched(world)
    await world.until(403, "EG306")
    async with world.session.get(f"{world.sidecar.url}/health") as answer:
        assert (answer.status, answer.headers["x-epochgate-reason"]) == (403, "EG306")
    assert world.service.requests == []


UNIX = {"inbound": "unix:s", "status": f"{HOST}:0"}


async def _listening(world: World, times: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            told = [fact for fact in world.sidecar.facts() if fact.get("event") == "listening"]
            if len(told) == times:
                assert told[-1]["address"] == f"unix:{world.sidecar.folder / 's'}"
                return
            await asyncio.sleep(0.01)


async def _permitted(world: World) -> None:
    path = str(world.sidecar.folder / "s")
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session,
        asyncio.timeout(LIMIT_S),
    ):
        while True:
            url = "http://model/v1/chat/completions"
            async with session.post(url, json={"model": "m"}) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.01)


@pytest.mark.sidecar(listen=UNIX, workers=1)
async def test_a_unix_socket_outlives_a_kill_and_the_next_process_takes_it_over(
    world: World,
) -> None:
    await _serves(world, signal.SIGKILL, signal.SIGTERM)


@pytest.mark.sidecar(listen=UNIX, workers=2)
async def test_workers_share_a_unix_socket(world: World) -> None:
    await _serves(world, signal.SIGTERM)  # killed, its workers would serve until the lease ends


async def _serves(world: World, *ends: signal.Signals) -> None:
    world.hand.put_epoch(routes=world.routes)
    world.hand.pulse()
    world.hand.start()
    place = world.sidecar.folder / "s"
    for times, number in enumerate(ends, start=1):
        world.sidecar.spawn()
        await _listening(world, times)
        await _permitted(world)
        world.sidecar.end(number)
        assert place.exists() is (number == signal.SIGKILL)
    assert len(world.service.seen) == len(ends)
