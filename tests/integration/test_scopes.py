"""Halts of a part, tenants of an epoch, and an epoch that observes, through the real sidecar."""

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from sidecar import clock
from sidecar.core import canonical, policy
from sidecar.core.objects import halt
from sidecar.core.objects.epoch import Scope
from sidecar.core.reason import Reason
from tests import builders
from tests.integration.harness import HOST, LIMIT_S, World
from tests.integration.reasons import produces

CHAT, OTHER = "/v1/chat/completions", "/v1/other"
GLOBEX = {"x-model": "small", "x-tenant": "globex"}
NO_RULES = canonical.encode({"_type": policy.TYPE, "name": "none", "rules": []})


def table(world: World) -> bytes:
    """Two routes to one service; model and tenant stand in headers."""
    return builders.routes_bytes(
        world.service.port,
        routes=[
            {"name": "chat", "paths": ["/v1/chat/**"], "upstream": "model"},
            {"name": "other", "paths": ["/v1/**"], "upstream": "model"},
        ],
        attributes={"model": "x-model", "tenant": "x-tenant"},
    )


async def opened(world: World, **changes: Any) -> None:
    """Serving under that table."""
    world.hand.put_epoch(**{"routes": table(world), **changes})
    world.hand.pulse()
    world.hand.start()
    await world.sidecar.start()
    await permitted(world, OTHER, GLOBEX)


async def answer(world: World, path: str, headers: dict[str, str]) -> tuple[int, str]:
    return (await world.ask(path, headers=headers))[:2]


async def permitted(world: World, path: str, headers: dict[str, str]) -> None:
    await until(world, path, headers, (200, ""))


