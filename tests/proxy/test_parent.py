"""Tokens of parent decisions on the wire: who gets one, what comes of one that is shown."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.gate import Permit
from sidecar.core.head import RequestHead
from sidecar.core.instant import Now, WallMs
from sidecar.core.parent import NO_CLAIM, UNCHECKED, Claim, Tokens
from sidecar.core.policy_body import ParentBody
from sidecar.core.reason import Reason
from tests.proxy.world import Received, World, decision_id, made_policy, request, running

TOKENS = Tokens([bytes(range(32))], 1000)
PARENT = "fedcba9876543210-3"
MAX_AGE_MS = 5_000
NAME = b"x-epochgate-token"


def ask_for_parents(world: World, *, required: bool = False) -> None:
    """From now on the policy asks for parents."""
    asks = ParentBody(max_age_ms=MAX_AGE_MS, required=required)
    world.base = replace(world.base, policy=made_policy(parent=asks))
    world.open()


def child(world: World, verdict: Any = "permit", age_ms: int = 0, tokens: Tokens = TOKENS) -> str:
    """The header line of a request that descends from a decision."""
    token = tokens.make(PARENT, verdict, world.clock.wall - age_ms)
    return f"Parent-Decision: {token.decode()}\r\n"


def claimed(world: World) -> Claim:
    """By the request that was recorded last."""
    head = world.recorder.decisions[-1][1]
    assert head is not None
    return head.parent


def said(world: World, token: bytes | None) -> Claim:
    assert token is not None
    return TOKENS.claim([(b"parent-decision", token)], world.clock.wall)


async def test_a_permit_gives_the_same_token_to_service_and_client() -> None:
    async with running(tokens=TOKENS) as world:
        ask_for_parents(world)
        response = await world.ask(request())
        assert response.status == 200
        [seen] = world.service.received
        token = seen.value(NAME)
        assert token == response.headers[NAME]
        assert said(world, token) == Claim("permit", decision_id(0), 0)


@pytest.mark.parametrize(
    ("target", "headers", "reason"),
    [("/secret", "", "EG204"), ("/v1/chat", "Parent-Decision: x\r\n", "EG207")],
)
async def test_a_denial_gives_one_that_says_so(target: str, headers: str, reason: str) -> None:
    async with running(tokens=TOKENS) as world:
        ask_for_parents(world)
        response = await world.ask(request(target=target, headers=headers))
        assert (response.status, response.reason) == (403, reason)
        assert said(world, response.headers[NAME]) == Claim("deny", decision_id(0), 0)
        assert not world.service.received


async def test_an_answer_of_ours_says_deny_whatever_became_of_the_permit_behind_it() -> None:
    """Whoever got no answer of the service has nothing to act on."""
    async with running(tokens=TOKENS, response_ms=1_000) as world:
        ask_for_parents(world)

        async def never(received: Received, writer: asyncio.StreamWriter) -> None:
            world.clock.move(2_000)

        world.service.answer = never
        response = await world.ask(request())
        assert (response.status, response.reason) == (504, "EG022")
        assert said(world, world.service.received[0].value(NAME)).kind == "permit"
        assert said(world, response.headers[NAME]) == Claim("deny", decision_id(0), 0)


async def test_a_request_that_cannot_be_read_gets_one_too() -> None:
    async with running(tokens=TOKENS) as world:
        ask_for_parents(world)
        response = await world.ask(b"GET / HTTP/1.1\r\n\r\n")
        assert (response.status, response.reason) == (400, "EG001")
        assert said(world, response.headers[NAME]).kind == "deny"


async def test_a_request_names_its_parent_and_the_header_goes_on_as_it_came() -> None:
    async with running(tokens=TOKENS) as world:
        ask_for_parents(world, required=True)
        line = child(world, age_ms=MAX_AGE_MS)
        response = await world.ask(request(headers=line))
        assert response.status == 200
        assert claimed(world) == Claim("permit", PARENT, MAX_AGE_MS)
        [seen] = world.service.received
        assert seen.value(b"parent-decision") == line.split()[1].encode()


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize(
    "line",
    [
        lambda world: child(world, "deny"),
        lambda world: child(world, age_ms=MAX_AGE_MS + 1),
        lambda world: child(world, age_ms=-1001),
        lambda world: child(world, tokens=Tokens([bytes(32)], 0)),
        lambda world: child(world, "deny").replace("deny", "permit"),
        lambda world: child(world) + child(world),
        lambda world: child(world) + child(world).replace("Parent-", "parent_"),
        lambda world: child(world).replace("Parent-", "Parent_"),
        lambda world: child(world).replace("\r\n", ",\r\n"),
        lambda _: "Parent-Decision:\r\n",
    ],
)
async def test_a_child_of_no_young_permit_is_denied(line: Any, required: bool) -> None:  # noqa: FBT001
    async with running(tokens=TOKENS) as world:
        ask_for_parents(world, required=required)
        response = await world.ask(request(headers=line(world)))
        assert (response.status, response.reason) == (403, "EG207")
        assert world.recorder.denials == [Reason.PARENT_DENIED]
        assert not world.service.received


async def test_a_header_that_is_taken_away_on_the_way_is_not_there() -> None:
    """`Connection` strips it from what is forwarded: what was judged is what is sent."""
    async with running(tokens=TOKENS) as world:
        ask_for_parents(world)
        stripped = "Connection: parent-decision\r\n"
        assert (await world.ask(request(headers=child(world) + stripped))).status == 200
        assert claimed(world) == NO_CLAIM
        assert world.service.received[0].value(b"parent-decision") is None
        ask_for_parents(world, required=True)
        response = await world.ask(request(headers=child(world) + stripped))
        assert response.reason == "EG207"


async def test_without_a_key_nothing_passes_where_parents_are_asked_for() -> None:
    async with running() as world:
        ask_for_parents(world)
        for headers in ("", child(world)):
            response = await world.ask(request(headers=headers))
            assert (response.status, response.reason) == (503, "EG205")
            assert NAME not in response.headers
        assert claimed(world) == UNCHECKED
        assert not world.service.received


async def test_where_nobody_asks_nobody_gets_a_token_and_any_header_passes() -> None:
    async with running(tokens=TOKENS) as world:
        response = await world.ask(request(headers="Parent-Decision: anything\r\n"))
        assert response.status == 200
        assert NAME not in response.headers
        [seen] = world.service.received
        assert seen.value(NAME) is None
        assert seen.value(b"parent-decision") == b"anything"


@pytest.mark.parametrize("spelling", ["x-epochgate-token", "X_EPOCHGATE_TOKEN"])
async def test_neither_side_can_pass_a_token_as_if_it_were_ours(spelling: str) -> None:
    async with running(tokens=TOKENS) as world:
        ask_for_parents(world)

        async def forge(received: Received, writer: asyncio.StreamWriter) -> None:
            line = spelling.encode() + b": forged\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\n" + line + b"Content-Length: 2\r\n\r\nok")

        world.service.answer = forge
        response = await world.ask(request(headers=f"{spelling}: forged\r\n"))
        [seen] = world.service.received
        assert b"forged" not in seen.head
        assert b"forged" not in response.headers.values()
        assert said(world, response.headers[NAME]).kind == "permit"


async def test_an_exempt_request_needs_no_parent_and_gives_no_token() -> None:
    async with running(tokens=TOKENS) as world:
        ask_for_parents(world, required=True)
        response = await world.ask(request("GET", "/health", child(world, "deny")))
        assert response.status == 200
        assert NAME not in response.headers


async def test_a_parent_does_not_grow_old_while_a_connection_is_made() -> None:
    """A request is decided anew then, and what it claims was looked at when it came."""
    async with running(tokens=TOKENS) as world:
        ask_for_parents(world, required=True)
        plane, now = world.server._plane, world.clock()
        token = TOKENS.make(PARENT, "permit", now.wall - MAX_AGE_MS)
        head = RequestHead(b"POST", b"/v1/chat", b"/v1/chat", ((b"parent-decision", token),))
        assert isinstance(plane.decide(head, None, now), Permit)
        later = Now(now.boot, WallMs(now.wall + 1))
        assert isinstance(plane.decide(head, None, later), Permit)
        assert head.parent == Claim("permit", PARENT, MAX_AGE_MS)


async def test_a_stream_goes_on_while_its_parent_grows_old() -> None:
    async with running(tokens=TOKENS) as world:
        ask_for_parents(world, required=True)
        more = asyncio.Event()

        async def slow(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            await more.wait()
            writer.write(b"cd")

        world.service.answer = slow
        client = await world.connect()
        client.send(request(headers=child(world, age_ms=MAX_AGE_MS)))
        status, _ = await client.head()
        assert status == 200
        assert await client.reader.readexactly(2) == b"ab"
        world.clock.move(MAX_AGE_MS)
        ask_for_parents(world, required=True)  # another policy object: everything is judged anew
        more.set()
        assert await client.reader.readexactly(2) == b"cd"
