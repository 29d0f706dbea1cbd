"""What a policy says about records, as clients see it: answers that wait, and receipts."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sidecar.core import canonical, policy, recording
from sidecar.core.profile import BASELINE
from sidecar.core.reason import Reason
from tests.proxy.streams import CHAT
from tests.proxy.world import Client, Received, World, answer_ok, made_policy, request, running

EXEMPT = ("exempt", None, 200)
RECEIPT = b"epochgate/test/pod-1 0 bGVhZg=="


def ask_for(world: World, **audit: Any) -> None:
    """Go on under a policy that says this about records."""
    body = canonical.load(made_policy().raw, policy.Body, policy.MAX_BYTES)
    said = msgspec.structs.replace(body, audit=recording.Body(**audit))
    world.base = replace(world.base, policy=policy.parse(canonical.dump(said)))
    world.open()


async def answered(world: World) -> Client:
    """A client whose request was answered by the service, and that answer is with our kernel.

    Others are served meanwhile, so whatever would have been relayed has been.
    """
    done = asyncio.Event()

    async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
        await answer_ok(received, writer)
        await writer.drain()
        done.set()

    world.service.answer = answer
    client = await world.connect()
    client.send(CHAT)
    await done.wait()
    assert (await world.ask(request("GET", "/health"))).status == 200
    return client


async def test_a_strict_answer_waits_for_the_disk_and_then_comes_whole() -> None:
    async with running() as world:
        ask_for(world, durability="strict")
        client = await answered(world)
        assert world.observer.ends == [EXEMPT]
        [let_go] = world.recorder.awaited
        let_go()
        response = await client.response()
        assert (response.status, response.body, response.complete) == (200, b"ok", True)
        assert world.observer.ends == [EXEMPT, ("permit", None, 200)]


async def test_a_profile_makes_every_answer_wait_whatever_the_policy_says() -> None:
    async with running() as world:
        ask_for(world, durability="group")
        world.base = replace(world.base, profile=replace(BASELINE, strict=True))
        world.open()
        client = await answered(world)
        [let_go] = world.recorder.awaited
        let_go()
        assert (await client.response()).complete


async def test_room_at_the_client_does_not_let_a_strict_answer_go() -> None:
    async with running() as world:
        ask_for(world, durability="strict")
        client = await answered(world)
        for connection in world.server._connections:
            connection.resume_writing()
        assert (await world.ask(request("GET", "/health"))).status == 200
        assert world.observer.ends == [EXEMPT, EXEMPT]
        world.recorder.awaited[0]()
        assert (await client.response()).status == 200


async def test_a_gate_that_closes_meanwhile_is_the_answer() -> None:
    """As when the disk fails: nothing of what the service said is relayed."""
    async with running() as world:
        ask_for(world, durability="strict")
        client = await answered(world)
        world.hold(Reason.AUDIT_UNWRITABLE)
        response = await client.response()
        assert response.headers[b"x-epochgate-reason"] == b"EG702"
        world.recorder.awaited[0]()  # too late, and harmless
        assert world.observer.ends == [EXEMPT, ("cut", Reason.AUDIT_UNWRITABLE, 503)]


async def test_without_the_word_nothing_waits() -> None:
    async with running() as world:
        ask_for(world, durability="group")
        assert (await world.ask(CHAT)).status == 200
        assert world.recorder.awaited == []


@pytest.mark.parametrize("path", ["/v1/chat", "/secret"])
async def test_an_answer_carries_its_receipt(path: str) -> None:
    async with running() as world:
        ask_for(world, receipts=True)
        world.recorder.receipts["0123456789abcdef-0"] = RECEIPT
        response = await world.ask(request("GET", path))
        assert response.headers[b"x-epochgate-receipt"] == RECEIPT
        assert response.status == (200 if path == "/v1/chat" else 403)


async def test_an_answer_without_a_receipt_has_no_such_line() -> None:
    async with running() as world:
        ask_for(world, receipts=True)
        for path in ("/v1/chat", "/secret"):
            response = await world.ask(request("GET", path))
            assert b"x-epochgate-receipt" not in response.headers
