"""The other direction: mutated bytes of a service, relayed by the real data plane, read by clients.

A client asks twice on one connection. The first answer is mutated, the second is `two`. Whatever
the service said, three readers of what the client received (h11, the standard library, and one of
our own that takes nothing but the form we write) must see the same responses; and the answer to the
second request is `two` or an answer of the sidecar itself, never bytes of the first.
"""

import asyncio
import http.client
import io
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h11

from tests.fuzz.mutate import request
from tests.fuzz.tap import Disagreement, cut_up, settled, tapped
from tests.proxy.world import WAIT_S, Received, World

ASKED = (
    b"%b /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
)
TWO = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-which: two\r\n\r\ntwo"
SEEDS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Which: one\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\n"
    b"X: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nX-A: b\r\nx-a: c\r\n\r\nuntil the end",
    b"HTTP/1.1 500 No\r\nConnection: x-y, close\r\nX-Y: z\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\ndata: 2\n\n",
)
OURS = b"x-epochgate-reason"


@dataclass(frozen=True, slots=True)
class Got:
    """A response as one reader saw it; an incomplete one is the last of its list."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    complete: bool = True


@dataclass
class Tally:
    """What a run came to."""

    cases: int = 0
    responses: int = 0
    cut: int = 0
    refused: int = 0
    mutations: Counter[str] = field(default_factory=Counter)


def by_h11(raw: bytes, methods: list[bytes]) -> list[Got]:
    """What h11 makes of it."""
    found: list[Got] = []
    connection = h11.Connection(h11.CLIENT)
    connection.receive_data(raw)
    connection.receive_data(b"")
    for method in methods:
        # The last answer says that the connection ends; both requests look alike to h11.
        connection.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        connection.send(h11.EndOfMessage())
        found += _one_by_h11(connection)
        if not found or not found[-1].complete or connection.their_state is not h11.DONE:
            break
        if connection.our_state is h11.MUST_CLOSE:
            break
        connection.start_next_cycle()
    return found


def _one_by_h11(connection: h11.Connection) -> list[Got]:
    head: h11.Response | None = None
    body = b""
    try:
        while True:
            match connection.next_event():
                case h11.Response() as head:
                    pass
                case h11.Data(data=data):
                    body += bytes(data)
                case h11.EndOfMessage():
                    assert head is not None
                    return [Got(head.status_code, _lines(head.headers), body)]
                case h11.ConnectionClosed() | h11.NEED_DATA | h11.PAUSED:
                    return []
                case _:
                    raise Disagreement("h11 saw an interim response")
    except h11.RemoteProtocolError:
        if head is None:
            return []
        return [Got(head.status_code, _lines(head.headers), body, complete=False)]


def _lines(headers: Any) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        sorted((bytes(name).lower(), bytes(value).strip(b" \t")) for name, value in headers)
    )


class _Bytes(io.BytesIO):
    """Bytes that a response may close without ending the ones after it."""

    def makefile(self, _mode: str) -> "_Bytes":
        return self

    def close(self) -> None:
        pass


def by_library(raw: bytes, methods: list[bytes]) -> list[Got]:
    """What the standard library makes of it."""
    found: list[Got] = []
    stream = _Bytes(raw)
    for method in methods:
        response = http.client.HTTPResponse(stream, method=method.decode())  # type: ignore[arg-type]
        try:
            response.begin()
        except (http.client.HTTPException, ConnectionError):
            break
        headers = _lines(
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in response.headers.items()
        )
        try:
            body, complete = response.read(), True
        except http.client.IncompleteRead as error:
            body, complete = error.partial, False
        found.append(Got(response.status, headers, body, complete))
        if not complete or response.will_close:
            break
    return found


def by_us(raw: bytes, methods: list[bytes]) -> list[Got]:
    """What our own form means, read by the letter."""
    found: list[Got] = []
    for method in methods:
        head, blank, raw = raw.partition(b"\r\n\r\n")
        if not blank:
            break
        first, *rest = head.split(b"\r\n")
        lines = tuple((line.partition(b": ")[0], line.partition(b": ")[2]) for line in rest)
        status, framing = int(first[9:12]), dict(lines)
        bodiless = method == b"HEAD" or status in (204, 304)
        if bodiless:
            body, complete = b"", True
        elif framing.get(b"transfer-encoding") == b"chunked":
            body, raw, complete = _chunks(raw)
        else:
            size = int(framing[b"content-length"])
            body, raw, complete = raw[:size], raw[size:], len(raw) >= size
        found.append(Got(status, _lines(lines), body, complete))
        if not complete or framing.get(b"connection") == b"close":
            break
    if raw and found and found[-1].complete:
        raise Disagreement(f"bytes after the last response: {raw!r}")
    return found


def _chunks(raw: bytes) -> tuple[bytes, bytes, bool]:
    body = b""
    while True:
        line, end, raw = raw.partition(b"\r\n")
        if not end:
            return body, b"", False
        size = int(line, 16)
        body += raw[:size]
        if not raw[size:].startswith(b"\r\n"):
            return body, b"", False
        raw = raw[size + 2 :]
        if not size:
            return body, raw, True


async def received(world: World, method: bytes, pieces: list[bytes]) -> bytes:
    """What the client of both requests receives when the service answers the first like this."""
    writers: list[asyncio.StreamWriter] = []

    async def answer(asked: Received, writer: asyncio.StreamWriter) -> None:
        if b" /two " in asked.head[:20]:
            writer.write(TWO)
            return
        writers.append(writer)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)

    world.service.answer = answer
    client = await world.connect()
    client.send(ASKED % method)
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(_all(client.reader))
        # Nothing moves any more: what the service has not ended ends with its connection.
        await settled(world)
        if not reading.done():
            for writer in writers:
                writer.close()
    client.writer.transport.abort()
    world.clients.remove(client)
    return reading.result()


async def _all(reader: asyncio.StreamReader) -> bytes:
    raw = b""
    try:
        while piece := await reader.read(65536):
            raw += piece
    except ConnectionError:
        pass  # cut off: the proxy ends so when what it relays breaks
    return raw


def judge(raw: bytes, methods: list[bytes], tally: Tally, *, at_once: bool) -> None:
    """Raise unless all readers agree and the second answer is not of the first's making."""
    views = {"ours": by_us(raw, methods), "h11": by_h11(raw, methods)}
    views["library"] = by_library(raw, methods)
    first = views["ours"]
    for name, view in views.items():
        if _shape(view) != _shape(first):
            seen = "\n".join(f"  {key}: {value}" for key, value in views.items())
            raise Disagreement(f"{name} saw other responses in {raw!r}\n{seen}")
    tally.responses += len(first)
    tally.cut += any(not got.complete for got in first)
    tally.refused += any(OURS in dict(got.headers) for got in first)
    for got in first[1:] if at_once else ():
        lines = dict(got.headers)
        if OURS not in lines and (got.body, lines.get(b"x-which")) != (b"two", b"two"):
            raise Disagreement(f"the second answer is {got}\nin {raw!r}")


def _shape(view: list[Got]) -> list[tuple[Any, ...]]:
    # How much of a broken body a reader hands out is its own affair.
    return [
        (got.status, got.headers, got.complete, got.body if got.complete else b"") for got in view
    ]


async def run(seed: int, goes_on: Callable[[int], bool]) -> Tally:
    """Case after case while `goes_on(number)`."""
    rng, tally = random.Random(seed), Tally()
    async with tapped() as (world, tap):
        while goes_on(tally.cases):
            data, mutation = request(rng, rng.choice(SEEDS), SEEDS)
            pieces, method = cut_up(rng, data), rng.choice((b"GET", b"GET", b"POST", b"HEAD"))
            tally.cases += 1
            tally.mutations.update(mutation.split("+"))
            raw = await received(world, method, pieces)
            tap.take()
            try:
                judge(raw, [method, b"GET"], tally, at_once=len(pieces) == 1)
            except Disagreement as error:
                detail = (
                    f"case {tally.cases} of seed {seed}, {mutation}, {method!r}\nsaid: {pieces}"
                )
                raise Disagreement(f"{detail}\n{error}") from None
    return tally
