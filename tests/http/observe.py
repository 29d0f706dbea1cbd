"""Runs a row against a real server and says what became of it.

The client is a bare socket: a reset does not lose the answer that came before it. After an input
that is served a probe follows on the same connection, so that "kept" means that the next request
there was understood, and the end of the connection shows that nothing else came.
"""

import asyncio
import random
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, cast

from sidecar.config import sections
from sidecar.core import canonical, policy, routes
from sidecar.core.gate import Denial, Permit
from tests.http.behind import ADDRESS, PROBE, Behind, Seen, turn
from tests.http.catalogue_target import ODD_PATHS
from tests.http.rows import Row, Sent, get
from tests.proxy.world import WAIT_S, World

BYTE_BY_BYTE_MAX = 3000  # larger inputs are cut in many pieces of random size instead
PIECES = 60
LINGER_TURNS = 50  # after which a connection that waits for its client has waited long enough
PROBE_REQUEST = get("Connection: close", line="GET /probe HTTP/1.1")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input, the probe apart.

    Attributes:
        answers: Status of each answer, with the reason code of one that is ours.
        closed: Whether the connection ended without an answer to the probe.
        sent: Complete requests that reached the service.
        permits: Permits in the records.
        begun: Requests that reached the service and were never completed.
        other_bytes: Bytes that reached it and are not of a complete request.
    """

    answers: tuple[str, ...]
    closed: bool
    sent: tuple[Sent, ...]
    permits: int
    begun: int = 0
    other_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def reason(self) -> str:
        """Our code, or nothing."""
        return self.headers.get(b"x-epochgate-reason", b"").decode()

    def __str__(self) -> str:
        return f"{self.status} {self.reason}".strip()


def expected(row: Row) -> Outcome:
    """What must become of a row."""
    return Outcome(row.answers, row.closes, row.sent, permits=len(row.sent))


@asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[World]:
    """A world whose service counts bytes and whose routes know the odd paths."""
    world = World(_settings(changes))
    world.service = Behind()
    await world.start()
    world.base = replace(world.base, policy=_policy(), routes=_routes(world.service.port))
    world.open()
    try:
        yield world
    finally:
        await world.close()
    world.check()
    assert behind(world).faults == []


def _settings(changes: dict[str, Any]) -> sections.Proxy:
    def section(kind: type[Any]) -> Any:
        names = kind.__dataclass_fields__
        return kind(**{key: value for key, value in changes.items() if key in names})

    return sections.Proxy(
        inbound=sections.Address(ADDRESS, 0),
        limits=section(sections.Limits),
        timeouts=section(sections.Timeouts),
        warm_connections=0,  # so that each connection to the service is there for a request
    )


def _policy() -> policy.Policy:
    rule = policy.RuleBody(
        name="all", action="permit", methods=(), paths=("/**", *ODD_PATHS), headers=(),
        in_flight="cut",
    )  # fmt: skip
    return policy.parse(canonical.dump(policy.Body(type=policy.TYPE, name="p", rules=(rule,))))


def _routes(port: int) -> routes.Routes:
    everything = routes.RouteBody(name="all", paths=("/**", *ODD_PATHS), upstream="local")
    return routes.parse(
        canonical.dump(
            routes.Body(
                type=routes.TYPE,
                name="r",
                upstreams={"local": routes.UpstreamBody(host=ADDRESS, port=port)},
                routes=(everything,),
                exempt=(routes.ExemptBody(target="/health", upstream="local"),),
            )
        )
    )


def behind(world: World) -> Behind:
    """The service of a world that `running` made."""
    assert isinstance(world.service, Behind)
    return world.service


def ways(data: bytes, seed: str) -> list[list[bytes]]:
    """The input in one piece, byte by byte, and in random pieces that a seed decides."""
    chance = random.Random(seed)

    def cut(count: int) -> list[bytes]:
        edges = sorted(chance.randrange(len(data) + 1) for _ in range(count - 1))
        return [data[a:b] for a, b in pairwise([0, *edges, len(data)]) if a < b]

    if len(data) <= BYTE_BY_BYTE_MAX:
        small = [data[index : index + 1] for index in range(len(data))]
    else:
        small = cut(PIECES)
    return [[data], small, *(cut(count) for count in (2, 2, 2, 3, 3, 3))]


async def outcome(world: World, row: Row, pieces: Sequence[bytes]) -> Outcome:
    """What becomes of an input that arrives in these pieces."""
    service, recorder = behind(world), world.recorder
    other, seen_before = service.total_bytes - service.whole_bytes, len(service.received)
    decided_before = len(recorder.decisions)
    malformed_before = len(world.observer.malformed_requests)
    probe = [PROBE_REQUEST] if row.sent else []
    answers = read_answers(await exchanged(world, [*pieces, *probe]))
    await settled(world)
    seen = cast("list[Seen]", service.received[seen_before:])
    decisions = [item[0] for item in recorder.decisions[decided_before:]]
    permits = sum(isinstance(item, Permit) for item in decisions)
    told = [answer.reason for answer in answers if answer.reason]
    assert len(decisions) >= len(answers), "an answer without a record"
    malformed = [item.code for item in world.observer.malformed_requests[malformed_before:]]
    assert told == malformed, f"told {told}, counted {malformed}, {len(pieces)} pieces"
    denials = [item.reason.code for item in decisions if isinstance(item, Denial)]
    # What was permitted and proved broken later has its permit and an outcome on record instead.
    assert denials == told or (row.in_body and permits)
    probed = bool(answers) and answers[-1].body == b"probe"
    if probed:
        assert seen.pop().target == PROBE
        answers.pop()
        permits -= 1
    for item in seen:
        names = [name for name, _ in item.ours]
        assert len(names) == len(set(names)), "a line of ours twice"
        assert dict(item.ours)[b"x-epochgate-epoch"] == b"1"
    whole = tuple(Sent(item.theirs, item.body) for item in seen if item.complete)
    return Outcome(
        answers=tuple(map(str, answers)),
        closed=not probed,
        sent=whole,
        permits=permits,
        begun=len(seen) - len(whole),
        other_bytes=service.total_bytes - service.whole_bytes - other,
    )


async def exchanged(world: World, pieces: Sequence[bytes]) -> bytes:
    """Send pieces, each in a turn of its own; return all that comes back until the end."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)  # noqa: FBT003 (positional only)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, world.where)
        async with asyncio.timeout(WAIT_S):
            try:
                for piece in pieces:
                    await loop.sock_sendall(sock, piece)
                    await turn()
            except ConnectionError:
                pass  # refused while we were sending; the answer can still be read
            raw = b""
            try:
                while data := await loop.sock_recv(sock, 65536):
                    raw += data
            except ConnectionResetError:
                pass
            return raw


