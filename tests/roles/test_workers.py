"""One sidecar in several processes: what each of them guards when another is dead or frozen."""

import asyncio
import json
import os
import resource
import signal
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import aiohttp
import pytest
from aiohttp import web

from sidecar import clock
from sidecar.audit import checkpoints, collection
from sidecar.config.read import read_sidecar
from sidecar.core import canonical, share
from sidecar.core.parent import Tokens
from sidecar.core.snapshot import CLOSED
from sidecar.proxy.fence import Fence
from sidecar.roles import workers
from sidecar.roles.workers import Parts
from tests import builders
from tests.config import builders as config_builders
from tests.integration.harness import HOST, LIMIT_S, TTL_MS, World

pytestmark = pytest.mark.sidecar(workers=2)

PARENT_KEY = bytes(range(32))


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


def permitted(world: World) -> list[int]:
    """When; wall time."""
    return [line["ts"] for line in world.sidecar.records() if line.get("decision") == "permit"]


def stopped(world: World) -> set[str]:
    """Logs whose last word is that they ended."""
    return {line["inst"] for line in world.sidecar.records() if line["type"] == "stop"}


def sealed(request: web.Request, key: str) -> bool:
    """Whether a request carries the seal of that key."""
    said = [request.headers[f"x-epochgate-{name}"] for name in ("epoch", "not-after")]
    decision_id = request.headers["x-epochgate-decision-id"].encode()
    bound = "\n".join(said).encode()
    fence = Fence(bytes.fromhex(key))
    line = fence.line(request.method.encode(), request.path_qs.encode(), decision_id, bound)
    return line == b"x-epochgate-fence: %b\r\n" % request.headers["x-epochgate-fence"].encode()


async def fresh(world: World) -> tuple[int, str]:
    """Status and reason over a connection of its own."""
    async with aiohttp.ClientSession() as session:
        url = f"{world.sidecar.url}/v1/chat/completions"
        async with session.post(url, json={"model": "m"}) as response:
            await response.read()
            return response.status, response.headers.get("x-epochgate-reason", "")


def verified(world: World) -> None:
    """Every log is whole to its end, and under a checkpoint signed by the key of its name."""
    folders = collection.find(world.sidecar.journal)
    keys = [checkpoints.read_vkey(folder) for folder in folders]
    assert len({str(key) for key in keys}) == len(folders) == 3
    for report in collection.verify(folders, [key for key in keys if key]).values():
        assert (report.verified, report.tail_records, report.fault) == (True, 0, None)


async def metrics(world: World) -> dict[str, float]:
    async with world.session.get(f"http://{HOST}:{world.sidecar.status}/metrics") as response:
        text = await response.text()
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_a_snapshot_is_in_memory_before_anybody_is_told() -> None:
    seen: list[str] = []
    board = SimpleNamespace(
        publish=lambda body: seen.append(share.decode(body, CLOSED).absent.code)
    )
    told = SimpleNamespace(notify=lambda: seen.append("told"))
    parts = SimpleNamespace(board=board, workers=(told, told))
    Parts.share(cast("Parts", parts), CLOSED)
    assert seen == ["EG905", "told", "told"]


def test_auto_is_a_worker_for_each_core_that_may_be_used(tmp_path: Path) -> None:
    text = config_builders.SIDECAR + "  workers: auto\n"
    config = read_sidecar(config_builders.write(tmp_path, text), {}).config
    assert workers.count(config) == min(64, len(os.sched_getaffinity(0)))
    assert workers.count(replace(config, workers=3)) == 3


def told(request: web.Request) -> str:
    """What the token of a request says of the decision that it came with."""
    token = request.headers["x-epochgate-token"].encode()
    claim = Tokens([PARENT_KEY], 0).claim([(b"parent-decision", token)], clock.now().wall)
    assert claim.decision_id == request.headers["x-epochgate-decision-id"]
    return claim.kind


@pytest.mark.sidecar(workers=2, fence={"keyFile": "fence.key"}, parent={"keyFile": "parent.key"})
async def test_both_workers_serve_and_each_keeps_a_log_of_its_own(world: World) -> None:
    (world.sidecar.folder / "parent.key").write_text(PARENT_KEY.hex() + "\n")
    asks = {"parent": {"max_age_ms": 60_000, "required": False}}
    policy = canonical.encode({**json.loads(builders.POLICY), **asks})
    world.hand.put_epoch(routes=world.routes, policy=policy)
    await world.open()
    await pids(world)
    async with asyncio.timeout(LIMIT_S):
        while len(worker_of(world)) < 2:
            assert (await fresh(world))[0] == 200
    key = (world.sidecar.folder / "fence.key").read_text()
    assert {sealed(request, key) for request in world.service.requests} == {True}
    assert {told(request) for request in world.service.requests} == {"permit"}
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
    assert len(stopped(world)) == 3
    assert len({line["boot"] for line in world.sidecar.records()}) == 3
    verified(world)


