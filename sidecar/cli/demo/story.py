"""The demo's story: nine things that a lease gate must do, each done and checked.

A step returns what was seen, in words, and the bound it had to keep; `BrokenError` says that the
claim did not hold. Nothing is assumed: reasons come from answers, instants from the signed beats on
the peers and from the audit log, and what reached the service from the service itself.
"""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from sidecar import clock
from sidecar.cli.demo.client import Client, Stream
from sidecar.cli.demo.fleet import SKEW_MS, TTL_MS, Fleet
from sidecar.cli.demo.processes import Process
from sidecar.cli.text import CliError

RECOVER_S = 5.0
LOAD_S = 1.0
LOAD_CLIENTS = 16
LIE_S = 2.0

Step = Callable[[], Awaitable[tuple[str, str]]]


class BrokenError(Exception):
    """A claim did not hold; the message says what was seen instead."""


def check(holds: bool, otherwise: str) -> None:  # noqa: FBT001
    """Raise `BrokenError` unless the claim holds."""
    if not holds:
        raise BrokenError(otherwise)


class Story:
    """The steps, over one running fleet.

    Args:
        fleet: Everything but the sidecar is running.
        session: For all requests.
    """

    def __init__(self, fleet: Fleet, session: aiohttp.ClientSession) -> None:
        self._fleet = fleet
        self._session = session
        self._client = Client(session, fleet.url)
        self._halt_id = ""
        self._old: list[tuple[str, bytes]] = []  # beats of step 2, to be replayed in step 5
        self._stream = Stream()

    @property
    def steps(self) -> tuple[tuple[str, Step], ...]:
        """Title and deed of each step, in order."""
        return (
            ("gate opens, tokens stream", self.opens),
            ("authority silent: denied at the deadline", self.silence),
            ("authority back: recovers by itself", self.recovery),
            ("two of three peers gone: contained", self.minority),
            ("one peer forges and rolls back: ignored", self.liar),
            ("new epoch: old route denied", self.new_policy),
            ("halt: running stream is cut", self.halt),
            ("clear needs its threshold", self.clear),
            ("kill -9 under load: no request without a record", self.crash),
        )

    async def opens(self) -> tuple[str, str]:
        """Start the sidecar; a completion streams through it."""
        began = clock.now()
        self._fleet.sidecar.start()
        await self._up(self._fleet.sidecar)
        first = await self._client.until(200, RECOVER_S)
        if first is None:
            answer = await self._client.ask()
            raise BrokenError(f"no permit; the last answer was {answer.status} {answer.reason}")
        start_ms = (first.got.boot - began.boot) // 1_000_000
        stream = Stream()
        await self._client.stream(12, stream)
        check(stream.done and stream.words == 12, f"stream ended after {stream.words} words")  # noqa: PLR2004
        return f"12 of 12 tokens; first permit {start_ms} ms after start", "complete"

    async def silence(self) -> tuple[str, str]:
        """Freeze the authority; every permit must lie within ttl of its last beat."""
        async with self._client.probing() as answers:
            await asyncio.sleep(0.5)
            self._fleet.pause(self._fleet.authority)
            await self._wait(lambda: bool(answers) and answers[-1].status == 503, TTL_MS / 1000 + 2)  # noqa: PLR2004
        self._old = self._fleet.beats(self._fleet.ports.peers[2])
        beat = self._fleet.newest_beat()
        check(beat is not None, "no beat on the first peer")
        assert beat is not None
        denied = [answer for answer in answers if answer.status != 200]  # noqa: PLR2004
        reasons = {answer.reason for answer in denied}
        check(reasons == {"EG102"}, f"expected EG102 only, saw {sorted(reasons)}")
        last_ms = self._last_permit_ms() - beat.issued_at
        check(last_ms < TTL_MS, f"a request was permitted {last_ms} ms after the last beat")
        return (
            f"EG102; last permit {last_ms} ms after the last beat",
            f"< {TTL_MS} ms (ttl {TTL_MS}, of it {SKEW_MS} kept for clock error)",
        )

    async def recovery(self) -> tuple[str, str]:
        """Let the authority run on."""
        resumed = clock.now()
        self._fleet.resume(self._fleet.authority)
        answer = await self._client.until(200, RECOVER_S)
        check(answer is not None, f"still denied after {RECOVER_S} s")
        assert answer is not None
        return f"permitted {(answer.got.boot - resumed.boot) // 1_000_000} ms later", "by itself"

    async def minority(self) -> tuple[str, str]:
        """Freeze two peers; beats still arrive from the third, and do not suffice."""
        frozen = self._fleet.peers[:2]
        self._fleet.pause(*frozen)
        try:
            answer = await self._client.until(503, TTL_MS / 1000 + 2)
            check(answer is not None, "still permitted with one peer of three")
            causes = (await self._state())["causes"]
            check("EG801" in causes, f"causes are {causes}")
        finally:
            self._fleet.resume(*frozen)
        check(await self._client.until(200, RECOVER_S) is not None, "did not recover")
        return f"EG102 because of {', '.join(causes)}; recovered", "quorum 2 of 3"

    async def liar(self) -> tuple[str, str]:
        """Overwrite one peer's beat with a forged one and an old one, again and again."""
        before = await self._peer_results("p3")
        async with self._client.probing() as answers:
            await self._lie(self._old)
        after = await self._peer_results("p3")
        told = {code: after[code] - before[code] for code in after if after[code] > before[code]}
        lies = {code: count for code, count in told.items() if code.startswith("EG")}
        check({"EG601", "EG802"} <= lies.keys(), f"lies counted: {lies}")
        wrong = [answer for answer in answers if answer.status != 200]  # noqa: PLR2004
        check(not wrong, f"{len(wrong)} of {len(answers)} requests were denied")
        counts = ", ".join(f"{code} x{count}" for code, count in sorted(lies.items()))
        return f"{len(answers)} of {len(answers)} permitted; peer p3: {counts}", "0 denied"

    async def new_policy(self) -> tuple[str, str]:
        """Publish an epoch whose policy no longer permits listing models."""
        check((await self._client.ask("GET", "/v1/models")).status == 200, "route was not open")  # noqa: PLR2004
        began = clock.now()
        await asyncio.to_thread(
            self._fleet.issue, "policy-2.yaml", "models are not listed any more"
        )
        answer = None
        async with asyncio.timeout(RECOVER_S):
            while answer is None or answer.reason != "EG204":
                answer = await self._client.ask("GET", "/v1/models")
        spent_ms = (answer.got.boot - began.boot) // 1_000_000
        check(answer.status == 403, f"status was {answer.status}")  # noqa: PLR2004
        check(await self._client.until(200, RECOVER_S) is not None, "the other route is closed too")
        return f"403 EG204 {spent_ms} ms after the command began; chat goes on", "403"

    async def halt(self) -> tuple[str, str]:
        """Sign a halt while a long completion streams."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._client.stream(10_000, self._stream))
            await self._stream.first.wait()
            self._halt_id = await asyncio.to_thread(self._fleet.halt, "demo")
        stream = self._stream
        assert stream.ended is not None
        check(not stream.done and stream.words > 0, "the stream was not cut")
        check("EG901" in stream.error, f"the stream's last event said {stream.error!r}")
        answer = await self._client.ask()
        check(answer.reason == "EG901", f"a new request got {answer.status} {answer.reason}")
        signed_ms = (await self._state())["halts"][0]["issued_at"]
        cut_ms = stream.ended.wall - signed_ms
        return f"cut after {stream.words} tokens, {cut_ms} ms after the signature", "no [DONE]"

    async def clear(self) -> tuple[str, str]:
        """One resume key is refused; two end the halt."""
        try:
            await asyncio.to_thread(self._fleet.clear, self._halt_id, 1)
        except CliError as error:
            refused = error.message
        else:
            raise BrokenError("one key of two was enough")
        check((await self._client.ask()).reason == "EG901", "not halted any more")
        await asyncio.to_thread(self._fleet.clear, self._halt_id, 2)
        check(await self._client.until(200, RECOVER_S) is not None, "still halted")
        check(bool(refused), "refused without a word")
        return "1 key refused, 2 keys: running again", "2 of 3 keys"

    async def crash(self) -> tuple[str, str]:
        """Kill the sidecar while 16 clients send; verify the journal, compare with the service."""
        async with asyncio.TaskGroup() as tasks:
            clients = [tasks.create_task(self._load()) for _ in range(LOAD_CLIENTS)]
            await asyncio.sleep(LOAD_S)
            self._fleet.sidecar.end()
            for client in clients:
                client.cancel()
        self._fleet.sidecar.start()
        await self._up(self._fleet.sidecar)
        check(await self._client.until(200, RECOVER_S) is not None, "did not come back")
        self._fleet.sidecar.end(signal.SIGTERM)
        said = await asyncio.to_thread(self._fleet.command, "audit", "verify", "sidecar/audit")
        check(bool(said), "verify said nothing")
        public = ("--url", self._fleet.public_url, "--config", "authority.yaml")
        await asyncio.to_thread(self._fleet.command, "governance", "verify", *public)
        seen = Counter(self._fleet.seen.read_text().split())
        permits = {line["decision_id"] for line in self._records() if line["decision"] == "permit"}
        missing = [decision for decision in seen if decision not in permits]
        twice = [decision for decision, count in seen.items() if count > 1]
        check(not missing, f"{len(missing)} requests reached the service without a record")
        check(not twice, f"{len(twice)} permits were used twice")
        return (
            f"{sum(seen.values())} requests reached the service, all recorded; both logs verified",
            "0",
        )

    # -- hands -----------------------------------------------------------------------------------

    async def _up(self, process: Process) -> None:
        def listening() -> bool:
            return any(fact.get("event") == "listening" for fact in process.facts())

        await asyncio.to_thread(process.wait_for, "its listener", listening)

    async def _load(self) -> None:
        while (await self._client.ask()).status:
            pass

    async def _lie(self, old: list[tuple[str, bytes]]) -> None:
        port = self._fleet.ports.peers[2]
        deadline = clock.now().boot + int(LIE_S * 1e9)
        turn = 0
        while clock.now().boot < deadline:
            for key, raw in old:
                forged = _forge(raw)
                await asyncio.to_thread(self._fleet.put, port, key, raw if turn % 2 else forged)
            turn += 1
            await asyncio.sleep(0.02)

    async def _state(self) -> dict[str, Any]:
        async with self._session.get(self._fleet.status_url + "/v1/state") as response:
            state: dict[str, Any] = await response.json()
            return state

    async def _peer_results(self, peer: str) -> Counter[str]:
        async with self._session.get(self._fleet.status_url + "/metrics") as response:
            text = await response.text()
        results: Counter[str] = Counter()
        for line in text.splitlines():
            if line.startswith("epochgate_peer_reads_total{") and f'peer="{peer}"' in line:
                result = line.partition('result="')[2].partition('"')[0]
                results[result] = int(float(line.rpartition(" ")[2]))
        return results

    async def _wait(self, ready: Callable[[], bool], limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                while not ready():  # noqa: ASYNC110 - another process: no event to wait for
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise BrokenError(f"nothing happened within {limit_s:.1f} s") from None

    def _last_permit_ms(self) -> int:
        return max(int(line["ts"]) for line in self._records() if line["decision"] == "permit")

    def _records(self) -> list[dict[str, "int | str"]]:
        paths = sorted(self._fleet.journal.glob("*.jsonl"))
        lines = (line for path in paths for line in path.read_bytes().splitlines())
        return [
            record
            for line in lines
            if line.startswith(b"{") and (record := json.loads(line))["type"] == "decision"
        ]


def _forge(raw: bytes) -> bytes:
    """The same envelope with one letter of its signature changed."""
    at = raw.index(b'"sig":"') + 20
    other = b"A" if raw[at : at + 1] != b"A" else b"B"
    return raw[:at] + other + raw[at + 1 :]
