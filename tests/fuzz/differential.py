"""Mutated requests through the real data plane; what it forwards, through other people's servers.

    python -m tests.fuzz.differential [--seconds N] [--seed N]      `make fuzz-differential`

Three oracles:

1. What reaches the service is, read by a reader of its own here, what the gate permitted: the same
   requests, in the same order, and never one more.
2. Every server that gets the forwarded bytes sees exactly these requests: method, target, header
   lines, body. A last request of our own behind them shows where it thinks that they end.
3. A server may refuse (it answers 4xx and ends the connection). It has seen a beginning of the list
   then, and nothing else. Refusals are counted and named.

Then the other direction: `answers.py`.

Source: hardening b.5; the idea of comparing servers is http-garden's.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from sidecar.core.gate import Permit
from tests.fuzz import answers, servers
from tests.fuzz.mutate import request
from tests.fuzz.tap import Disagreement, Tap, cut_up, settled, tapped
from tests.proxy.world import World, decision_id

ROOT = Path(__file__).parents[2]
SENTINEL = b"GET /sentinel HTTP/1.1\r\nhost: sentinel\r\nconnection: close\r\n\r\n"
WAIT_S = 20  # for a server on a busy machine; only one that waits for more takes so long
EXEMPT = (b"GET", b"/health"), (b"HEAD", b"/health")
SEEDS = (
    b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nX-A: b\r\nx-a: c\r\n\r\n",
    b"POST /b HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n"
    b"0\r\nX-T: u\r\n\r\n",
    b"HEAD /d HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1",
    b"OPTIONS /f HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Length: 0\r\n\r\n",
    b"DELETE http://a/g HTTP/1.1\r\nHost: a\r\nConnection: x-y, keep-alive\r\nX-Y: z\r\n\r\n",
    b"GET /h HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    b"GET /?x={|}^`[]~!$&'()*+,;=:@/?%2f%25%7f HTTP/1.1\r\nHost: a_b-c.~d:0080\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PATCH /i HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nCookie: a=b\r\n"
    b"Content-Length: 30\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n--",
)


@dataclass(frozen=True, slots=True)
class Meant:
    """One request as it was forwarded. Header names in lower case; what frames is among them."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def read_forwarded(raw: bytes) -> tuple[list[Meant], bytes]:
    """Requests in the one form that we write, and the bytes that would end the last of them.

    A client may have left within a body; so that the servers need not wait, it is filled up.
    """
    found: list[Meant] = []
    missing = b""
    while raw:
        head, blank, raw = raw.partition(b"\r\n\r\n")
        assert blank, "a head that does not end"
        first, *lines = head.split(b"\r\n")
        method, target, version = first.split(b" ")
        assert version == b"HTTP/1.1"
        headers = tuple((line.partition(b": ")[0], line.partition(b": ")[2]) for line in lines)
        framing = dict(headers)
        body, raw, missing = _body(framing, raw)
        found.append(Meant(method, target, headers, body))
    return found, missing


def _body(framing: dict[bytes, bytes], raw: bytes) -> tuple[bytes, bytes, bytes]:
    if framing.get(b"transfer-encoding") != b"chunked":
        size = int(framing.get(b"content-length", b"0"))
        missing = b"A" * (size - len(raw))
        return raw[:size] + missing, raw[size:], missing
    body = b""
    while raw:
        line, _, raw = raw.partition(b"\r\n")
        size = int(line, 16)
        body += raw[:size]
        assert raw[size : size + 2] == b"\r\n"
        raw = raw[size + 2 :]
        if not size:
            return body, raw, b""
    return body, raw, b"0\r\n\r\n"


@dataclass
class Tally:
    """What a run came to."""

    cases: int = 0
    forwarded: int = 0
    connections: int = 0
    mutations: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refusals: dict[str, bytes] = field(default_factory=dict)


async def forwarded(world: World, tap: Tap, pieces: Sequence[bytes]) -> tuple[list[bytes], int]:
    """What one client's bytes make the proxy send to the service, by connection.

    Also returned: how many exchanges the client left unfinished, 0 or 1.
    """
    client = await world.connect()
    for piece in pieces:
        client.send(piece)
        await settled(world)
    unfinished = world.server.in_flight
    client.reset()  # an orderly end may be waited for; this clock does not move
    world.clients.remove(client)
    await world.until(lambda: not world.server.connections)
    await world.until(lambda: tap.open == world.server.upstream_connections)
    return tap.take(), unfinished


