"""One sidecar with its clients, and how it is stopped: again and again, each time for longer than a
lease lasts, so that what it does next is late."""

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.integration.harness import Sidecar
from tests.late.client import Client
from tests.late.launcher import LATE_BODY, POINTS
from tests.late.pauses import Call, Delays, Freezer, Pause, Stopped
from tests.valkey import HOST

TTL_MS = 240  # as short as the configuration may say, with what a slow machine needs for a round
SKEW_MS = 20
OVER_S = (TTL_MS + 50) / 1000  # no lease that was there when the stop began is left after this
DELAY_US = TTL_MS * 1000 + 60_000
LIMIT_S = 30.0
ORDINARY = "not stopped"
ANYWHERE = "at a random time"
# More calls between two delays than it takes to get a lease again; some of them go to the peers.
CALLS = {
    "before a write call": Call("write", "delay_enter", 61, late=True),
    "after a write call": Call("write", "delay_exit", 61, late=True),
    "before the record's call": Call("pwrite64", "delay_enter", 17, late=False),
}


class LateSidecar(Sidecar):
    """A sidecar, perhaps with points to stop at, perhaps in a cgroup that can be frozen."""

    points = False
    freezer: Freezer | None = None

    def spawn(self) -> None:
        if not self.points:
            super().spawn()
            return
        switch = {"LATE_FREEZE": str(self.freezer.switch)} if self.freezer else {}
        with (self.folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tests.late.launcher", "--config",
                 str(self.folder / "sidecar.yaml")],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env={**os.environ, **switch},
            )  # fmt: skip
        if self.freezer:
            self.freezer.take(self._child.pid)


class Lane:
    """One sidecar, its clients, and how it is stopped."""

    def __init__(
        self,
        name: str,
        how: str,
        http: str,
        folder: Path,
        *,
        fenced: bool,
        points: bool = False,
    ) -> None:
        self.name, self.how, self.http = name, how, http
        self.fenced, self.points = fenced, points
        self.folder = folder / name
        self.key_file = self.folder / "shared" / "fence.key"
        self.key_file.parent.mkdir(parents=True)
        self.freezer: Freezer | None = None
        self.stops: Counter[str] = Counter()
        self.client = Client(name)
        self.asked = 0
        self.relayed: set[str] = set()
        self.sidecar: LateSidecar
        self.pause: Pause

    async def ask(self, point: str, client: Client | None = None, stop: str = "") -> bool:
        """One request; whether it was permitted. Notes if any of the service's answer came."""
        self.asked += 1
        number = str(self.asked)
        said = {
            "x-point": point,
            "x-number": number,
            **({"x-stop-at": stop} if stop else {}),
        }
        decision = await (client or self.client).ask(
            self.sidecar.inbound, said, apart=point in LATE_BODY
        )
        # The sidecar says "deny" on each answer of its own, and on no other.
        if decision not in ("", "deny"):
            self.relayed.add(number)
        return decision == "permit"

    async def until_open(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not await self.ask(ORDINARY):
                await asyncio.sleep(0.005)

    async def stop_at(self, point: str) -> None:
        """Stop once at that point, for longer than a lease lasts, while a request is there."""
        while True:
            await self.until_open()
            asked = asyncio.get_running_loop().create_task(self.ask(point, stop=point))
            while not asked.done() and not self.pause.stopped():
                await asyncio.sleep(0.002)
            if not asked.done():
                break
        await asyncio.sleep(OVER_S)
        self.stops[point] += 1
        self.pause.resume()
        async with asyncio.timeout(LIMIT_S):
            await asked

    async def visit(self, rounds: int) -> None:
        """Stop at each point in turn."""
        for _ in range(rounds):
            for point in POINTS:
                await self.stop_at(point)

    async def surprise(self, count: int) -> None:
        """Stop from outside at random times, while two clients keep asking."""
        pause, chance = Stopped(self.sidecar.pid), random.Random(7)
        async with self.traffic(ANYWHERE):
            while self.stops[ANYWHERE] < count:
                await self.until_open()
                await asyncio.sleep(chance.random() * 0.02)
                pause.stop()
                while not pause.stopped():
                    await asyncio.sleep(0.001)
                await asyncio.sleep(OVER_S)
                pause.resume()
                self.stops[ANYWHERE] += 1

    async def delay(self, count: int) -> None:
        """Let system calls wait for longer than a lease, now and then, while clients ask."""
        for point, call in CALLS.items():
            await self.until_open()
            before = self.late_lines()
            delays = Delays(
                self.sidecar.pid,
                call,
                DELAY_US,
                self.folder / f"{call.kind}-{call.name}.strace",
            )
            try:
                while not delays.attached:
                    assert not delays.refused
                    await asyncio.sleep(0.01)
                async with self.traffic(point), asyncio.timeout(2 * LIMIT_S):
                    while delays.count < count or (
                        # Which call is hit is chance: go on until it was one that is to be noted.
                        call.late and delays.count < 5 * count and self.late_lines() == before
                    ):
                        await asyncio.sleep(0.05)
                self.stops[point] = delays.count
            finally:
                delays.detach()

    def late_lines(self) -> int:
        """How often the sidecar has logged that a write proved late."""
        return self.sidecar.output().count("late_write")

    @asynccontextmanager
    async def traffic(self, point: str) -> AsyncIterator[None]:
        """Two clients that keep asking."""

        async def ask_on() -> None:
            client = Client(self.name)
            while asking:
                if not await self.ask(point, client):
                    await asyncio.sleep(0.02)
            client.close()

        asking = [True]
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(ask_on())
            try:
                yield
            finally:
                asking.clear()

    async def counted(self, session: aiohttp.ClientSession) -> int:
        """What the sidecar's own counter of late writes says."""
        async with session.get(f"http://{HOST}:{self.sidecar.status}/metrics") as response:
            text = await response.text()
        lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
        wanted = "epochgate_late_writes_total"
        return sum(int(float(value)) for name, value, *_ in lines if name == wanted)

    def end(self) -> None:
        """Let the sidecar go on, if it is stopped, and end it."""
        self.client.close()
        if hasattr(self, "pause"):
            self.pause.resume()
        if hasattr(self, "sidecar"):
            self.sidecar.end()
        if self.freezer is not None:
            self.freezer.close()