async def settled(world: World) -> None:
    """Until nothing of the last exchange is left, and the service has read what there was."""
    service = behind(world)
    await ended(world)
    async with asyncio.timeout(WAIT_S):
        # Connections are accepted in order: when this one was, those before it were.
        accepted = service.connections
        _, writer = await asyncio.open_connection(ADDRESS, service.port)
        writer.transport.abort()
        while service.connections == accepted or service.links:
            await asyncio.sleep(0)


async def ended(world: World) -> None:
    """Until no connection is left of a client that has gone."""
    server = world.server
    turns = 0
    async with asyncio.timeout(WAIT_S):
        while server.connections or server.upstream_connections or server._pool._tasks:
            await asyncio.sleep(0)
            turns += 1
            if turns == LINGER_TURNS:
                world.clock.move(world.settings.timeouts.linger_ms)
                for connection in tuple(server._connections):
                    connection.tick(world.clock())


def read_answers(raw: bytes) -> list[Answer]:
    """All answers; nothing may be left over."""
    answers = []
    while raw:
        head, end, rest = raw.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        assert end, f"an answer that breaks off: {raw[:200]!r}"
        assert re.fullmatch(rb"HTTP/1\.1 [1-5][0-9]{2} [ -~]*", line), line
        headers = {name: value for name, _, value in (field.partition(b": ") for field in fields)}
        assert len(headers) == len(fields), "a header twice"
        size = int(headers.get(b"content-length", 0))
        assert len(rest) >= size, "a body that breaks off"
        answers.append(Answer(int(line[9:12]), headers, rest[:size]))
        raw = rest[size:]
    return answers
