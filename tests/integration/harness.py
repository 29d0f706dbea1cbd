"""One real sidecar process between a real client and a real service, over three real peers.

The authority is a `Hand`: it signs with the tests' deterministic keys, so a test can say exactly
what each peer serves, also what no authority would ever sign. The real authority has tests of its
own; `test_end_to_end` puts both together.

The fixture itself holds the strongest invariant: requests that reached the service = permit records
in the journal that were not taken back. It is checked after every test.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml
from aiohttp import web
from redis import Redis

from sidecar import clock
from sidecar.core import canonical, layout
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS, Halts
from tests import builders
from tests.integration.covering import Covering  # noqa: TC001 - read where tests look
from tests.integration.forks import Forked, Forks
from tests.valkey import HOST, ValkeyServer

TTL_MS = 1_500
SKEW_MS = 200
BEAT_S = 0.1
LIMIT_S = 15.0

Mutation = Callable[[int, bytes], bytes | None]


class Hand:
    """Signs epochs and beats, and decides which peer gets what.

    Args:
        valkeys: The peers.
        trust_changes: Fields of the trust document to replace.
    """

    def __init__(self, valkeys: tuple[ValkeyServer, ...], **trust_changes: Any) -> None:
        now = clock.now().wall
        limits = builders.trust.Limits(ttl_max_ms=TTL_MS, skew_max_ms=SKEW_MS, drift_ppm=2000)
        dated = {"issued_at": now - 1000, "expires": now + builders.DAY_MS, "limits": limits}
        self._trust_changes: dict[str, Any] = {**dated, **trust_changes}
        self.trust_raw = builders.trust_bytes(**self._trust_changes)
        self.trust = builders.trust.parse(self.trust_raw, now)
        self.valkeys = valkeys
        self.clients = [Redis(HOST, valkey.port, protocol=2) for valkey in valkeys]
        self.seq = 0
        self.number = 1  # of the beat key in use
        self.covering: Covering | None = None
        self.halts: Halts = NO_HALTS
        self.epoch: Epoch | None = None
        self.changes: dict[str, Any] = {}
        self.mutate: Mutation = lambda _, raw: raw
        self._task: asyncio.Task[None] | None = None

    def put(self, key: str, value: bytes, *peers: int) -> None:
        """Store a value on some peers; on all when none is named."""
        for index in peers or range(len(self.clients)):
            self.clients[index].set(key, value)

    def put_epoch(
        self, policy: bytes = builders.POLICY, routes: bytes = builders.ROUTES, **changes: Any
    ) -> Epoch:
        """Sign the next epoch, store it with its blobs on all peers, and make it current."""
        now = clock.now().wall
        dated = {"issued_at": now, "not_before": now - 60_000, "not_after": now + builders.DAY_MS}
        raw = builders.epoch_bytes(
            self.trust, self.epoch, policy_blob=policy, routes_blob=routes, **{**dated, **changes}
        )
        self.epoch = builders.open_epoch(raw, self.trust, now)
        self.put(layout.epoch_key(self.trust.domain, self.epoch.sha256), raw)
        for blob in (policy, routes):
            self.put(layout.blob_key(self.trust.domain, canonical.digest(blob)), blob)
        return self.epoch

    def put_order(self, raw: bytes, *peers: int) -> None:
        """Store a halt or clear on some peers, and pin it in later beats."""
        order = builders.halt.open_order(raw, self.trust, clock.now().wall)
        self.halts = self.halts.union([order])
        for index in peers or range(len(self.clients)):
            self.clients[index].hset(
                layout.halts_key(self.trust.domain), layout.order_field(order.sha256), raw
            )

    def order(self, **changes: Any) -> bytes:
        """Sign a halt or clear, dated now."""
        return builders.order_bytes(self.trust, issued_at=clock.now().wall, **changes)

    def beat(self, epoch: Epoch | None = None, **changes: Any) -> bytes:
        """Sign the next beat for the current epoch."""
        current = epoch or self.epoch
        assert current is not None, "no epoch to vouch for"
        self.seq += 1
        said = {
            "issued_at": clock.now().wall, "ttl_ms": TTL_MS, "interval_ms": 100, "seq": self.seq,
            "halts": self.halts, **changes,
        }  # fmt: skip
        return builders.beat_bytes(self.trust, current, **said)

    def rotate(self, **changes: Any) -> builders.Trust:
        """Sign the next trust document, store it on all peers, and go on under it."""
        link = {"version": self.trust.version + 1, "prev_sha256": self.trust.sha256}
        raw = builders.trust_bytes(**{**self._trust_changes, **changes, **link})
        self.trust = self.trust.rotate(raw, clock.now().wall)
        self.put(layout.trust_key(self.trust.domain, self.trust.version), raw)
        return self.trust

    @property
    def issuer(self) -> str:
        """Id of the beat key in use."""
        return builders.signer(builders.Role.BEAT, self.number).key_id

    @property
    def beat_key(self) -> str:
        """Where the beats of that key are kept."""
        return layout.beat_key(self.trust.domain, self.issuer)

    def pulse(self) -> None:
        """Sign one beat and give it to every peer, as `mutate` would have it."""
        cover = self.covering
        fleet = {} if cover is None else {"fleet": cover.look(self.clients, self.trust.domain)}
        raw = self.beat(**{"number": self.number, **fleet, **self.changes})
        if cover is not None:
            cover.prove(self.clients, layout.proofs_key(self.trust.domain, self.issuer), raw)
        for index in range(len(self.clients)):
            shown = self.mutate(index, raw)
            if shown is not None:
                self.put(self.beat_key, shown, index)

    def start(self) -> None:
        """Pulse ten times a second in the background."""
        self._task = asyncio.get_running_loop().create_task(self._beat_on())

    async def stop(self) -> None:
        """Fall silent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def close(self) -> None:
        """Close the connections."""
        for client in self.clients:
            client.close()

    async def _beat_on(self) -> None:
        while True:
            self.pulse()
            await asyncio.sleep(BEAT_S)


