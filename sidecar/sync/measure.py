"""Measures what runs here, again and again: own code, configuration, declared files.

    every `POLL_S`        look: list the files, compare their stamps (size, dates, identity)
    a stamp is not known  read that file now; until then there is no digest: whoever demands one
                          denies
    every `period`        read everything again, changed or not

Rules:

* In a thread of its own, at low priority, and while it reads for half of the time at most: hundreds
  of gigabytes must cost neither the loop its turn nor the container its share of a processor. What
  is read again although it seems unchanged gets a tenth of the time, so a large file is read less
  often than every `period`.
* Looking goes on while a large file is read, and smaller ones that changed are read in between.
* What cannot be read has no digest, and is tried again with each look. Nothing in a file can make
  this raise, and nothing but a file system that hangs can make it wait.
* Then it hangs alone: nobody waits for this thread, it ends with the process, and the age of the
  last look tells the follower (EG404).

Source: protocol b.8 item 4.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from sidecar.clock import Clock
from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.core.runtime import Measurement
from sidecar.sync import digest
from sidecar.sync.digest import Stamp, Tree, UnreadableError
from sidecar.sync.subject import TICK_MS, Subject, why

T = TypeVar("T")

CODE = "sidecar code"  # no name of a declared file has a space in it
CONFIG = "sidecar configuration"

POLL_S = 2.0
LOOK_SHARE = 20  # of the time, looking takes one part, unless that is longer than a period
_NICE = 10
_UNPAUSED_NS = 2 * NS_PER_MS
_PAUSE_MAX_NS = 50 * NS_PER_MS  # who waited longer for a slice waited for a disk
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        code: The sidecar's own.
        config_file: When this file changes, `config` is asked again.
        config: The digest of the configuration in use; None: the file says another one by now.
        image_digest: What the platform says about the image, or None.
        files: Name -> file or folder.
        period_ms: How often everything is read again.
    """

    code: Tree
    config_file: Path
    config: Callable[[], str | None]
    image_digest: str | None
    files: Mapping[str, Tree]
    period_ms: int


class Progress(NamedTuple):
    """What is being read because it is not known, and how much of it is."""

    name: str
    done_bytes: int
    total_bytes: int


class _StoppedError(Exception):
    """Nobody wants to know any more."""


