"""A gate, a recorder and a service behind, all in memory or on 127.0.0.1, and a client."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sidecar.config import sections
from sidecar.core import canonical, policy, routes
from sidecar.core.gate import Denial, Gate, Permit
from sidecar.core.head import RequestHead
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.lease import Lease
from sidecar.core.log.record import OutcomeKind
from sidecar.core.parent import Tokens
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Hold, HoldKind, Snapshot
from sidecar.proxy.fence import Fence
from sidecar.proxy.server import Server
from tests.builders import make_beat, make_epoch, make_trust

TRUST = make_trust()
EPOCH = make_epoch(TRUST)
BEAT = make_beat(TRUST, EPOCH)
HOUR_MS = 3_600_000
DRAIN_MS = 5_000  # of the rule for /drain
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WAIT_S = 5  # a test that waits longer hangs


def decision_id(index: int) -> str:
    return f"0123456789abcdef-{index}"


class ManualClock:
    """Stands still until moved; `jumps` are added one per reading."""

    def __init__(self) -> None:
        self.boot = 10**15
        self.wall = 1_800_000_000_000
        self.jumps_ms: list[int] = []
        self.reads = 0

    def __call__(self) -> Now:
        self.reads += 1
        if self.jumps_ms:
            self.move(self.jumps_ms.pop(0))
        return Now(BootNs(self.boot), WallMs(self.wall))

    def move(self, ms: int) -> None:
        self.boot += ms * 1_000_000
        self.wall += ms


class Ended(NamedTuple):
    """An outcome as it was recorded."""

    decision_id: str
    kind: OutcomeKind
    reason: Reason | None
    sent: bool
    status: int


@dataclass
class MemoryRecorder:
    """Keeps decisions; fails when told to."""

    failing: bool = False
    decisions: list[tuple[Permit | Denial, RequestHead | None, str | None]] = field(
        default_factory=list
    )
    outcomes: list[Ended] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    receipts: dict[str, bytes] = field(default_factory=dict)
    awaited: list[Callable[[], None]] = field(default_factory=list)

    def decision(
        self, decision: Permit | Denial, head: RequestHead | None, trace_id: str | None, now: Now
    ) -> str | None:
        self.before()
        if self.failing:
            return None
        self.decisions.append((decision, head, trace_id))
        return decision_id(len(self.decisions) - 1)

    def receipt(self, decision_id: str) -> bytes:
        return self.receipts.pop(decision_id, b"")

    def when_durable(self, then: Callable[[], None]) -> None:
        self.awaited.append(then)

    def outcome(
        self,
        decision_id: str,
        kind: OutcomeKind,
        reason: Reason | None,
        now: Now,
        *,
        dur_ns: int,
        sent: bool,
        status: int,
    ) -> None:
        assert dur_ns >= 0
        self.outcomes.append(Ended(decision_id, kind, reason, sent, status))

    @property
    def permitted(self) -> list[str]:
        return [
            decision_id(index)
            for index, (decision, _, _) in enumerate(self.decisions)
            if isinstance(decision, Permit)
        ]

    @property
    def permits(self) -> int:
        return len(self.permitted)

    @property
    def denials(self) -> list[Reason]:
        return [item.reason for item, _, _ in self.decisions if isinstance(item, Denial)]


@dataclass
class MemoryObserver:
    """Keeps what it is told."""

    ends: list[tuple[str, Reason | None, int]] = field(default_factory=list)
    cuts: list[Reason] = field(default_factory=list)
    malformed_requests: list[Reason] = field(default_factory=list)
    observed: list[Reason] = field(default_factory=list)

    def finished(
        self,
        outcome: str,
        reason: Reason | None,
        status: int,
        duration_ns: int,
        overhead_ns: int,
        first_byte_ns: int,
        *,
        observed: Reason | None = None,
    ) -> None:
        assert min(duration_ns, overhead_ns, first_byte_ns) >= 0
        self.ends.append((outcome, reason, status))
        if observed is not None:
            self.observed.append(observed)

    def stream_cut(self, reason: Reason) -> None:
        self.cuts.append(reason)

    def malformed(self, reason: Reason) -> None:
        self.malformed_requests.append(reason)


@dataclass
class Received:
    """A request as the service behind saw it."""

    head: bytes
    body: bytes = b""
    complete: bool = False

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        lines = self.head.split(b"\r\n")[1:-2]
        return [(line.partition(b": ")[0], line.partition(b": ")[2]) for line in lines]

    def value(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)


Answering = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


async def answer_ok(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(OK if not request.head.startswith(b"HEAD") else OK[:-2])


class Service:
    """The service behind: records each byte, answers as told."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.total_bytes = 0
        self.answer: Answering = answer_ok
        self.early = False  # answer at the head, before the body
        self.port = 0
        self.ended = asyncio.Event()  # some connection ended
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # asyncio would log a cancelled handler as an error
        finally:
            self.ended.set()
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first = await reader.read(1)
        if not first:
            return False
        self.total_bytes += 1
        head = first + await reader.readuntil(b"\r\n\r\n")
        self.total_bytes += len(head) - 1
        request = Received(head)
        self.received.append(request)
        if self.early:
            await self.answer(request, writer)
        await self._body(request, reader)
        request.complete = True
        if not self.early:
            await self.answer(request, writer)
        await writer.drain()
        return not writer.is_closing()

    def take_no_body(self) -> asyncio.Event:
        """From now on no body is read until the event that is returned is set."""
        go_on, body = asyncio.Event(), self._body

        async def slow(request: Received, reader: asyncio.StreamReader) -> None:
            await go_on.wait()
            await body(request, reader)

        self._body = slow  # type: ignore[method-assign]
        return go_on

    async def _body(self, request: Received, reader: asyncio.StreamReader) -> None:
        left = int(request.value(b"content-length") or 0)
        pieces = []
        while left:
            data = await reader.read(left)
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(data)
            pieces.append(data)
            self.total_bytes += len(data)
        request.body = b"".join(pieces)
        if request.value(b"transfer-encoding") == b"chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                request.body += (await reader.readexactly(size + 2))[:-2]
            assert await reader.readexactly(2) == b"\r\n"