class Service:
    """An inference-shaped service that writes down which decision ids reached it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.exempt = 0
        self.requests: list[web.Request] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self.answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        decision = request.headers.get("x-epochgate-decision-id")
        if decision is None:
            self.exempt += 1
            return web.Response(text="ok")
        self.seen.append(decision)
        asked = await request.json() if request.can_read_body else {}
        if asked.get("stream"):
            return await self._stream(request, int(asked.get("max_tokens", 5)))
        return web.json_response(
            {
                "id": "c1", "object": "chat.completion", "created": 0, "model": "m",
                "choices": [{
                    "index": 0, "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "hello" * asked.get("repeat", 1)},
                }],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        )  # fmt: skip

    async def _stream(self, request: web.Request, count: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(count):
            chunk = {
                "id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "m",
                "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}],
            }  # fmt: skip
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            await asyncio.sleep(0.02)
        await response.write(b"data: [DONE]\n\n")
        return response


class Sidecar:
    """The process under test; `program` is what the interpreter is told to run.

    With `forks`, and as long as that is the program itself, it is not a new interpreter.

    Args:
        folder: Its configuration, state and log.
        hand: Whose trust document it pins.
        changes: Parts of `spec` to replace or add.
    """

    program: tuple[str, ...] = ("-m", "sidecar", "run", "sidecar")
    forks: Forks | None = None

    def __init__(self, folder: Path, hand: Hand, **changes: Any) -> None:
        self.folder = folder
        self._child: subprocess.Popen[bytes] | Forked | None = None
        self.inbound = self.status = 0
        (folder / "state").mkdir(parents=True)
        (folder / "trust.json").write_bytes(hand.trust_raw)
        spec: dict[str, Any] = {
            "service": "chat", "region": "here", "trust": {"file": "trust.json"},
            "state": {"dir": "state"},
            "listen": {"inbound": f"{HOST}:0", "status": f"{HOST}:0"},
            "sync": {
                "peers": [
                    {"id": f"p{index}", "url": f"redis://{HOST}:{valkey.port}/0"}
                    for index, valkey in enumerate(hand.valkeys, start=1)
                ],
                "quorum": 2, "ttl": f"{TTL_MS}ms", "skew": f"{SKEW_MS}ms", "drift": "2000ppm",
                "poll": "50ms", "timeout": "150ms",
            },
            "drain": {"delay": "0ms", "timeout": "5s"},
        }  # fmt: skip
        for path, value in changes.items():
            section, _, key = path.partition("__")
            if key:
                spec.setdefault(section, {})[key] = value
            else:
                spec[section] = value
        document = {
            "apiVersion": "epochgate.io/v1alpha1", "kind": "SidecarConfig",
            "metadata": {"name": "test"}, "spec": spec,
        }  # fmt: skip
        (folder / "sidecar.yaml").write_text(yaml.safe_dump(document))

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.inbound}"

    @property
    def journal(self) -> Path:
        return self.folder / "state" / "audit"

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        arguments = [*self.program, "--config", str(self.folder / "sidecar.yaml")]
        with (self.folder / "log").open("ab") as log:
            if self.forks is not None and self.program is Sidecar.program:
                self._child = self.forks.start(arguments[2:], log)
                return
            self._child = subprocess.Popen(
                [sys.executable, *arguments],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    async def start(self) -> None:
        """Start, and wait until it listens."""
        seen = len(self.lines())
        self.spawn()
        assert self._child is not None
        while True:
            for fact in self.facts(seen):
                if fact.get("event") == "status_listening":
                    self.status = int(str(fact["address"]).rpartition(":")[2])
                if fact.get("event") == "listening":
                    self.inbound = int(str(fact["address"]).rpartition(":")[2])
                    return
            assert self._child.poll() is None, self.output()
            await asyncio.sleep(0.01)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait; its exit status."""
        child, self._child = self._child, None
        if child is None:
            return 0
        os.kill(child.pid, number)
        return child.wait(timeout=LIMIT_S)

    def wait(self) -> int:
        """Wait until it ends by itself; its exit status."""
        child, self._child = self._child, None
        assert child is not None
        return child.wait(timeout=LIMIT_S)

    def output(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def lines(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def facts(self, after: int = 0) -> Iterator[dict[str, object]]:
        for line in self.lines()[after:]:
            if line.startswith("{") and line.endswith("}"):
                yield json.loads(line)

    def records(self) -> list[dict[str, Any]]:
        """Everything in the journal."""
        paths = sorted(self.journal.rglob("*.jsonl"))
        lines = [line for path in paths for line in path.read_bytes().splitlines()]
        return [msgspec.json.decode(line) for line in lines if line.startswith(b"{")]

    def permits(self) -> Counter[str]:
        """Decision ids of permits under which something was sent."""
        found: Counter[str] = Counter()
        for line in self.records():
            if line["type"] == "decision" and line["decision"] == "permit":
                found[line["decision_id"]] += 1
            if line["type"] == "outcome" and not line["sent"]:
                found[line["decision_id"]] -= 1
        return +found


class World:
    """Everything a test needs, wired."""

    def __init__(
        self, hand: Hand, service: Service, sidecar: Sidecar, session: aiohttp.ClientSession
    ) -> None:
        self.hand = hand
        self.service = service
        self.sidecar = sidecar
        self.session = session

    @property
    def routes(self) -> bytes:
        return builders.routes_bytes(self.service.port)

    async def open(self) -> None:
        """Publish an epoch, beat, start the sidecar, wait for the first permit."""
        if self.hand.epoch is None:
            self.hand.put_epoch(routes=self.routes)
        self.hand.pulse()
        self.hand.start()
        await self.sidecar.start()
        await self.until(200)

    async def ask(self, path: str = "/v1/chat/completions", **options: Any) -> tuple[int, str, Any]:
        """One POST: status, reason code, body."""
        options.setdefault("json", {"model": "m"})
        async with self.session.post(self.sidecar.url + path, **options) as response:
            body = await response.json(content_type=None)
            return response.status, response.headers.get("x-epochgate-reason", ""), body

    async def until(self, status: int, reason: str = "") -> Any:
        """Ask until that answer comes; the body."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                got = await self.ask()
                if got[0] == status and reason in ("", got[1]):
                    return got[2]
                await asyncio.sleep(0.01)

    async def state(self) -> dict[str, Any]:
        """What the status port says."""
        async with self.session.get(f"http://{HOST}:{self.sidecar.status}/v1/state") as response:
            said: dict[str, Any] = await response.json()
            return said

    async def until_cause(self, code: str) -> dict[str, Any]:
        """Wait until the state names a cause, a reason, or a peer's result with that code."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                state = await self.state()
                told = [state["reason"], *state["causes"]]
                told += [hold["reason"] for hold in state["holds"]]
                told += [peer["result"] for peer in state.get("peers", {}).values()]
                if code in told:
                    return state
                await asyncio.sleep(0.01)