class Measurer:
    """Looks, reads, and tells.

    Args:
        plan: What is measured.
        clock: Both clocks.
        hurry: Whether to read as fast as it goes.

    Attributes:
        latest: The last measurement; None before the code was read for the first time.
        progress: What is being read; None: nothing, or what was known before.
        problems: Name -> why it has no digest.
    """

    def __init__(self, plan: Plan, clock: Clock, *, hurry: bool = False) -> None:
        self._plan = plan
        self._clock = clock
        self._hurry = hurry
        self._code = Subject(CODE, plan.code)
        self._subjects = [
            self._code, *(Subject(name, tree) for name, tree in sorted(plan.files.items()))
        ]  # fmt: skip
        self._config = _Config(plan)
        self._reading: list[tuple[Subject, str]] = []  # one inside the other
        self._looked = Now(BootNs(0), WallMs(0))
        self._rest_s = 0.0
        self._resumed = BootNs(0)
        self._stop = threading.Event()
        self._told: Callable[[Measurement], None] = lambda _: None
        self.latest: Measurement | None = None
        self.progress: Progress | None = None
        self.problems: Mapping[str, str] = {}

    async def run(self, told: Callable[[Measurement], None]) -> None:
        """Measure until cancelled.

        Args:
            told: Takes each measurement, in the loop; one every few seconds at least.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def failed(error: Exception) -> None:
            if not ended.done():
                ended.set_exception(error)

        def work() -> None:
            try:
                self._work(lambda found: _in(loop, told, found))
            except _StoppedError:
                pass
            except Exception as error:  # noqa: BLE001, raised again in the loop
                with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                    _in(loop, failed, error)

        threading.Thread(target=work, name="measure", daemon=True).start()
        try:
            await ended
        finally:
            self._stop.set()

    def once(self) -> Measurement:
        """Measure everything now."""
        self._look()
        self._read_wanted()
        return self._found()

    def _work(self, told: Callable[[Measurement], None]) -> None:
        with suppress(OSError):  # where it is forbidden, half of the time has to be polite enough
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        self._told = told
        while not self._stop.is_set():
            self._resumed = self._clock().boot
            self._look()
            self._read_wanted()
            self._read_overdue()
            self._stop.wait(self._rest_s)

    # -- looking ---------------------------------------------------------------------------------

    def _look(self) -> None:
        self._looked = self._clock()
        for subject in self._subjects:
            subject.look()
        self._config.look(self._looked)
        self._tell()
        took_s = (self._clock().boot - self._looked.boot) / _NS_PER_S
        self._rest_s = _rest_s(took_s, self._plan.period_ms / 1000)

    def _tell(self) -> None:
        said = {subject.name: subject.problem for subject in self._subjects}
        said[CONFIG] = self._config.problem
        self.problems = {name: problem for name, problem in said.items() if problem}
        # The code is read within moments; before that, everything would seem to be wrong with it.
        if self.latest is not None or not self._code.wanted:
            self.latest = self._found()
            self._told(self.latest)

    def _found(self) -> Measurement:
        took_ns = sum(subject.took_ns for subject in self._subjects)
        return Measurement(
            code_sha256=self._code.sha256,
            config_sha256=self._config.sha256,
            image_digest=self._plan.image_digest,
            models={subject.name: subject.sha256 for subject in self._subjects[1:]},
            measured=self._looked,
            duration_ms=took_ns // NS_PER_MS,
        )

    # -- reading ---------------------------------------------------------------------------------

    def _read_wanted(self, below_bytes: int | None = None) -> None:
        """Read what is not known: the code first, then the small ones."""
        wanted = [
            (subject is not self._code, subject.seen[name].size, number, name)
            for number, subject in enumerate(self._subjects)
            for name in subject.wanted
            if (subject, name) not in self._reading
        ]
        for _, size, number, name in sorted(wanted):
            subject = self._subjects[number]
            # Read in between by now, or changed in size.
            if name not in subject.wanted or (below_bytes is not None and size >= below_bytes):
                continue
            # In between only what takes half as long: so many are open at once as can be halved.
            self._read(subject, name, in_between=size // 2)
            if not subject.wanted:
                self._tell()

    def _read_overdue(self) -> None:
        now, period_ns = self._clock().boot, self._plan.period_ms * NS_PER_MS
        for subject in self._subjects:
            for name in subject.overdue(now, period_ns):
                if name in subject.seen:
                    self._read(subject, name, in_between=None)
                    self._read_wanted()

    def _read(self, subject: Subject, name: str, *, in_between: int | None) -> None:
        """Read one file.

        Args:
            subject: Whose.
            name: Its relative path, that was seen.
            in_between: How large a file may be that is read while this one waits; None: any.
        """
        stamp, began = subject.seen[name], self._clock()
        new, before = name in subject.wanted, self.progress
        done_bytes, total_bytes = subject.known_bytes, subject.total_bytes

        def went_on(count: int) -> None:
            nonlocal done_bytes
            done_bytes += count
            self.progress = Progress(subject.name, done_bytes, total_bytes) if new else before
            self._give_way(in_between)

        self._reading.append((subject, name))
        try:
            sha256 = digest.read(subject.tree.path(name), stamp, went_on)
        except (OSError, UnreadableError) as error:
            subject.fail(name, why(error))
        else:
            subject.learn(name, stamp, sha256, began, self._clock())
        finally:
            self._reading.pop()
            self.progress = before

    def _give_way(self, in_between: int | None) -> None:
        if self._hurry:
            return
        if self._stop.is_set():
            raise _StoppedError
        now = self._clock().boot
        if now - self._resumed > _UNPAUSED_NS:
            self._stop.wait(min(now - self._resumed, _PAUSE_MAX_NS) / _NS_PER_S)
            self._resumed = self._clock().boot
        if now - self._looked.boot > self._rest_s * _NS_PER_S:
            self._look()
            self._read_wanted(in_between)


class _Config:
    """The digest of the configuration, as long as its file says the same."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stamp: Stamp | None = None
        self._read = BootNs(0)
        self.sha256: str | None = None
        self.problem = ""

    def look(self, now: Now) -> None:
        """Ask again when the file changed, or may have, or after the period."""
        try:
            stamp = digest.stamp(self._plan.config_file)
        except (OSError, UnreadableError) as error:
            self._stamp, self.sha256, self.problem = None, None, why(error)
            return
        fresh = stamp.ctime_ns >= (now.wall - TICK_MS) * NS_PER_MS
        overdue = now.boot - self._read > self._plan.period_ms * NS_PER_MS
        if fresh or overdue or stamp != self._stamp:
            self._stamp, self._read = stamp, now.boot
            self.sha256 = self._plan.config()
            self.problem = "" if self.sha256 else "the file says something else than is in effect"


def _rest_s(took_s: float, period_s: float) -> float:
    # Never longer than a period: on a slow machine looks would else come so seldom that the last
    # one is too old (EG404) although nothing is wrong. `maxAge` is two periods at least.
    return min(period_s, max(POLL_S, LOOK_SHARE * took_s))


def _in(loop: asyncio.AbstractEventLoop, told: Callable[[T], None], value: T) -> None:
    loop.call_soon_threadsafe(told, value)