def permitted(world: World) -> Counter[tuple[bytes, bytes]]:
    """Method and target of what was permitted; exempt requests are not recorded."""
    return Counter(
        (head.method, head.target)
        for decision, head, _ in world.recorder.decisions
        if isinstance(decision, Permit) and head is not None
    )


@dataclass(frozen=True, slots=True)
class View:
    """What a server made of some bytes.

    Attributes:
        requests: As it saw them.
        refused: It answered with that status and went; or 0.
        waits: It holds the connection open, as if more had to come.
    """

    requests: tuple[dict[str, Any], ...]
    refused: int = 0
    waits: bool = False


async def ask(port: int, raw: bytes) -> View:
    """Send bytes to one server and read what it says, to the end."""
    reader, writer = await asyncio.open_connection(servers.HERE, port)
    said, waits = b"", True
    try:
        writer.write(raw)
        async with asyncio.timeout(WAIT_S):
            while piece := await reader.read(65536):
                said += piece
        waits = False
    except TimeoutError:
        pass  # judged with the rest
    finally:
        writer.transport.abort()
    found: list[dict[str, Any]] = []
    while said:
        head, _, said = said.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        if status >= 400:
            return View(tuple(found), status)
        if status == 200:
            found.append(_seen(head))
    return View(tuple(found), waits=waits)


def _seen(head: bytes) -> dict[str, Any]:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        if name.lower() == b"x-seen":
            return dict(json.loads(base64.b64decode(value)))
        if name.lower() == b"x-nginx":
            method, target, host = value.decode("latin-1").split(" ")
            return {"method": method, "target": target, "host": host}
    raise Disagreement(f"an answer that says nothing: {head!r}")


def differs(meant: Meant, view: dict[str, Any]) -> str | None:
    """In what a server's view of a request is another one, or None."""
    if view["method"].encode("latin-1") != meant.method:
        return "method"
    # ASGI cannot tell an empty query from none.
    if view["target"].encode("latin-1").removesuffix(b"?") != meant.target.removesuffix(b"?"):
        return "target"
    if "host" in view:
        return None if view["host"].encode("latin-1") == dict(meant.headers)[b"host"] else "host"
    if view["size"] != len(meant.body):
        return "size of the body"
    if view["sha256"] != hashlib.sha256(meant.body).hexdigest():
        return "body"
    if view["headers"] is not None:
        lines = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in view["headers"]
        ]
        if sorted(lines) != sorted(meant.headers):
            return "headers"
    return None


def judge(name: str, meant: Sequence[Meant], view: View, tally: Tally, raw: bytes) -> None:
    """Raise when a server saw anything but what was meant, or a beginning of it and a refusal."""
    for index, seen in enumerate(view.requests):
        if index >= len(meant):
            raise Disagreement(f"{name} saw one request more: {seen}")
        wrong = differs(meant[index], seen)
        if wrong is not None:
            raise Disagreement(f"{name} saw another {wrong} in request {index}: {seen}")
    if view.refused:
        tally.refused[f"{name} {view.refused}"] += 1
        tally.refusals.setdefault(f"{name} {view.refused}", raw)
    elif view.waits:
        raise Disagreement(f"{name} waits for more")
    elif len(view.requests) < len(meant):
        raise Disagreement(f"{name} saw {len(view.requests)} requests of {len(meant)}")


async def compare(ports: dict[str, int], raw: bytes, tally: Tally) -> list[Meant]:
    """Show forwarded bytes to every server; returns what was meant by them."""
    meant, missing = read_forwarded(raw)
    last, _ = read_forwarded(SENTINEL)
    whole = raw + missing + SENTINEL
    views = await asyncio.gather(*(ask(port, whole) for port in ports.values()))
    try:
        for name, view in zip(ports, views, strict=True):
            judge(name, [*meant, *last], view, tally, raw)
    except Disagreement as error:
        seen = "\n".join(f"  {name}: {view}" for name, view in zip(ports, views, strict=True))
        raise Disagreement(f"{error}\nforwarded: {whole!r}\nmeant: {meant}\n{seen}") from None
    return meant