async def test_a_killed_worker_is_replaced_and_nothing_passes_unrecorded(world: World) -> None:
    await world.open()
    before = await pids(world)
    statuses: Counter[int] = Counter()
    enough = asyncio.Event()

    async def ask_on() -> None:
        while not enough.is_set():
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
    enough.set()
    await asyncio.gather(*asking)
    assert set(statuses) == {200}
    ends = [fact for fact in world.sidecar.facts() if fact["event"] == "worker_ended"]
    assert [fact["status"] for fact in ends] == [-signal.SIGKILL]
    assert world.sidecar.end() == 0
    verified(world)
    # Between the record and the write the kill may have come: recorded, and never seen.
    unused = world.sidecar.permits() - Counter(world.service.seen)
    assert len(unused) <= len(asking)
    world.service.seen += unused.elements()


async def test_the_log_of_a_killed_worker_is_shown_until_another_goes_on_with_it(
    world: World,
) -> None:
    await world.open()
    killed, _ = await pids(world)
    os.kill(killed, signal.SIGKILL)
    last = (await world.state())["audit"]["records"]
    async with asyncio.timeout(LIMIT_S):
        while True:
            state = await world.state()
            assert state["audit"]["records"] >= last
            last = state["audit"]["records"]
            if state["workers"][0]["restarts"] == 1 and state["workers"][0]["up"]:
                break


async def test_workers_deny_in_time_while_the_follower_is_frozen_and_go_on_after(
    world: World,
) -> None:
    await world.open()
    await pids(world)
    os.kill(world.sidecar.pid, signal.SIGSTOP)
    frozen = clock.now().wall
    try:
        async with asyncio.timeout(LIMIT_S):
            while (answer := await fresh(world))[0] == 200:
                pass
        assert answer == (503, "EG102")
        seen = len(world.service.seen)
        for _ in range(20):
            assert await fresh(world) == (503, "EG102")
        assert len(world.service.seen) == seen
        assert max(permitted(world)) < frozen + TTL_MS
    finally:
        os.kill(world.sidecar.pid, signal.SIGCONT)
    await world.until(200)


async def test_workers_outlive_a_killed_follower_for_their_lease_and_no_longer(
    world: World,
) -> None:
    await world.open()
    crew = await pids(world)
    world.sidecar.end(signal.SIGKILL)
    killed = clock.now().wall
    await until(lambda: all(ended(pid) for pid in crew))
    with pytest.raises(aiohttp.ClientConnectionError):
        await fresh(world)
    assert max(permitted(world)) < killed + TTL_MS
    assert len(stopped(world)) == 2, "each worker ended in order"
    await world.sidecar.start()
    await world.until(200)


@pytest.mark.sidecar(workers=2, fence={"keyFile": "fence.key"})
async def test_a_start_that_fails_leaves_the_key_to_those_who_still_serve(world: World) -> None:
    """Workers outlive their follower for their lease; the next start may come sooner."""
    path = world.sidecar.folder / "fence.key"
    path.write_text("theirs")
    settings = world.sidecar.folder / "sidecar.yaml"
    with socket.socket() as theirs:
        theirs.bind((HOST, 0))
        theirs.listen()
        inbound = f"inbound: {HOST}:{theirs.getsockname()[1]}"
        settings.write_text(settings.read_text().replace(f"inbound: {HOST}:0", inbound))
        world.sidecar.spawn()
        assert world.sidecar.wait() == 69
    assert "inbound port" in world.sidecar.output()
    assert path.read_text() == "theirs"


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
    assert len(stopped(world)) == 3


async def test_what_holds_one_worker_holds_it_alone_and_is_seen(world: World) -> None:
    """Its journal cannot grow any more; the other worker's can, and the logs are far below that."""
    await world.open()
    first, _ = await pids(world)
    async with asyncio.timeout(LIMIT_S):
        while worker_of(world)["worker-0"] < 40:
            await asyncio.gather(*(fresh(world) for _ in range(10)))
    sizes = {
        path.parent.name: path.stat().st_size for path in world.sidecar.journal.rglob("*.jsonl")
    }
    resource.prlimit(first, resource.RLIMIT_FSIZE, (sizes["worker-0"], sizes["worker-0"]))
    async with asyncio.timeout(LIMIT_S):
        while (await world.state())["workers"][0]["reason"] != "EG702":
            await fresh(world)
    state = await world.state()
    assert state["state"] == state["workers"][1]["state"] == "running"
    assert state["workers"][0]["holds"] == ["EG702"]
    values = await metrics(world)
    assert [values[f'epochgate_worker_running{{worker="{n}"}}'] for n in (0, 1)] == [0, 1]
    async with asyncio.timeout(LIMIT_S):
        while (await fresh(world))[0] != 200:
            pass


async def test_a_frozen_worker_keeps_nobody_from_the_metrics_or_the_service(
    world: World,
) -> None:
    """It is shown as it last was, and as silent; the other one takes the traffic."""
    await world.open()
    frozen, _ = await pids(world)
    os.kill(frozen, signal.SIGSTOP)
    async with asyncio.timeout(LIMIT_S):
        while (await world.state())["workers"][0]["up"]:
            await asyncio.sleep(0.05)
    values = await metrics(world)
    assert [values[f'epochgate_worker_up{{worker="{n}"}}'] for n in (0, 1)] == [0, 1]
    async with asyncio.timeout(LIMIT_S):
        while (await fresh(world))[0] != 200:
            pass
    os.kill(frozen, signal.SIGCONT)
    await pids(world)
