"""Does what a schedule says to a fleet, and writes down from when until when.

A span is opened before anything is done and closed after everything is undone, so whatever is
outside of the spans was not disturbed.
"""

import asyncio
import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable

from sidecar import clock
from tests.chaos.fleet import Fleet
from tests.chaos.history import History, Span
from tests.chaos.link import PASS, Mode
from tests.chaos.schedule import Step

Deed = Callable[[Step], Awaitable[None]]


class Actor:
    """One schedule on one fleet.

    Args:
        fleet: That runs.
        history: Where it is written down.
        tell: Shown a line for each thing that begins.
    """

    def __init__(self, fleet: Fleet, history: History, tell: Callable[[str], None]) -> None:
        self._fleet, self._history, self._tell = fleet, history, tell
        # A start may take longer than the schedule thought: the next fault of that process waits.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._deeds: dict[str, Deed] = {
            "peer empty": self._restart_peer, "peer old": self._restart_peer,
            "peer flushed": self._flush, "peer stopped": self._stop_peers,
            "majority stopped": self._stop_peers, "link": self._disturb, "cut off": self._disturb,
            "authority killed": self._kill_authority, "authority stopped": self._stop_authorities,
            "authorities silent": self._stop_authorities, "sidecar killed": self._kill_sidecar,
            "sidecar stopped": self._stop_sidecar, "sidecar stopped long": self._stop_sidecar,
            "epoch": self._issue, "epoch at once": self._issue, "halt": self._halt,
        }  # fmt: skip

    async def play(self, steps: tuple[Step, ...], chaos_ms: int) -> None:
        """Every step at its time; returns when the last one is put right again."""
        async with asyncio.TaskGroup() as tasks:
            for step in steps:
                tasks.create_task(self._at(step))
            await asyncio.sleep(chaos_ms / 1000)

    async def heal(self) -> None:
        """Put right what people have to put right: every halt is cleared."""
        cleared = {c["json"]["clears"] for c in self._history.named("clear") if c["json"]["acks"]}
        for order in list(self._history.named("halt")):
            if order["json"]["halt_id"] not in cleared:
                await self._clear(order["json"]["halt_id"])

    async def keep(self) -> None:
        """Let each peer remember what it holds now."""
        async with asyncio.TaskGroup() as tasks:
            for peer in self._fleet.peers.values():
                tasks.create_task(asyncio.to_thread(peer.keep))

    async def _at(self, step: Step) -> None:
        await asyncio.sleep(step.at_ms / 1000)
        self._tell(str(step))
        if step.kind in ("epoch", "epoch at once", "halt"):
            await self._deeds[step.kind](step)
            return
        async with contextlib.AsyncExitStack() as held:
            for name in sorted(step.who) if not step.mode else ():
                await held.enter_async_context(self._turns[name])
            span = Span(step.kind, step.who, step.peers, step.mode, clock.now().wall)
            self._history.spans.append(span)
            await self._deeds[step.kind](step)
            span.end = clock.now().wall + 1

    # -- peers and links -------------------------------------------------------------------------

    async def _restart_peer(self, step: Step) -> None:
        peer = self._fleet.peers[step.who[0]]
        peer.kill(old=step.kind == "peer old")
        await _lasting(step)
        await asyncio.to_thread(peer.start)

    async def _flush(self, step: Step) -> None:
        await asyncio.to_thread(self._fleet.peers[step.who[0]].do, "FLUSHALL")

    async def _stop_peers(self, step: Step) -> None:
        for name in step.who:
            self._fleet.peers[name].pause()
        await _lasting(step)
        for name in step.who:
            self._fleet.peers[name].resume()

    async def _disturb(self, step: Step) -> None:
        links = [self._fleet.network.links[step.who[0], peer] for peer in step.peers]
        for link in links:
            link.set(Mode(step.mode, step.amount))  # type: ignore[arg-type] # from our own table
        await _lasting(step)
        for link in links:
            link.set(PASS)

    # -- processes -------------------------------------------------------------------------------

    async def _kill_authority(self, step: Step) -> None:
        self._fleet.authorities[step.who[0]].end(signal.SIGKILL)
        await _lasting(step)
        await self._fleet.start_authority(step.who[0])

    async def _stop_authorities(self, step: Step) -> None:
        for name in step.who:
            self._fleet.authorities[name].send(signal.SIGSTOP)
        await _lasting(step)
        for name in step.who:
            self._fleet.authorities[name].send(signal.SIGCONT)

    async def _kill_sidecar(self, step: Step) -> None:
        sidecar = self._fleet.sidecars[step.who[0]]
        sidecar.end(signal.SIGKILL)
        sidecar.inbound = 0  # somebody else may get the port; clients must not ask there
        await _lasting(step)
        await sidecar.start()

    async def _stop_sidecar(self, step: Step) -> None:
        sidecar = self._fleet.sidecars[step.who[0]]
        os.kill(sidecar.pid, signal.SIGSTOP)
        await _lasting(step)
        os.kill(sidecar.pid, signal.SIGCONT)

    # -- people ----------------------------------------------------------------------------------

    async def _issue(self, step: Step) -> None:
        at_once = step.kind == "epoch at once"
        done = await self._fleet.issue("immediate" if at_once else "lease")
        self._history.commands.append({**done, "at_once": at_once})

    async def _halt(self, step: Step) -> None:
        done = await self._fleet.halt()
        self._history.commands.append(done)
        if done["json"]:
            await _lasting(step)
            await self._clear(done["json"]["halt_id"])

    async def _clear(self, halt_id: str) -> None:
        self._history.commands.append(await self._fleet.clear(halt_id))


async def _lasting(step: Step) -> None:
    await asyncio.sleep(step.lasts_ms / 1000)