async def case(
    world: World, tap: Tap, ports: dict[str, int], pieces: Sequence[bytes], tally: Tally
) -> None:
    """One client's bytes, from the data plane to every server."""
    for kept in (world.recorder.decisions, world.recorder.outcomes, tap.received):
        kept.clear()
    raws, unfinished = await forwarded(world, tap, pieces)
    reached: Counter[tuple[bytes, bytes]] = Counter()
    for raw in raws:
        meant = await compare(ports, raw, tally)
        reached.update((one.method, one.target) for one in meant)
        tally.forwarded += len(meant)
    tally.cases += 1
    tally.connections += len(raws)
    recorded = Counter({one: times for one, times in reached.items() if one not in EXEMPT})
    permits = permitted(world)
    if not recorded <= permits:
        raise Disagreement(f"reached the service: {recorded}, permitted: {permits}")
    # A permit may be taken back before anything was written, and what nobody has read is lost with
    # the connection of a client that left; else each permit reached the service.
    unseen = permits - recorded - taken_back(world)
    if unseen.total() > unfinished:
        raise Disagreement(f"permitted and never seen: {unseen}")


def taken_back(world: World) -> Counter[tuple[bytes, bytes]]:
    """Permits of which nothing was written."""
    unsent = {ended.decision_id for ended in world.recorder.outcomes if not ended.sent}
    return Counter(
        (head.method, head.target)
        for number, (_, head, _) in enumerate(world.recorder.decisions)
        if head is not None and decision_id(number) in unsent
    )


async def run(ports: dict[str, int], seed: int, goes_on: Callable[[int], bool]) -> Tally:
    """Case after case while `goes_on(number)`; a disagreement names its case."""
    rng, tally = random.Random(seed), Tally()
    async with tapped() as (world, tap):
        number = 0
        while goes_on(number):
            base = rng.choice(SEEDS)
            data, mutation = request(rng, base, SEEDS)
            pieces = cut_up(rng, data)
            number += 1
            tally.mutations.update(mutation.split("+"))
            try:
                await case(world, tap, ports, pieces, tally)
            except Disagreement as error:
                detail = f"case {number} of seed {seed}, {mutation}\nsent: {pieces}\n{error}"
                raise Disagreement(detail) from None
    return tally


@asynccontextmanager
async def serving(names: Sequence[str]) -> AsyncIterator[dict[str, int]]:
    """Servers by name, each a process; yields their ports."""
    processes = [await _start(name) for name in names]
    try:
        ports = [
            int(await cast("asyncio.StreamReader", one.stdout).readline()) for one in processes
        ]
        yield dict(zip(names, ports, strict=True))
    finally:
        for process in processes:
            cast("asyncio.StreamWriter", process.stdin).close()
            await process.wait()


async def _start(name: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fuzz.servers", name, cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


def report(tally: Tally, names: Sequence[str]) -> str:
    """What a run came to, for a person."""
    lines = [
        f"{tally.cases:,} cases, {tally.forwarded:,} requests forwarded on"
        f" {tally.connections:,} connections, each read by {len(names)}: {', '.join(names)}",
        "mutations: "
        + ", ".join(f"{name} {times}" for name, times in tally.mutations.most_common()),
        "disagreements: 0",
        f"refusals (4xx, nothing misread): {sum(tally.refused.values())}",
    ]
    lines += [
        f"  {name}: {times}, for example {tally.refusals[name][:300]!r}"
        for name, times in tally.refused.most_common()
    ]
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """Exit code 0 when all agreed, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.differential")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=None)
    said = parser.parse_args(words)
    seed = random.randrange(2**32) if said.seed is None else said.seed
    absent = servers.missing()
    names = [name for name in servers.RUN if name not in absent]
    sys.stdout.write(f"seed {seed}; not installed: {', '.join(absent) or 'none'}\n")
    try:
        asyncio.run(both(names, seed, said.seconds))
    except Disagreement as error:
        sys.stdout.write(f"DISAGREEMENT: {error}\n")
        return 1
    return 0


async def both(names: Sequence[str], seed: int, seconds: float) -> None:
    """Requests for three quarters of the time, responses for the rest."""
    began = time.monotonic()
    async with serving(names) as ports:
        tally = await run(ports, seed, lambda _: time.monotonic() - began < seconds * 0.75)
    sys.stdout.write(report(tally, names) + "\n")
    told = await answers.run(seed, lambda _: time.monotonic() - began < seconds)
    sys.stdout.write(
        f"\n{told.cases:,} answers of a service mutated, {told.responses:,} responses received,"
        f" each read by 3: h11, the standard library, our own\n"
        f"disagreements: 0\n{told.refused:,} answers refused, {told.cut:,} responses cut\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
