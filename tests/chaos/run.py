"""One run: start, faults by schedule, calm, end; then what was written down is checked."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from sidecar import clock
from tests.chaos import checker, history
from tests.chaos.actor import Actor
from tests.chaos.fleet import DOMAIN, Fleet, running
from tests.chaos.history import History
from tests.chaos.schedule import CALM_LIMIT_MS, PEERS, QUORUM, SIDECARS, Options
from tests.late.client import Client

ASK_S = 0.015  # between the answer and the next request of one client
STEADY_S = 0.7  # everybody permits for so long before the faults begin, and before the calm ends
OPEN_S = 60.0
WATCH_S = 0.01


class Traffic:
    """One steady client for each sidecar.

    Attributes:
        asked: Sidecar -> requests sent.
        relayed: Sidecar -> numbers of those that got any of the service's answer.
        permitted: Sidecar -> when its latest permitted answer came.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.asked = dict.fromkeys(SIDECARS, 0)
        self.relayed: dict[str, list[str]] = {name: [] for name in SIDECARS}
        self.permitted = dict.fromkeys(SIDECARS, 0)
        self._on = True

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Clients ask until the block ends; the last answers are waited for."""
        async with asyncio.TaskGroup() as tasks:
            for name in SIDECARS:
                tasks.create_task(self._ask_on(name))
            yield
            self._on = False

    async def all_permit(self, since: int, limit_s: float) -> bool:
        """Wait until each sidecar has permitted something since then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while min(self.permitted.values()) < since:
                    await asyncio.sleep(0.02)
        return min(self.permitted.values()) >= since

    async def _ask_on(self, name: str) -> None:
        client = Client(name)
        try:
            while self._on:
                self.asked[name] += 1
                number = str(self.asked[name])
                said = await client.ask(self._fleet.sidecars[name].inbound, {"x-number": number})
                # The sidecar says "deny" on each answer of its own, and on no other.
                if said not in ("", "deny"):
                    self.relayed[name].append(number)
                if said == "permit":
                    self.permitted[name] = clock.now().wall
                await asyncio.sleep(ASK_S)
        finally:
            client.close()


@dataclass(slots=True)
class Result:
    """What came out of one run."""

    history: History
    wrong: list[str]


async def play(folder: Path, options: Options, tell: Callable[[str], None]) -> Result:
    """One run.

    Args:
        folder: Empty; everything is kept there.
        options: Drawn, or made by a test.
        tell: Shown a line for each thing that happens.
    """
    told = History(
        seed=options.seed, peers=PEERS, quorum=QUORUM, ttl_ms=options.ttl_ms,
        skew_ms=options.skew_ms, poll_ms=options.poll_ms, timeout_ms=options.timeout_ms,
        interval_ms=options.interval_ms, calm_limit_ms=CALM_LIMIT_MS,
    )  # fmt: skip
    async with running(folder, options) as fleet:
        traffic = Traffic(fleet)
        watch = asyncio.ensure_future(_watch(told, options.publish_ms))
        async with traffic.flowing():
            await _faults(fleet, traffic, options, told, tell)
        watch.cancel()
        await fleet.stop()
        if fleet.network.broken:
            raise ExceptionGroup("the links broke", fleet.network.broken)
        told.beats = list(fleet.beats.seen.values())
        told.tampered = [asdict(wrong) for wrong in fleet.network.tampered]
        told.asked, told.relayed = traffic.asked, traffic.relayed
    service = {"domain": DOMAIN, "service": "chat"}
    (folder / history.LOG_NAME).write_text(json.dumps(service))
    told.save(folder)
    found = history.load(folder)
    return Result(found, checker.check(found))


async def _watch(told: History, least_ms: int) -> None:
    """Write down when this process itself stood still: then every link did."""
    before = clock.now().wall
    while True:
        await asyncio.sleep(WATCH_S)
        now = clock.now().wall
        if now - before - WATCH_S * 1000 >= least_ms:
            told.stalls.append((before, now))
        before = now


async def _faults(
    fleet: Fleet, traffic: Traffic, options: Options, told: History, tell: Callable[[str], None]
) -> None:
    actor = Actor(fleet, told, tell)
    opened = await traffic.all_permit(1, OPEN_S)
    tell("all sidecars permit" if opened else "not all sidecars permit")
    await asyncio.sleep(STEADY_S)
    await actor.keep()
    told.chaos_from = clock.now().wall
    await actor.play(options.steps, options.chaos_ms)
    await actor.heal()
    told.calm_from = clock.now().wall
    tell("calm")
    await traffic.all_permit(told.calm_from, CALM_LIMIT_MS / 1000)
    await asyncio.sleep(STEADY_S)
    told.calm_to = clock.now().wall
