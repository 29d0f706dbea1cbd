"""The workers of a sidecar, seen by the process that started them.

Rules:

* A worker that ends is replaced, with a pause that grows to `PAUSE_MAX_S` while it keeps ending,
  for ever: nothing is opened and nothing given up.
* Nobody waits for a worker: it is told through memory and a channel that is never blocked on, and
  what it last reported stands until it reports again.
* A fresh interpreter each: nothing of a running loop, its sockets or its locks is inherited but
  the descriptors in the brief.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

import sidecar
from sidecar import clock, shared
from sidecar.core.instant import NS_PER_MS
from sidecar.roles import brief
from sidecar.roles.brief import REPORT_MAX_BYTES, Brief, Report
from sidecar.telemetry import figures, logs
from sidecar.telemetry.figures import Figures
from sidecar.telemetry.logs import Log

PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 5.0
STEADY_MS = 10_000  # a worker that lived so long did not end because of how it began
SILENT_MS = 2_000  # a report is due every tenth of a second

# The package that runs here, wherever it was found: never one that lies in the working directory.
_ROOT = str(Path(sidecar.__file__).resolve().parents[1])
_CODE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from sidecar.roles.worker import main; "
    "sys.exit(main(int(sys.argv[2])))"
)


class Worker:
    """One place in the crew, and whoever fills it.

    Args:
        index: Which one, from 0.
        describe: Makes the brief: `describe(index, descriptor of the reports)`.
        log: Told when it begins and ends.
    """

    def __init__(
        self,
        index: int,
        describe: Callable[[int, int], Brief],
        log: Log,
    ) -> None:
        self.index = index
        self.restarts = 0
        self._describe = describe
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._channel: socket.socket | None = None
        self._reader: shared.Reader | None = None
        self._report: Report | None = None
        self._kept = Figures()  # counted by those who ended
        self._left = Figures()  # still true of their log
        self._audit: dict[str, int] = {}  # the same, for the state
        self._ending = asyncio.Event()

    async def keep(self) -> None:
        """Keep the place filled until `end`."""
        pause_s = PAUSE_MIN_S
        while not self._ending.is_set():
            began = clock.now()
            status: int | str
            try:
                status = await self._live()
            except OSError as error:
                status = error.strerror or str(error)
            lived_ms = (clock.now().boot - began.boot) // NS_PER_MS
            if self._ending.is_set():
                return
            pause_s = PAUSE_MIN_S if lived_ms >= STEADY_MS else pause_s
            self._log.error(
                logs.WORKER_ENDED, worker=self.index, status=status, lived_ms=lived_ms,
                again_ms=int(pause_s * 1000),
            )  # fmt: skip
            self.restarts += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._ending.wait()
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _live(self) -> int:
        reports = shared.create(f"epochgate-worker-{self.index}", REPORT_MAX_BYTES)
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            os.close(reports)
            raise
        try:
            self._reader = shared.Reader(reports)
            told = self._describe(self.index, reports)
            passed = (theirs.fileno(), reports, told.snapshots, *told.socks)
            brief.send(ours, told)
            ours.setblocking(False)  # noqa: FBT003 (its one argument)
            self._channel = ours
            self._process = await asyncio.create_subprocess_exec(
                *_interpreter(), _CODE, _ROOT, str(theirs.fileno()),
                stdin=subprocess.DEVNULL, pass_fds=passed,
            )  # fmt: skip
            theirs.close()
            self._log.info(logs.WORKER_STARTED, worker=self.index, pid=self._process.pid)
            if self._ending.is_set():
                self._signal(self._process.terminate)
            return await self._process.wait()
        finally:
            if self._process is not None and self._process.returncode is None:
                self._signal(self._process.kill)  # we were cancelled: this process is ending
            self._over()
            ours.close()
            theirs.close()
            os.close(reports)

    def _over(self) -> None:
        last = self.look()
        self._process = self._channel = self._report = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if last is not None:
            self._kept = figures.ended(self._kept, last.figures)
            self._left = figures.of_the_log(last.figures)
            self._audit = last.audit

    def notify(self) -> None:
        """Say that there is a new snapshot. A worker that does not listen looks by itself."""
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.send(b"\0")

    def end(self) -> None:
        """Ask the worker to drain and end; nobody takes its place."""
        self._ending.set()
        if self._process is not None:
            self._signal(self._process.terminate)

    def kill(self) -> None:
        """End it now, also if it is frozen."""
        self._ending.set()
        if self._process is not None:
            self._signal(self._process.kill)

    @staticmethod
    def _signal(send: Callable[[], None]) -> None:
        with contextlib.suppress(ProcessLookupError):
            send()

    def look(self) -> Report | None:
        """What the worker last reported; None before its first report, and when there is none."""
        body = None if self._reader is None else self._reader.read()
        if body is not None:
            with contextlib.suppress(msgspec.DecodeError):  # the one before stands
                self._report = msgspec.json.decode(body, type=Report)
        return self._report

    @property
    def up(self) -> bool:
        """Whether it reported lately."""
        report = self.look()
        return report is not None and _age_ms(report) < SILENT_MS

    def figures(self) -> list[Figures]:
        """All that was counted in this place."""
        report = self.look()
        return [self._kept, self._left if report is None else report.figures]

    def state(self) -> Mapping[str, object]:
        """What is shown of it, JSON-ready; durations in ms."""
        report = self.look()
        shown: dict[str, object] = {
            "worker": self.index,
            "pid": None if self._process is None else self._process.pid,
            "up": self.up,
            "restarts": self.restarts,
            "audit": self._audit if report is None else report.audit,
        }
        if report is not None:
            shown |= {
                "reported_ms": _age_ms(report),
                "generation": report.generation,
                "state": report.state,
                "reason": report.reason,
                "holds": report.holds,
                "in_flight": report.in_flight,
                "connections": report.connections,
            }
        return shown


def _interpreter() -> tuple[str, ...]:
    """This one, as careful about where it imports from as this process is, and more."""
    flags = ["-I"] if sys.flags.isolated else ["-P"]
    if sys.flags.ignore_environment and not sys.flags.isolated:
        flags.append("-E")
    return (sys.executable, *flags, "-c")


def _age_ms(report: Report) -> int:
    return (clock.now().boot - report.boot) // NS_PER_MS
