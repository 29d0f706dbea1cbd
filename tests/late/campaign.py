"""Several sidecars, stopped over and over until their leases are over; then everything is compared.

Each lane is one real sidecar process with a service of its own, all on the same three peers and
under the same authority.
"""

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from sidecar.core import canonical
from sidecar.core.objects.trust import Limits
from tests import builders
from tests.integration.harness import Hand
from tests.late import verdict
from tests.late.lane import LIMIT_S, SKEW_MS, TTL_MS, Lane, LateSidecar
from tests.late.launcher import POINTS
from tests.late.pauses import Freezer, Stopped, freezer, strace_missing
from tests.late.verdict import Row
from tests.valkey import HOST, ValkeyServer

BEAT_S = 0.05
SYNC = {
    "sync__ttl": f"{TTL_MS}ms", "sync__skew": f"{SKEW_MS}ms", "sync__poll": "25ms",
    "sync__timeout": "60ms",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to do.

    Attributes:
        stops: By signal and freezer, at least.
        outside: Of these, at random times; the others are spread over the points.
        delays: Delayed system calls, for each kind.
    """

    stops: int = 300
    outside: int = 44
    delays: int = 12


@dataclass(slots=True)
class Found:
    """What came out.

    Attributes:
        rows: By way to stop and point.
        counted: What the sidecars' own counters of late writes said at the end.
        recorded: Permits that ended as late, in all journals.
        skipped: What could not be done on this machine, and why.
        evidence: Each request that broke a promise, in full.
        unstamped: Requests of which the kernel did not say when they were written.
    """

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    counted: int = 0
    recorded: int = 0
    skipped: list[str] = field(default_factory=list)
    unstamped: int = 0
    evidence: list[str] = field(default_factory=list)

    def total(self) -> Row:
        """All rows together."""
        total = Row()
        for row in self.rows.values():
            total += row
        return total

    def report(self) -> list[str]:
        """The table, and what was left out."""
        lines = verdict.table(self.rows)
        return lines + [f"not done: {line}" for line in self.skipped] + self.evidence


def _routes(ports: dict[str, int]) -> bytes:
    """Each lane has a path, and a service, of its own."""
    return canonical.encode({
        "_type": builders.routes.TYPE, "name": "late",
        "upstreams": {name: {"host": HOST, "port": port} for name, port in ports.items()},
        "routes": [{"name": name, "paths": [f"/v1/{name}/**"], "upstream": name} for name in ports],
        "exempt": [],
    })  # fmt: skip


@asynccontextmanager
async def _authority(valkeys: tuple[ValkeyServer, ...], routes: bytes) -> AsyncIterator[Hand]:
    """Vouches for all lanes, twenty times a second."""
    limits = Limits(ttl_max_ms=TTL_MS, skew_max_ms=SKEW_MS, drift_ppm=2000)
    hand = Hand(valkeys, limits=limits)
    hand.changes = {"ttl_ms": TTL_MS, "interval_ms": int(BEAT_S * 1000)}
    hand.put_epoch(routes=routes)

    async def beat_on() -> None:
        while True:
            hand.pulse()
            await asyncio.sleep(BEAT_S)

    beating = asyncio.get_running_loop().create_task(beat_on())
    try:
        yield hand
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        hand.close()


@contextmanager
def _service(folder: Path, lanes: list[Lane]) -> Iterator[dict[str, int]]:
    """The services behind all lanes, in a process of their own; the ports."""
    told = [
        {"lane": lane.name, "http": lane.http,
         "key_file": str(lane.key_file) if lane.fenced else None}
        for lane in lanes
    ]  # fmt: skip
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.late.service",
            str(folder / "seen"),
            json.dumps(told),
        ],
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        try:
            yield json.loads(child.stdout.readline())
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(LIMIT_S)


@asynccontextmanager
async def _running(lanes: list[Lane], hand: Hand) -> AsyncIterator[None]:
    """A sidecar for each lane; everybody is let go on and ended afterwards."""
    try:
        for lane in lanes:
            fence = {"fence__keyFile": str(lane.key_file)} if lane.fenced else {}
            lane.sidecar = LateSidecar(lane.folder / "sidecar", hand, **SYNC, **fence)
            lane.sidecar.freezer = lane.freezer
            lane.sidecar.points = lane.points
        async with asyncio.TaskGroup() as tasks:
            for lane in lanes:
                tasks.create_task(lane.sidecar.start())
        for lane in lanes:
            lane.pause = lane.freezer or Stopped(lane.sidecar.pid)
        yield
    finally:
        for lane in lanes:
            lane.end()


def _lanes(folder: Path, found: Found) -> list[Lane]:
    """Those that this machine permits."""
    lanes = [
        Lane("stop-open", "SIGSTOP", "h11", folder, fenced=False, points=True),
        Lane("stop-h11", "SIGSTOP", "h11", folder, fenced=True, points=True),
        Lane("stop-httptools", "SIGSTOP", "httptools", folder, fenced=True, points=True),
        Lane("outside", "SIGSTOP", "httptools", folder, fenced=False),
    ]
    made = freezer(f"epochgate-late-{os.getpid()}")
    if isinstance(made, Freezer):
        frozen = Lane("freeze", "freezer", "httptools", folder, fenced=True, points=True)
        frozen.freezer = made
        lanes.append(frozen)
    else:
        found.skipped.append(f"freezer: {made}")
    missing = strace_missing()
    if missing:
        found.skipped.append(f"strace: {missing}")
    else:
        lanes.append(Lane("strace", "strace", "h11", folder, fenced=True))
    return lanes


async def _work(lane: Lane, plan: Plan, rounds: int) -> None:
    if lane.points:
        await lane.visit(rounds)
    elif lane.how == "strace":
        await lane.delay(plan.delays)
    else:
        await lane.surprise(plan.outside)


def _compare(found: Found, lanes: list[Lane], seen: Path) -> None:
    """Put log, journals and clients together."""
    entries = [json.loads(line) for line in seen.read_text().splitlines()]
    for lane in lanes:
        records = lane.sidecar.records()
        ends, permits = verdict.ends(records), verdict.permits(records)
        found.recorded += sum(end == "late" for end in ends.values())
        for point, stops in lane.stops.items():
            found.rows.setdefault((lane.how, point), Row()).stops += stops
        for entry in (entry for entry in entries if entry["lane"] == lane.name):
            if entry["written_wall_ns"] is None:
                found.unstamped += 1
                continue
            known = entry["id"]
            shown = verdict.judge(
                entry,
                ends.get(known),
                permitted=known in permits,
                relayed=entry["number"] in lane.relayed,
                fenced=lane.fenced,
            )
            row = found.rows.setdefault((lane.how, entry["point"]), Row())
            row += shown
            if shown.broken:
                found.evidence.append(f"{shown.broken} {ends.get(known)} {entry}")


async def run(plan: Plan, folder: Path, valkeys: tuple[ValkeyServer, ...]) -> Found:
    """Run a campaign.

    Args:
        plan: How much to do.
        folder: For everything that is written; empty.
        valkeys: Three empty peers.
    """
    found = Found()
    lanes = _lanes(folder, found)
    visits = len(POINTS) * sum(lane.points for lane in lanes)  # of one round
    rounds = max(1, math.ceil((plan.stops - plan.outside) / visits))
    with _service(folder, lanes) as ports:
        async with _authority(valkeys, _routes(ports)) as hand, _running(lanes, hand):
            async with asyncio.TaskGroup() as tasks:
                for lane in lanes:
                    tasks.create_task(_work(lane, plan, rounds))
            async with aiohttp.ClientSession() as session:
                for lane in lanes:
                    found.counted += await lane.counted(session)
    _compare(found, lanes, folder / "seen")
    return found
