"""Sidecars under load, killed at random, over and over; each time their journals are read.

Of each kill: whatever reached the service has its permit on the disk, whatever a client was told is
there, nothing that was there before is gone, both readers agree, and the next start goes on.

Source: hardening P10, J01.
"""

import asyncio
import hashlib
import json
import random
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.audit import checkpoints, reader
from tests.evidence import stage
from tests.evidence.report import Line, first_of
from tests.evidence.stage import Clients, Upstream
from tests.integration.harness import Hand, Sidecar

LANES = 3  # sidecars side by side: a start waits more than it computes
FOLDER_RUNS = 25  # kills of one journal, then a new one
STARTING = 0.15  # of the kills come before it listens
SERVING = 0.85  # of the others not before it has served
LATEST_S = 0.6


class Plain:
    """Reads a growing journal as JSON lines, knowing nothing of the product.

    Attributes:
        decisions: Decision id -> verdict and path.
        recovered: Records that say that a torn one was cut off.
        torn: Whether the last line had no end.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends: dict[str, int] = {}
        self._count, self._prev = 0, "0" * 64
        self.decisions: dict[str, tuple[str, str]] = {}
        self.recovered = 0
        self.torn = False

    def read(self) -> Iterator[str]:
        """Read on; what is wrong."""
        for path in sorted(self._folder.glob("*.jsonl")):
            start = self._ends.get(path.name, 0)
            with path.open("rb") as file:
                file.seek(start)
                new = file.read()
            *lines, rest = new.split(b"\n")
            self.torn = bool(rest.strip(b"\0"))
            self._ends[path.name] = start + sum(len(line) + 1 for line in lines)
            for line in lines:
                yield from self._take(line)

    def _take(self, line: bytes) -> Iterator[str]:
        said = json.loads(line)
        if (said["seq"], said["prev"]) != (self._count, self._prev):
            yield f"record {self._count} does not follow, or was replaced"
        self._count, self._prev = self._count + 1, hashlib.sha256(line).hexdigest()
        if said["type"] == "decision":
            self.decisions[said["decision_id"]] = (said["decision"], said["path"])
        self.recovered += said["type"] == "recovered"


@dataclass(slots=True)
class Found:
    """What came of all kills."""

    kills: int = 0
    starting: int = 0
    served: int = 0
    unserved: int = 0
    forwarded: int = 0
    told: int = 0
    torn: int = 0
    journals: int = 0
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[Line]:
        """Its row."""
        unrecorded = sum("no permit" in why for why in self.wrong)
        lost = sum("lost" in why for why in self.wrong)
        seen = (
            f"{self.forwarded:,} requests reached the service, {unrecorded} without a permit on "
            f"record; {self.told:,} decisions were told to clients, {lost} lost; {self.torn} torn "
            f"records; {self.starting} kills during a start, {self.served} after it had served "
            f"again, {self.unserved} that had not within {stage.SERVED_S:.0f} s; "
            f"{self.journals} journals"
        )
        return [Line("kill -9 at random under load", self.kills, seen, first_of(self.wrong))]


class Lane:
    """One sidecar after another, on one journal after another.

    Args:
        name: First segment of its paths.
        folder: For its folders.
        hand: Whose trust document it pins.
        upstream: The service.
        found: Where it is told.
        seed: Of what it draws.
    """

    def __init__(
        self, name: str, folder: Path, hand: Hand, upstream: Upstream, found: Found, seed: int
    ) -> None:
        self._name, self._folder, self._hand = name, folder, hand
        self._upstream, self._found = upstream, found
        self._draw = random.Random(f"{seed} {name}")

    async def play(self, runs: int, tell: Callable[[str], None]) -> None:
        """So many kills."""
        for first in range(0, runs, FOLDER_RUNS):
            name = f"{self._name}-{first}"
            journal = Journal(name, Sidecar(self._folder / name, self._hand), self)
            try:
                for _ in range(min(FOLDER_RUNS, runs - first)):
                    await self._one(journal)
                    if self._found.kills % 20 == 0:
                        tell(f"{self._found.kills} kills, {self._found.forwarded:,} forwarded")
                await journal.ends()
            finally:
                journal.stop()
            self._found.journals += 1

    async def _one(self, journal: "Journal") -> None:
        if self._draw.random() < STARTING:
            await journal.killed_while_starting(self._draw.uniform(0, 2 * LATEST_S))
        else:
            served = self._draw.random() < SERVING
            await journal.killed(self._draw.uniform(0, LATEST_S), after_serving=served)
        self._found.kills += 1
        wrong = [why async for why in journal.wrong()]
        self._found.wrong += wrong


class Journal:
    """One sidecar's folder through several kills."""

    def __init__(self, name: str, sidecar: Sidecar, lane: Lane) -> None:
        self._name, self._sidecar = name, sidecar
        self._found, self._upstream = lane._found, lane._upstream
        self._clients = Clients(sidecar, name)
        self._plain = Plain(sidecar.journal)

    async def killed_while_starting(self, after_s: float) -> None:
        """Start it, and do not wait for it."""
        self._sidecar.spawn()
        await asyncio.sleep(after_s)
        self._sidecar.end(signal.SIGKILL)
        self._found.starting += 1

    async def killed(self, after_s: float, *, after_serving: bool) -> None:
        """Start it, ask, and kill it."""
        await self._sidecar.start()
        async with self._clients.asking():
            if after_serving:
                try:
                    await self._clients.until_served()
                    self._found.served += 1
                except TimeoutError:  # a busy machine: killed all the same, and counted as such
                    self._found.unserved += 1
            await asyncio.sleep(after_s)
            self._sidecar.end(signal.SIGKILL)
            self._sidecar.inbound = 1  # somebody else may get the port
            await asyncio.sleep(0.02)  # what was under way arrives

    def stop(self) -> None:
        """Leave nothing behind when a campaign is broken off."""
        self._sidecar.end(signal.SIGKILL)

    async def wrong(self) -> AsyncIterator[str]:
        """What is wrong with the folder now."""
        for why in await asyncio.to_thread(self._read):
            yield f"{self._name} after kill {self._found.kills}: {why}"

    async def ends(self) -> None:
        """The last start serves, and ends as it should."""
        await self._sidecar.start()
        async with self._clients.asking(1):
            await self._clients.until_served()
        self._sidecar.end()
        self._found.wrong += [why async for why in self.wrong()]
        self._found.torn += self._plain.recovered

    def _read(self) -> list[str]:
        folder = self._sidecar.journal
        if not folder.is_dir():
            return ["told clients something, and kept no journal"] if self._clients.told else []
        wrong = list(self._plain.read())
        key = checkpoints.read_vkey(folder)
        if key is not None:
            fault = reader.verify(folder, key).fault
            wrong += [] if fault is None else [f"the reader: {fault.where}: {fault.why}"]
        return [*wrong, *self._unrecorded(), *self._lost()]

    def _unrecorded(self) -> Iterator[str]:
        known, prefix = self._plain.decisions, f"/v1/{self._name}/"
        # A copy at once: requests arrive on the loop while this thread reads.
        for path in [path for path in list(self._upstream.seen) if path.startswith(prefix)]:
            came = self._upstream.seen.pop(path)
            self._found.forwarded += len(came)
            for decision_id in came:
                if known.get(decision_id) != ("permit", path):
                    yield f"{path} reached the service, and there is no permit {decision_id}"

    def _lost(self) -> Iterator[str]:
        told, self._clients.told = self._clients.told, []
        self._found.told += len(told)
        for decision_id in told:
            if decision_id not in self._plain.decisions:
                yield f"a client was told {decision_id}, which is lost"


async def _play(
    folder: Path, runs: int, lanes: int, seed: int, tell: Callable[[str], None]
) -> Found:
    found = Found()
    async with stage.open_stage(folder) as (hand, upstream), asyncio.TaskGroup() as tasks:
        for number in range(lanes):
            share = runs // lanes + (number < runs % lanes)
            lane = Lane(f"lane{number}", folder, hand, upstream, found, seed)
            tasks.create_task(lane.play(share, tell))
    return found


def run(runs: int, seed: int, tell: Callable[[str], None], lanes: int = LANES) -> list[Line]:
    """So many kills.

    Args:
        runs: How many.
        seed: Of the times of the kills.
        tell: Shown how far it is.
        lanes: Sidecars side by side.
    """
    with tempfile.TemporaryDirectory(prefix="epochgate-kill-") as name:
        return asyncio.run(_play(Path(name), runs, lanes, seed, tell)).lines()
