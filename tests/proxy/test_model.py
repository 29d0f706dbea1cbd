"""A policy that asks for the model that a body names: what is read before the decision."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core import canonical, policy, policy_body, routes
from sidecar.core.gate import Permit
from sidecar.core.policy import Policy
from sidecar.core.reason import Reason
from sidecar.core.scoped import Scoped
from tests import clauses
from tests.proxy.world import Client, Received, World, made_policy, request, running

MAX_BYTES = 1024
JSON = "Content-Type: application/json\r\n"
GOOD, HALTED, OTHER = b'{"model": "good"}', b'{"model": "halted"}', b'{"models": "good"}'
EXPECT = "Expect: 100-continue\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def reading(max_bytes: int = MAX_BYTES) -> Policy:
    body = canonical.load(made_policy().raw, policy.Body, policy.MAX_BYTES)
    asks = {name: getattr(body, name) for name in body.__struct_fields__}
    asks["model"] = policy_body.ModelBody(max_bytes=max_bytes)
    return policy.parse(canonical.dump(policy.Body(**asks)))


def telling(world: World) -> routes.Routes:
    """The same routes, and the header x-model names a model."""
    raw = canonical.parse(world.base.routes.raw, policy.MAX_BYTES)
    assert isinstance(raw, dict)
    return routes.parse(canonical.encode({**raw, "attributes": {"model": "x-model"}}))


def republish(world: World, **changes: Any) -> None:
    world.base = replace(world.base, **changes)
    world.gate.publish(replace(world.base, lease=world.gate.snapshot.lease))


@asynccontextmanager
async def asking(max_bytes: int = MAX_BYTES, **changes: Any) -> AsyncIterator[World]:
    """A world whose policy reads bodies, under a halt of the model `halted`."""
    async with running(**changes) as world:
        halted = Scoped(models=frozenset({b"halted"}))
        republish(world, policy=reading(max_bytes), routes=telling(world), scoped=halted)
        yield world


def chunked(*pieces: bytes, headers: str = JSON) -> bytes:
    head = request(headers=headers + "Transfer-Encoding: chunked\r\n")
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def models(world: World) -> list[bytes | None]:
    return [head.model for _, head, _ in world.recorder.decisions if head is not None]


async def begun(world: World) -> Client:
    """A client that has sent a head and half of its body, which is held."""
    client = await world.connect()
    client.send(request(headers=JSON, body=GOOD)[:-4])
    await held(world)
    return client


async def held(world: World) -> None:
    await world.until(
        lambda: any(
            one._exchange is not None and one._exchange._intake.ahead
            for one in world.server._connections
        )
    )


# What is told, and what becomes of it.


async def test_a_halted_model_is_denied_by_its_body_and_another_passes() -> None:
    async with asking() as world:
        client = await world.connect()
        for body, status, reason in ((GOOD, 200, None), (HALTED, 503, "EG902"), (GOOD, 200, None)):
            client.send(request(headers=JSON, body=body))
            response = await client.response()
            assert (response.status, response.reason) == (status, reason)
        assert models(world) == [b"good", b"halted", b"good"]
        assert [seen.body for seen in world.service.received] == [GOOD, GOOD]


@pytest.mark.parametrize(
    ("said", "body", "reason"),
    [
        ("good", GOOD, None),
        ("good", HALTED, "EG902"),
        ("halted", GOOD, "EG902"),
        ("good", OTHER, "EG902"),
        ("other", GOOD, "EG902"),  # which of the two is it? one of them may be halted
        ("good,good", GOOD, "EG902"),
    ],
)
async def test_header_and_body_both_count(said: str, body: bytes, reason: str | None) -> None:
    async with asking() as world:
        response = await world.ask(request(headers=f"{JSON}X-Model: {said}\r\n", body=body))
        assert response.reason == reason
        assert len(world.service.received) == (reason is None)


async def test_without_a_halt_a_request_that_names_two_models_is_denied_all_the_same() -> None:
    async with asking() as world:
        republish(world, scoped=None)
        response = await world.ask(request(headers=f"{JSON}X-Model: other\r\n", body=GOOD))
        assert (response.status, response.reason) == (403, "EG204")
        response = await world.ask(request(headers=f"{JSON}X-Model: good\r\n", body=GOOD))
        assert response.status == 200


async def test_an_expression_is_told_the_model_of_the_body_and_nothing_when_it_is_not_certain() -> (
    None
):
    async with running() as world:
        body = canonical.parse(reading().raw, policy.MAX_BYTES)
        assert isinstance(body, dict)
        only: list[canonical.Json] = [
            {"expression": clauses.equals("request.model", "good"), "name": "only-good"}
        ]
        asks = policy.parse(canonical.encode({**body, "validations": only}))
        republish(world, policy=asks, routes=telling(world))
        for said, sent, status in (
            ("", GOOD, 200), ("", HALTED, 403), ("", OTHER, 403),
            ("X-Model: good\r\n", GOOD, 200), ("X-Model: good\r\n", HALTED, 403),
            ("X-Model: good\r\n", OTHER, 403), ("X-Model: other\r\n", GOOD, 403),
        ):  # fmt: skip
            response = await world.ask(request(headers=JSON + said, body=sent))
            assert response.status == status


JSON_GZIP = JSON + "Content-Encoding: gzip\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        request(headers=JSON, body=OTHER),
        request(headers=JSON, body=b"no json"),
        request(headers=JSON, body=b'{"model":"good","mod\\u0065l":"halted"}'),
        request(headers=JSON, body=b'{"model":1}'),
        request(headers=JSON, body=b'{"model":"good","a":"\xff"}'),
        request(headers=JSON, body=b'{"a":"' + b"x" * MAX_BYTES + b'","model":"good"}'),
        request(headers=JSON_GZIP, body=GOOD),
        request(headers="Content-Type: text/plain\r\n", body=GOOD),
        request(body=GOOD),
        chunked(b"", headers=JSON),
        chunked(GOOD, b" " * MAX_BYTES) + b"0\r\n\r\n",
        chunked(*[b" " * 100] * 20, GOOD) + b"0\r\n\r\n",
        chunked(GOOD, headers="") + b"0\r\n\r\n",
    ],
    ids=lambda raw: raw.rpartition(b"\r\n\r\n")[2][:20] or raw[-40:-20],
)
async def test_a_body_that_tells_nothing_is_denied_where_a_halt_asks_and_passes_elsewhere(
    raw: bytes,
) -> None:
    """Oversize, too: what is longer than the policy wants to know is unknown, and not too large."""
    async with asking() as world:
        response = await world.ask(raw)
        assert response.reason == "EG902"
        assert world.service.received == []
        republish(world, scoped=None)
        response = await world.ask(raw)
        assert response.status == 200
        assert models(world) == [b"", b""]
        [seen] = world.service.received
        assert seen.complete
        if b"chunked" not in raw:
            assert seen.body == raw.partition(b"\r\n\r\n")[2]


async def test_a_body_that_is_larger_than_all_bodies_may_be_is_too_large() -> None:
    async with asking(4000, body_bytes=2000) as world:
        response = await world.ask(chunked(b" " * 900, b" " * 900, b" " * 900))
        assert (response.status, response.reason) == (413, "EG004")


async def test_a_body_in_many_pieces_is_forwarded_byte_for_byte() -> None:
    async with asking() as world:
        raw = request(headers=JSON, body=GOOD)
        client = await world.connect()
        for index in range(len(raw)):
            client.send(raw[index : index + 1])
            await asyncio.sleep(0)
        assert (await client.response()).status == 200
        client.send(chunked(*(GOOD[i : i + 1] for i in range(len(GOOD)))))
        await held(world)
        assert len(world.service.received) == 1
        client.send(b"0\r\nx-trailer: gone\r\n\r\n")
        assert (await client.response()).status == 200
        first, second = world.service.received
        assert (first.body, second.body) == (GOOD, GOOD)
        assert first.value(b"content-length") == b"%d" % len(GOOD)
        assert second.value(b"transfer-encoding") == b"chunked"
        assert models(world) == [b"good", b"good"]


async def test_a_body_of_exactly_the_limit_is_read_and_of_one_more_is_not() -> None:
    def padded(size: int) -> bytes:
        return GOOD + b" " * (size - len(GOOD))

    async with asking() as world:
        for size in (MAX_BYTES, MAX_BYTES + 1):
            await world.ask(request(headers=JSON, body=padded(size)))
            await world.ask(chunked(padded(size)) + b"0\r\n\r\n")
        assert models(world) == [b"good", b"good", b"", b""]


async def test_the_rest_of_a_long_body_streams_as_ever() -> None:
    async with asking() as world:
        republish(world, scoped=None)
        client = await world.connect()
        client.send(chunked(GOOD, b" " * MAX_BYTES))
        await world.until(lambda: bool(world.service.received))
        client.send(b"3\r\nabc\r\n")
        client.send(b"0\r\n\r\n")
        assert (await client.response()).status == 200
        assert world.service.received[0].body == GOOD + b" " * MAX_BYTES + b"abc"
        assert world.recorder.permits == 1


async def test_a_large_body_is_held_whole_and_taken_by_a_slow_service() -> None:
    """Memory is bounded by what the policy says; what waits for the service holds the client."""
    size = 1024 * 1024
    async with asking(size, buffer_bytes=64 * 1024, warm_connections=0) as world:
        go_on = world.service.take_no_body()
        body = GOOD + b" " * (size - len(GOOD))
        client = await world.connect()
        client.send(request(headers=JSON, body=body) + request(headers=JSON, body=GOOD))
        await world.until(lambda: world.recorder.permits == 1)
        go_on.set()
        assert (await client.response()).status == 200
        assert (await client.response()).status == 200
        assert [seen.body for seen in world.service.received] == [body, GOOD]


# Requests that need no reading.


async def test_a_request_without_a_body_is_judged_by_its_header() -> None:
    async with asking() as world:
        for said, status in (("good", 200), ("halted", 503)):
            response = await world.ask(request("GET", headers=f"X-Model: {said}\r\n"))
            assert response.status == status
        response = await world.ask(request(headers="X-Model: good\r\nContent-Length: 0\r\n"))
        assert response.status == 200
        assert models(world) == [None, None, None]


async def test_a_policy_that_does_not_ask_reads_nothing() -> None:
    async with running() as world:
        client = await world.connect()
        client.send(request(headers=JSON, body=GOOD)[:-1])
        await world.until(lambda: bool(world.service.received))
        client.send(GOOD[-1:])
        assert (await client.response()).status == 200
        assert models(world) == [None]


@pytest.mark.parametrize(
    ("target", "closed", "reason"),
    [("/v1/chat", True, "EG801"), ("/x//y", False, "EG302")],
)
async def test_what_no_body_can_change_is_said_without_waiting_for_it(
    target: str, closed: object, reason: str
) -> None:
    async with asking() as world:
        if closed:
            world.hold()
        client = await world.connect()
        client.send(request(target=target, headers=JSON + EXPECT + "Content-Length: 9\r\n"))
        response = await client.response()
        assert response.reason == reason
        assert await client.ended() == b""
        assert world.service.connections <= 1


async def test_an_exempt_target_is_answered_whatever_the_policy_reads() -> None:
    async with asking() as world:
        world.hold()
        assert (await world.ask(request("GET", "/health"))).status == 200


# Time passes while the body arrives.


async def test_the_decision_is_made_when_the_body_has_arrived() -> None:
    async with asking() as world:
        client = await begun(world)
        world.clock.move(1000)
        assert world.recorder.decisions == []
        assert world.service.total_bytes == 0
        client.send(GOOD[-4:])
        assert (await client.response()).status == 200
        [(decision, _, _)] = world.recorder.decisions
        assert isinstance(decision, Permit)


async def test_a_lease_that_ends_while_the_body_arrives_denies() -> None:
    async with asking() as world:
        world.open(1000)
        client = await begun(world)
        world.clock.move(1000)
        client.send(GOOD[-4:])
        response = await client.response()
        assert (response.status, response.reason) == (503, "EG102")
        assert world.service.total_bytes == 0


async def test_a_gate_that_closes_while_the_body_arrives_answers_at_once() -> None:
    async with asking() as world:
        client = await begun(world)
        world.hold(Reason.HALT_GLOBAL)
        response = await client.response()
        assert (response.status, response.reason) == (503, "EG901")
        assert await client.ended() == b""
        assert world.recorder.denials == [Reason.HALT_GLOBAL]


async def test_a_halt_of_the_model_while_its_body_arrives_denies() -> None:
    async with asking() as world:
        republish(world, scoped=None)
        client = await begun(world)
        republish(world, scoped=Scoped(models=frozenset({b"good"})))
        client.send(GOOD[-4:])
        assert (await client.response()).reason == "EG902"
        assert world.service.received == []


async def test_a_policy_that_begins_to_ask_before_a_request_is_sent_is_obeyed() -> None:
    """While the connection is being made another epoch takes effect: nothing has been read yet."""
    async with running(warm_connections=0) as world:
        client = await world.connect()
        client.send(request(headers=JSON, body=GOOD)[:-4])
        while not world.server.in_flight:
            await asyncio.sleep(0)  # one turn: a connection takes more
        [connection] = world.server._connections
        assert connection._exchange is not None
        assert not connection._exchange.sent
        halted = Scoped(models=frozenset({b"halted"}))
        republish(world, policy=reading(), routes=telling(world), scoped=halted)
        client.send(GOOD[-4:])
        assert (await client.response()).status == 200
        assert models(world) == [b"good"]


async def test_a_policy_that_asks_no_more_lets_what_was_held_go() -> None:
    async with asking() as world:
        client = await begun(world)
        republish(world, policy=made_policy(), scoped=None)
        client.send(GOOD[-4:])
        assert (await client.response()).status == 200
        assert world.service.received[0].body == GOOD


async def test_a_body_that_stalls_or_trickles_is_408_and_the_service_hears_nothing() -> None:
    async with asking(body_ms=1000) as world:
        client = await begun(world)
        world.clock.move(600)
        client.send(b"x")
        await asyncio.sleep(0.01)
        assert world.recorder.decisions == []
        world.clock.move(600)
        response = await client.response()
        assert (response.status, response.reason) == (408, "EG005")
        assert await client.ended() == b""
        assert world.service.total_bytes == 0


async def test_a_total_time_counts_while_a_body_is_held() -> None:
    async with asking(total_ms=1000) as world:
        client = await begun(world)
        world.clock.move(1000)
        assert (await client.response()).reason == "EG005"


async def test_a_client_that_ends_within_a_held_body_is_400() -> None:
    async with asking() as world:
        client = await begun(world)
        client.writer.write_eof()
        response = await client.response()
        assert (response.status, response.reason) == (400, "EG001")
        assert world.service.total_bytes == 0


async def test_a_client_that_leaves_within_a_held_body_leaves_nothing_behind() -> None:
    async with asking() as world:
        client = await begun(world)
        client.reset()
        await world.until(lambda: world.server.connections == 0)
        assert world.observer.ends == [("gone", None, 0)]
        assert world.recorder.decisions == []


async def test_a_held_body_that_is_malformed_is_400_and_nothing_after_it_is_read() -> None:
    async with asking() as world:
        client = await world.connect()
        client.send(chunked(GOOD) + b"zz\r\n" + request(headers=JSON, body=GOOD))
        assert (await client.response()).reason == "EG001"
        assert await client.ended() == b""
        assert world.service.total_bytes == 0


# The client that waits for a 100, and the one that does not wait at all.


async def test_a_client_that_expects_100_is_told_to_go_on_once_and_the_service_is_not_asked() -> (
    None
):
    async with asking() as world:
        client = await world.connect()
        client.send(request(headers=f"{JSON}{EXPECT}Content-Length: {len(GOOD)}\r\n"))
        assert (await client.head())[0] == 100
        assert world.service.total_bytes == 0
        client.send(GOOD)
        assert (await client.response()).status == 200
        [seen] = world.service.received
        assert seen.value(b"expect") is None
        assert seen.body == GOOD
        client.send(request(headers=JSON, body=GOOD))
        assert (await client.response()).status == 200


async def test_a_100_that_was_promised_is_not_sent_again_for_the_rest_of_a_long_body() -> None:
    async with asking() as world:
        republish(world, scoped=None)

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(CONTINUE + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        world.service.answer = answer
        client = await world.connect()
        client.send(chunked(headers=JSON + EXPECT))
        assert (await client.head())[0] == 100
        client.send(chunked(b" " * (MAX_BYTES + 1)).partition(b"\r\n\r\n")[2] + b"0\r\n\r\n")
        assert (await client.response()).status == 200


async def test_a_client_that_expects_100_is_denied_when_it_has_sent_a_halted_model() -> None:
    async with asking() as world:
        client = await world.connect()
        client.send(request(headers=f"{JSON}{EXPECT}Content-Length: {len(HALTED)}\r\n"))
        assert (await client.head())[0] == 100
        client.send(HALTED)
        assert (await client.response()).reason == "EG902"
        client.send(request(headers=JSON, body=GOOD))  # all of it was read: the connection stays
        assert (await client.response()).status == 200


async def test_a_body_that_tells_nothing_leaves_the_100_to_the_service() -> None:
    async with asking() as world:
        republish(world, scoped=None)
        body = GOOD + b" " * MAX_BYTES
        client = await world.connect()
        client.send(request(headers=f"{JSON}{EXPECT}Content-Length: {len(body)}\r\n"))
        await world.until(lambda: bool(world.service.received))
        assert world.service.received[0].value(b"expect") == b"100-continue"
        client.send(body)
        assert (await client.response()).status == 200


async def test_pipelined_requests_each_have_the_model_of_their_own_body() -> None:
    async with asking() as world:
        bodies = [GOOD, HALTED, GOOD, OTHER, GOOD]
        raw = b"".join(request(headers=JSON, body=body) for body in bodies)
        raw += chunked(HALTED) + b"0\r\n\r\n" + request("GET", headers="X-Model: good\r\n")
        client = await world.connect()
        client.send(raw)
        reasons = [(await client.response()).reason for _ in range(7)]
        assert reasons == [None, "EG902", None, "EG902", None, "EG902", None]
        assert [seen.body for seen in world.service.received] == [GOOD, GOOD, GOOD, b""]
        assert models(world) == [b"good", b"halted", b"good", b"", b"good", b"halted", None]


async def test_attack_by_a_request_inside_a_body() -> None:
    """What looks like a second request is the body of the first, to us and to the service."""
    inner = request(headers=JSON, body=GOOD)
    async with asking() as world:
        client = await world.connect()
        client.send(request(headers=JSON, body=HALTED + inner))
        assert (await client.response()).reason == "EG902"
        client.send(request(headers=JSON, body=GOOD))
        assert (await client.response()).status == 200
        assert len(world.service.received) == 1


async def test_a_flood_of_tiny_chunks_is_held_in_turns() -> None:
    async with asking(4096) as world:
        body = GOOD + b" " * 2000
        client = await world.connect()
        client.send(chunked(*(body[i : i + 1] for i in range(len(body)))) + b"0\r\n\r\n")
        assert (await client.response()).status == 200
        assert world.service.received[0].body == body
        assert models(world) == [b"good"]
