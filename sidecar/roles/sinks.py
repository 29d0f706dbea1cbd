"""Wires sinks to logs, and holds the gate while a required one is too far behind.

It runs in the process that follows the peers: with several workers, over the logs of all of them,
and its hold holds them all. Each sink has a thread of its own, so that one whose receiver, or whose
standard output, hangs keeps no other from anything; looking at checkpoints has another.

What was waiting before this process started counts from when it was written. So the hold of a
required sink is decided before the first request, and a restart does not buy time.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from sidecar import clock
from sidecar.audit.sinks import cursor
from sidecar.audit.sinks.outlet import Outlet, Thread
from sidecar.audit.sinks.pump import SENDING, Pump
from sidecar.audit.sinks.redis_stream import RedisStream
from sidecar.audit.sinks.sealed import Sealed
from sidecar.audit.sinks.sink import Sink
from sidecar.config import sections
from sidecar.config.sections import SidecarConfig
from sidecar.core.envelope import PublicKey
from sidecar.core.gate import Gate
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.roles.start import StartError, fresh_bytes, why
from sidecar.telemetry import logs
from sidecar.telemetry.logs import Log

OWNER = "sinks"  # of the hold: the journal's, for the same reason, is another
BEHIND: Final = Hold(Reason.AUDIT_BACKPRESSURE, HoldKind.PASSING)
LOOK_MAX_S = 0.25
JUDGE_S = 0.1
PART_S = 2.0  # to send the last records at the end

T = TypeVar("T")


class Sinks:
    """All sinks of a sidecar.

    Args:
        sinks: Each with its pumps.
        sealed: What is signed of each log.
        gate: Held while a required sink is behind.
        log: Told when one is, and when not any more.
        look_s: From one look at the checkpoints to the next, seconds.
    """

    def __init__(
        self, sinks: Sequence[Sink], sealed: Sequence[Sealed], gate: Gate, log: Log, look_s: float
    ) -> None:
        self.sinks = sinks
        self._sealed = sealed
        self._gate = gate
        self._log = log
        self._look_s = look_s
        self._looking = in_thread("looks")
        self._open()
        self.judge()

    def _open(self) -> None:
        """The first look, and where each sink goes on. Blocks: nothing is served yet."""
        for sealed in self._sealed if self.sinks else ():
            sealed.begin()
            sealed.take(sealed.look())
            self._say_blind(sealed, "")
        for sink in self.sinks:
            for pump in sink.pumps:
                pump.open()

    async def run(self) -> None:
        """Send, look and judge, until cancelled."""
        if not self.sinks:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_on())
            tasks.create_task(self._judge_on())
            for sink in self.sinks:
                for pump in sink.pumps:
                    tasks.create_task(pump.run())

    async def _look_on(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(self._look_s)

    async def _look(self) -> None:
        for sealed in self._sealed:
            before = sealed.why
            sealed.begin()
            sealed.take(await self._looking(sealed.look))
            self._say_blind(sealed, before)

    def _say_blind(self, sealed: Sealed, before: str) -> None:
        if sealed.why and sealed.why != before:
            self._log.error(logs.SINK, what="checkpoint unreadable", log=sealed.log, why=sealed.why)

    async def _judge_on(self) -> None:
        while True:
            self.judge()
            await asyncio.sleep(JUDGE_S)

    def judge(self) -> None:
        """Hold the gate while any required sink is behind."""
        for sink in self.sinks:
            if sink.judge():
                said = self._log.error if sink.behind else self._log.info
                said(
                    logs.SINK, sink=sink.name, what="behind" if sink.behind else "caught up",
                    lag_ms=sink.lag_ms,
                )  # fmt: skip
        if any(sink.behind for sink in self.sinks):
            self._gate.place(BEHIND, OWNER)
        else:
            self._gate.lift(BEHIND.reason, OWNER)

    async def part(self) -> None:
        """Send what the last checkpoint covers, if that does not take long; `run` goes on."""
        if not self.sinks:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(PART_S):
                await self._look()
                pumps = [pump for sink in self.sinks for pump in sink.pumps if not pump.why]
                await asyncio.gather(*(pump.idle.wait() for pump in pumps))

    async def close(self) -> None:
        """Store how far each is, and let go of the receivers; `run` has ended."""
        for sink in self.sinks:
            for pump in sink.pumps:
                try:
                    await pump.close()
                except OSError as error:
                    self._log.complain(f"cursor of sink {sink.name}", pump.log, error)
            await sink.outlet.close()

    def state(self) -> Mapping[str, object]:
        """What /v1/state shows."""
        return {sink.name: sink.state() for sink in self.sinks}


def open_sinks(
    config: SidecarConfig,
    domain: str,
    public: PublicKey,
    folders: Mapping[str, Path],
    gate: Gate,
    log: Log,
) -> Sinks:
    """Every sink of the configuration; the gate is held already if a required one is behind.

    Args:
        config: Of the sidecar.
        domain: Of the fleet.
        public: Of the key that signs the logs.
        folders: Name of each log -> its folder.
        gate: Held while a required sink is behind.
        log: Told what happens to them.

    Raises:
        StartError: one cannot be set up.
    """
    sealed = [Sealed(folder, NoteKey(name, public), clock.now) for name, folder in folders.items()]
    sinks = [_sink(config, domain, settings, sealed, log) for settings in config.audit.sinks]
    look_s = min(config.audit.checkpoint_period_ms / 1000, LOOK_MAX_S)
    return Sinks(sinks, sealed, gate, log, look_s)


def _sink(
    config: SidecarConfig,
    domain: str,
    settings: sections.Sink,
    sealed: Sequence[Sealed],
    log: Log,
) -> Sink:
    thread = in_thread(settings.name)
    folder = config.state_dir / cursor.FOLDER / settings.name
    try:
        outlet = _outlet(config, domain, settings, thread)
    except OSError as error:
        raise StartError(f"sink {settings.name}: caFile {settings.ca_file}: {why(error)}") from None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"sink {settings.name}: {folder}: {why(error)}") from None
    pumps = [
        Pump(
            each, outlet, cursor.where(config.state_dir / cursor.FOLDER, settings.name, each.log),
            timeout_ms=settings.timeout_ms, thread=thread, clock=clock.now, draw=fresh_bytes,
            told=_telling(settings.name, log),
        )
        for each in sealed
    ]  # fmt: skip
    return Sink(settings, outlet, pumps)


def _outlet(config: SidecarConfig, domain: str, settings: sections.Sink, thread: Thread) -> Outlet:
    # Imported where they are used: a sidecar without sinks pays for none of them.
    match settings.kind:
        case "redis":
            return RedisStream(settings, domain)
        case "http":
            from sidecar.audit.sinks.opa import OpaPost  # noqa: PLC0415

            return OpaPost(settings, config.service, thread)
        case "otlp":
            try:
                from sidecar.audit.sinks.otlp import OtlpPost  # noqa: PLC0415
            except ModuleNotFoundError:
                how = "opentelemetry-proto is not installed: pip install 'epochgate[otlp]'"
                raise StartError(f"sink {settings.name}: kind otlp: {how}") from None
            return OtlpPost(settings, config.service, thread)
        case "stdout":
            from sidecar.audit.sinks.stdout import StandardOutput  # noqa: PLC0415

            return StandardOutput(thread)


def _telling(name: str, log: Log) -> Callable[[str, str, dict[str, object]], None]:
    def told(what: str, of: str, fields: dict[str, object]) -> None:
        said = log.info if what == SENDING else log.warning
        said(logs.SINK, sink=name, what=what, log=of, **fields)

    return told


def in_thread(name: str) -> Thread:
    """One thread, made when it is first used."""
    pool = ThreadPoolExecutor(1, f"sink-{name}")

    def run(work: Callable[[], T]) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(pool, work)

    return run