@dataclass
class Response:
    """A response as the client saw it. `complete`: ended as its framing says."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    complete: bool

    @property
    def reason(self) -> str | None:
        code = self.headers.get(b"x-epochgate-reason")
        return code.decode() if code else None


class Client:
    """One client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> tuple[int, dict[bytes, bytes]]:
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT_S)
        lines = raw[:-4].split(b"\r\n")
        assert lines[0].startswith(b"HTTP/1.1 ")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b": ")
            assert name not in headers or name == b"set-cookie", name
            headers[name] = value
        return int(lines[0][9:12]), headers

    async def response(self, method: str = "GET") -> Response:
        status, headers = await self.head()
        bodiless = method == "HEAD" or status < 200 or status in (204, 304)
        if bodiless:
            return Response(status, headers, b"", complete=True)
        body = b""
        try:
            if b"content-length" in headers:
                body = await self._exactly(int(headers[b"content-length"]))
                return Response(status, headers, body, complete=True)
            if headers.get(b"transfer-encoding") == b"chunked":
                while piece := await self.chunk():
                    body += piece
                return Response(status, headers, body, complete=True)
            body = await asyncio.wait_for(self.reader.read(), WAIT_S)
            return Response(status, headers, body, complete=True)
        except (asyncio.IncompleteReadError, ConnectionError):
            return Response(status, headers, body, complete=False)

    async def chunk(self) -> bytes:
        line = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), WAIT_S)
        return (await self._exactly(int(line, 16) + 2))[:-2]

    async def ended(self) -> bytes:
        """What is left until the other side ends; a reset counts as an end."""
        try:
            return await asyncio.wait_for(self.reader.read(), WAIT_S)
        except ConnectionError:
            return b""

    def reset(self) -> None:
        """Leave without a word."""
        sock = self.writer.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def _exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), WAIT_S)

    async def close(self) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


def made_policy(**asks: Any) -> policy.Policy:
    """`asks`: other fields of a policy."""
    deny = policy.RuleBody(
        name="no-secret", action="deny", methods=(), paths=("/secret",), headers=(),
        in_flight="cut",
    )  # fmt: skip
    drain = policy.RuleBody(
        name="drain", action="permit", methods=(), paths=("/drain",), headers=(),
        in_flight=policy.DrainBody(drain_ms=DRAIN_MS),
    )  # fmt: skip
    rest = policy.RuleBody(
        name="rest", action="permit", methods=(), paths=("/**",), headers=(), in_flight="cut"
    )
    odd = policy.RuleBody(
        name="odd", action="permit", methods=(), paths=ODD_PATHS, headers=(), in_flight="cut"
    )
    return policy.parse(
        canonical.dump(
            policy.Body(type=policy.TYPE, name="p", rules=(deny, drain, rest, odd), **asks)
        )
    )


# Wildcards match plain paths only, so the odd ones that tests use are spelled out.
ODD_PATHS = ("/a%2fb", "/a%0d%0ab", "/a//b", "/a/../b", "/a;v=1")


def made_routes(port: int) -> routes.Routes:
    return routes.parse(
        canonical.dump(
            routes.Body(
                type=routes.TYPE,
                name="r",
                upstreams={"local": routes.UpstreamBody(host="127.0.0.1", port=port)},
                routes=(routes.RouteBody(name="all", paths=("/**", *ODD_PATHS), upstream="local"),),
                exempt=(routes.ExemptBody(target="/health", upstream="local"),),
            )
        )
    )