async def until(world: World, path: str, headers: dict[str, str], wanted: tuple[int, str]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await answer(world, path, headers) != wanted:
            await asyncio.sleep(0.01)


def stop(world: World, kind: str, value: str, number: int = 1) -> str:
    """Put a halt on one peer of three; its id."""
    scope = msgspec.convert({"kind": kind, "value": value}, halt.Scope)
    raw = world.hand.order(scope=scope, number=number)
    world.hand.put_order(raw, 1)
    return halt.open_order(raw, world.hand.trust, clock.now().wall).says.halt_id


def clear(world: World, halt_id: str) -> None:
    world.hand.put_order(world.hand.order(clears=halt_id))


async def known(world: World, halt_id: str) -> dict[str, Any]:
    """What the status port says about a halt, once it does."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            for said in (await world.state())["halts"]:
                if said["id"] == halt_id:
                    return dict(said)
            await asyncio.sleep(0.01)


async def figures(world: World) -> str:
    async with world.session.get(f"http://{HOST}:{world.sidecar.status}/metrics") as response:
        return await response.text()


@produces(Reason.HALT_SCOPED)
@pytest.mark.parametrize("kind", ["service", "instance"])
async def test_a_halt_of_this_sidecar_holds_it_and_ends_with_its_clear(
    world: World, kind: str
) -> None:
    await opened(world)
    name = str((await world.state())[kind])
    elsewhere = await known(world, stop(world, kind, "elsewhere"))
    assert (elsewhere["scope"], elsewhere["stops"]) == (kind, "nothing")
    assert await answer(world, OTHER, GLOBEX) == (200, "")
    halt_id = stop(world, kind, name, number=2)
    await until(world, OTHER, GLOBEX, (503, "EG902"))
    state = await world.state()
    assert (state["state"], state["reason"]) == ("halted", "EG902")
    assert {"reason": "EG902", "kind": "sticky", "evidence": halt_id} in state["holds"]
    assert (await known(world, halt_id))["stops"] == "all"
    assert f'epochgate_halts_active{{scope="{kind}"}} 2.0' in await figures(world)
    async with world.session.get(world.sidecar.url + "/health") as response:
        assert response.status == 200
    clear(world, halt_id)
    await permitted(world, OTHER, GLOBEX)


@produces(Reason.HALT_SCOPED)
@pytest.mark.parametrize(
    ("kind", "value", "path", "headers"),
    [
        ("route", "chat", CHAT, GLOBEX),
        ("model", "big", OTHER, {**GLOBEX, "x-model": "big"}),
        ("model", "big", OTHER, {"x-tenant": "globex"}),
        ("model", "big", OTHER, {**GLOBEX, "x_model": "big"}),
        ("tenant", "acme", OTHER, {**GLOBEX, "x-tenant": "acme"}),
        ("tenant", "acme", OTHER, {**GLOBEX, "x-tenant": "globex, acme"}),
    ],
)
async def test_a_halt_of_some_requests_stops_them_and_no_others(
    world: World, kind: str, value: str, path: str, headers: dict[str, str]
) -> None:
    await opened(world)
    await permitted(world, path, headers)
    halt_id = stop(world, kind, value)
    await until(world, path, headers, (503, "EG902"))
    status, reason, body = await world.ask(path, headers=headers)
    assert (status, reason, body["retryable"]) == (503, "EG902", False)
    # Not counted: one that was permitted before may still be on its way to the service.
    decision_id = body["instance"].rpartition(":")[2]
    assert decision_id not in world.service.seen, "it reached the service"
    assert await answer(world, OTHER, GLOBEX) == (200, "")
    assert (await world.state())["state"] == "running"
    said = await known(world, halt_id)
    assert (said["scope"], said["value"], said["stops"]) == (kind, value, "matching")
    lines = [line for line in world.sidecar.records() if line["type"] == "decision"]
    denied = [line for line in lines if line["reason"] == "EG902"]
    assert {line["decision"] for line in denied} == {"deny"}
    [order] = [line["detail"] for line in world.sidecar.records() if line["type"] == "halt"]
    assert (order["id"], order["scope"]) == (halt_id, {"kind": kind, "value": value})
    clear(world, halt_id)
    await permitted(world, path, headers)


@pytest.mark.parametrize("kind", ["model", "tenant"])
async def test_a_halt_that_the_route_table_cannot_tell_apart_stops_every_request(
    world: World, kind: str
) -> None:
    await world.open()
    stop(world, kind, "acme")
    await until(world, OTHER, GLOBEX, (503, "EG902"))


async def test_a_drill_stops_nothing(world: World) -> None:
    await opened(world)
    stop(world, "drill", "")
    marker = stop(world, "route", "nowhere", number=2)
    await known(world, marker)
    assert await answer(world, OTHER, GLOBEX) == (200, "")


async def begun(world: World, path: str) -> aiohttp.ClientResponse:
    """A stream of two seconds whose first event has come."""
    body = {"model": "m", "stream": True, "max_tokens": 100}
    response = await world.session.post(world.sidecar.url + path, json=body, headers=GLOBEX)
    assert response.status == 200
    assert (await response.content.readline()).startswith(b"data: ")
    return response


async def rest(response: aiohttp.ClientResponse) -> bytes:
    """What else came; a stream that is cut ends without its last chunk."""
    parts = bytearray()
    async with response:
        try:
            async for part in response.content.iter_any():
                parts += part
        except aiohttp.ClientPayloadError:
            pass
    return bytes(parts)


async def one_stream_is_cut_and_one_goes_on(world: World) -> None:
    cut, goes_on = await begun(world, CHAT), await begun(world, OTHER)
    # On all peers: one that a round has read already must not be the only one that knows of it.
    scope = msgspec.convert({"kind": "route", "value": "chat"}, halt.Scope)
    world.hand.put_order(world.hand.order(scope=scope))
    first, second = await asyncio.gather(rest(cut), rest(goes_on))
    assert b"event: error" in first
    assert b'"EG902"' in first
    assert b"[DONE]" not in first
    assert second.endswith(b"data: [DONE]\n\n")
    assert b"event: error" not in second


async def test_a_route_halt_cuts_its_running_stream_while_another_goes_on(world: World) -> None:
    await opened(world)
    await one_stream_is_cut_and_one_goes_on(world)
    assert 'epochgate_streams_cut_total{reason="EG902"} 1.0' in await figures(world)


@produces(Reason.HALT_SCOPED)
@pytest.mark.sidecar(workers=2)
async def test_a_halt_of_a_part_reaches_every_worker(world: World) -> None:
    await opened(world)
    await one_stream_is_cut_and_one_goes_on(world)
    for _ in range(40):  # new connections, so that both workers are asked
        async with aiohttp.ClientSession() as session:
            async with session.post(world.sidecar.url + CHAT, json={}) as response:
                assert response.headers["x-epochgate-reason"] == "EG902"
            async with session.post(world.sidecar.url + OTHER, json={}) as response:
                assert response.status == 200
    by = {line["inst"] for line in world.sidecar.records() if line.get("reason") == "EG902"}
    assert len({name.rpartition("-")[2] for name in by}) == 2


async def test_an_epoch_for_some_tenants_serves_them_alone(world: World) -> None:
    await opened(world, scope=Scope(services=(), regions=(), tenants=("globex",), instances=()))
    assert (await world.state())["epoch"]["tenants"] == ["globex"]
    for headers in ({}, {"x-tenant": "acme"}, {"x-tenant": "globex, acme"}):
        assert await answer(world, OTHER, headers) == (403, "EG204")
    world.hand.put_epoch(routes=table(world))
    await permitted(world, OTHER, {})


async def test_an_epoch_that_observes_lets_through_and_tells_what_it_would_have_denied(
    world: World,
) -> None:
    await opened(world, enforcement="observe", policy=NO_RULES)
    assert (await world.state())["epoch"]["enforcement"] == "observe"
    async with world.session.post(world.sidecar.url + CHAT, json={}) as response:
        assert response.status == 200
        assert response.headers["x-epochgate-decision"] == "permit"
        assert response.headers["x-epochgate-observed"] == "EG204"
    decisions = [line for line in world.sidecar.records() if line["type"] == "decision"]
    last = decisions[-1]
    assert (last["decision"], last["reason"], last["rule"]) == ("permit", "EG204", None)
    shown = await figures(world)
    assert 'epochgate_decisions_total{decision="observe",reason="EG204"}' in shown
    assert 'epochgate_decisions_total{decision="permit",reason="none"} 0.0' in shown

    # Everything but the policy denies as ever.
    assert await answer(world, "/nowhere", GLOBEX) == (403, "EG302")
    halt_id = stop(world, "route", "chat")
    await until(world, CHAT, GLOBEX, (503, "EG902"))
    clear(world, halt_id)
    await permitted(world, CHAT, GLOBEX)

    # The same policy, enforced: what runs is cut, what comes is denied.
    running = await begun(world, CHAT)
    world.hand.put_epoch(routes=table(world), policy=NO_RULES)
    assert b'"EG204"' in await rest(running)
    assert await answer(world, CHAT, GLOBEX) == (403, "EG204")

    await world.hand.stop()
    await until(world, CHAT, GLOBEX, (503, "EG102"))