class World:
    """Everything around one server. `lossy`: the service may see less than was written to it."""

    def __init__(
        self, settings: sections.Proxy, fence: Fence | None = None, tokens: Tokens | None = None
    ) -> None:
        self.settings = settings
        self.clock = ManualClock()
        self.recorder = MemoryRecorder()
        self.observer = MemoryObserver()
        self.service = Service()
        self.lossy = False
        self.clients: list[Client] = []
        self.gate = Gate(self._changed)
        self.server = Server(
            settings, self.gate, self.clock, self.recorder, self.observer, fence, tokens=tokens
        )
        self.where = ("", 0)

    def _changed(self, snapshot: Snapshot) -> None:
        self.server.gate_changed(snapshot)

    def open(self, left_ms: int = HOUR_MS) -> None:
        """Publish a snapshot with a lease of `left_ms`."""
        lease = Lease(
            epoch_seq=EPOCH.seq,
            epoch_sha256=EPOCH.sha256,
            beat=BEAT,
            peers=(PeerId("a"), PeerId("b")),
            deadline=BootNs(self.clock.boot + left_ms * 1_000_000),
            wall_deadline=WallMs(self.clock.wall + left_ms),
            anchor="clock",
        )
        self.gate.publish(replace(self.base, lease=lease))

    def hold(self, reason: Reason = Reason.QUORUM_LOST) -> None:
        self.gate.place(Hold(reason, HoldKind.PASSING))

    async def start(self) -> None:
        await self.service.start()
        self.base = Snapshot(
            absent=Reason.NOT_SYNCED,
            epoch=EPOCH,
            policy=made_policy(),
            routes=made_routes(self.service.port),
            faults=(Reason.QUORUM_LOST,),
        )
        self.open()
        self.where = await self.server.start()

    async def connect(self) -> Client:
        host, port = self.where
        if host.startswith("/"):
            client = Client(*await asyncio.open_unix_connection(host))
        else:
            client = Client(*await asyncio.open_connection(host, port))
        self.clients.append(client)
        return client

    async def ask(self, data: bytes, method: str = "GET") -> Response:
        """One request on a new connection."""
        client = await self.connect()
        client.send(data)
        return await client.response(method)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Give the loop turns until something is so."""
        async with asyncio.timeout(WAIT_S):
            while not holds():
                await asyncio.sleep(0.001)

    async def service_ended(self) -> None:
        """Until the service has seen the end of some connection."""
        await asyncio.wait_for(self.service.ended.wait(), WAIT_S)

    async def close(self) -> None:
        for client in self.clients:
            await client.close()
        await self.server.close()
        # A connection that was being made takes a few turns to be gone; one that leaks never is.
        await self.until(lambda: not self.server.connections + self.server.upstream_connections)
        await self.service.close()

    def check(self) -> None:
        """What holds after every test."""
        recorder = self.recorder
        unused = sum(not end.sent for end in recorder.outcomes)
        exempt = sum(request.head.split(b" ")[1] == b"/health" for request in self.service.received)
        begun = len(self.service.received) - exempt
        permitted = recorder.permits - unused
        assert begun <= permitted
        assert self.lossy or begun == permitted
        ended = Counter(end.decision_id for end in recorder.outcomes)
        assert ended == Counter(recorder.permitted), "not exactly one outcome for each permit"
        assert self.server.in_flight == 0
        assert self.server.connections == 0
        assert self.server.upstream_connections == 0


@asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[World]:
    """A running world.

    `changes`: fields of limits, timeouts or the proxy section, a fence, or tokens.
    """

    def section(kind: type[Any]) -> Any:
        names = kind.__dataclass_fields__
        return kind(**{key: value for key, value in changes.items() if key in names})

    settings = sections.Proxy(
        inbound=changes.get("inbound", sections.Address("127.0.0.1", 0)),
        upstream=changes.get("upstream"),
        transparent=changes.get("transparent", False),
        limits=section(sections.Limits),
        timeouts=section(sections.Timeouts),
        warm_connections=changes.get("warm_connections", 1),
    )
    world = World(settings, changes.get("fence"), changes.get("tokens"))
    await world.start()
    try:
        async with asyncio.timeout(2 * WAIT_S):
            yield world
    finally:
        await world.close()
    world.check()


def request(
    method: str = "POST", target: str = "/v1/chat", headers: str = "", body: bytes = b""
) -> bytes:
    """A request with a length if it has a body; `headers` are complete lines."""
    framing = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {target} HTTP/1.1\r\nHost: a\r\n{headers}{framing}\r\n"
    return head.encode("latin-1") + body
