"""A failing, slow, full or stolen disk under a real sidecar that serves real clients.

From the first denial on nothing reaches the service. Once the fault is gone: what latched stays
closed, a restart recovers clean and serves. Where records were taken away it stays closed, because
they were.

Source: hardening P11, J02 to J04, J08, J09, J11.
"""

import asyncio
import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from sidecar import clock
from sidecar.audit import checkpoints, reader
from tests.evidence import aftermath, stage, tracing
from tests.evidence.report import Line, Part
from tests.evidence.stage import Clients, Upstream
from tests.integration.harness import Hand, Sidecar
from tests.late.pauses import strace_missing

CLOSED_S = 15.0
START_S = 60.0
ERRORS = ("ENOSPC", "EROFS", "EIO", "EDQUOT")
SLOW_US = 5_000_000
TMPFS_BYTES, LEFT_BYTES = 1024 * 1024, 24 * 1024
DAMAGED = ("EG701", "EG707")
UNDER_WAY_S = 0.2  # what was permitted before the gate closed has reached the service by then
QUIET_S = 0.5
_CLONE_NEWNS, _MS_REC_PRIVATE, _MNT_DETACH = 0x00020000, 0x44000, 2


@dataclass(slots=True)
class Scene:
    """One sidecar with its clients, and what is said of it."""

    folder: Path
    sidecar: Sidecar
    clients: Clients
    upstream: Upstream
    line: Line

    async def closed(self, codes: tuple[str, ...], began_ms: int) -> None:
        """Wait until it denies; nothing may reach the service from then on."""
        try:
            async with asyncio.timeout(CLOSED_S):
                while not self.clients.reasons:
                    await asyncio.sleep(0.001)
        except TimeoutError:
            self.wrong(f"was not closed for {CLOSED_S} s")
            return
        took_ms = clock.now().wall - began_ms
        await asyncio.sleep(UNDER_WAY_S)
        before = len(self.upstream.seen)
        await asyncio.sleep(QUIET_S)
        after = len(self.upstream.seen) - before
        denied, reason = len(self.clients.reasons), self.clients.reasons[0]
        if after:
            self.wrong(f"{after} forwarded after it was closed")
        if reason not in codes:
            self.wrong(f"closed with {reason}")
        self.line.count += 1
        self.line.seen = f"{reason} after {took_ms} ms; {denied} denied, {after} forwarded since"

    async def stays_closed(self) -> None:
        """The fault is gone, and nobody has looked: it goes on denying."""
        async with aiohttp.ClientSession() as session:
            if not await self.clients.ask(session):
                self.wrong("opened by itself after an error")

    async def serves_again(self, *, restart: bool) -> None:
        """After a restart, or by itself."""
        if restart:
            self.sidecar.end()
            self.read()
            await self.sidecar.start()
        try:
            async with self.clients.asking(1):
                await self.clients.until_served()
        except TimeoutError:
            self.wrong(f"serves nobody again: {self.clients.reasons[-1:]}")
        self.line.seen += "; serves again" + (" after a restart" if restart else " by itself")

    async def stays_damaged(self, codes: tuple[str, ...]) -> None:
        """Restarted, it says what is missing."""
        self.sidecar.end()
        self.clients.reasons.clear()
        await self.sidecar.start()
        reason = "EG905"
        async with aiohttp.ClientSession() as session, asyncio.timeout(START_S):
            while reason == "EG905":  # it is reading the journal
                reason = await self.clients.ask(session)
        if reason not in codes:
            self.wrong(f"restarted, it says {reason or 'nothing'}")
        self.line.seen += f"; {reason or 'serves'} after a restart"

    def read(self) -> None:
        """What has reached the service is on record, and the journal verifies."""
        folder = self.sidecar.journal
        known = aftermath.ids(aftermath.plainly(folder), "permit")
        for path in [path for path in self.upstream.seen if path.startswith(self.clients.prefix)]:
            if not known.issuperset(self.upstream.seen.pop(path)):
                self.wrong(f"{path} reached the service without a permit on record")
        key = checkpoints.read_vkey(folder)
        fault = reader.verify(folder, key).fault
        if fault is not None:
            self.wrong(f"the reader: {fault.where}: {fault.why}")

    def wrong(self, why: str) -> None:
        """Say so."""
        self.line.wrong.append(why)


class Disks:
    """All scenes, one after the other, on one stage."""

    def __init__(self, folder: Path, hand: Hand, upstream: Upstream, part: Part) -> None:
        self._folder, self._hand, self._upstream, self._part = folder, hand, upstream, part
        self._count = 0

    async def failing(self, call: str, error: str, codes: tuple[str, ...]) -> None:
        """A system call fails from now on; then it works again."""
        async with self._scene(f"{call} fails with {error}") as scene:
            trace = scene.folder / "trace"
            with tracing.injected(scene.sidecar.pid, call, f"error={error}", trace):
                began_ms = clock.now().wall
                await scene.closed(codes, began_ms)
            await scene.stays_closed()
            await scene.serves_again(restart=True)

    async def slow(self) -> None:
        """Each flush takes 5 s; the bound is 2 s."""
        async with self._scene("each fdatasync takes 5 s") as scene:
            what, trace = f"delay_enter={SLOW_US}", scene.folder / "trace"
            with tracing.injected(scene.sidecar.pid, "fdatasync", what, trace):
                await scene.closed(("EG703",), clock.now().wall)
            await scene.serves_again(restart=False)
            scene.sidecar.end()
            scene.read()

    async def second(self) -> None:
        """Another process with the same folder is refused; the first goes on."""
        async with self._scene("a second writer on the same folder") as scene:
            other = Sidecar.__new__(Sidecar)
            other.folder = scene.sidecar.folder
            before = len(scene.sidecar.lines())
            other.spawn()
            status = await _ended(other)
            told = [line for line in scene.sidecar.lines()[before:] if "another process" in line]
            if not status or not told:
                scene.wrong(f"it ended with {status}, and said {told}")
            scene.line.count += 1
            scene.line.seen = f"refused, exit status {status}; the first serves on"
            await scene.serves_again(restart=False)
            scene.sidecar.end()
            scene.read()

    async def taken(
        self, what: str, deed: Callable[[Path], object], codes: tuple[str, ...]
    ) -> None:
        """The file that is written to is taken away or changed; a start says so, with one code."""
        async with self._scene(f"open journal file {what}") as scene:
            last = max(scene.sidecar.journal.glob("*.jsonl"))
            deed(last)
            await scene.closed(("EG702",), clock.now().wall)
            await scene.stays_damaged(codes)

    async def full(self) -> None:
        """A small disk of its own, really full."""
        folder = self._folder / "disk"
        folder.mkdir()
        try:
            _mount_tmpfs(folder)
        except OSError as error:
            self._part.skipped.append(f"a full disk: {error}")
            return
        async with self._scene("a full disk of its own", folder) as scene:
            ballast = folder / "ballast"
            ballast.write_bytes(bytes(shutil.disk_usage(folder).free - LEFT_BYTES))
            await scene.closed(("EG702",), clock.now().wall)
            ballast.unlink()
            await scene.stays_closed()
            await scene.serves_again(restart=True)
        _unmount(folder)

    @asynccontextmanager
    async def _scene(self, what: str, audit: Path | None = None) -> AsyncIterator[Scene]:
        self._count += 1
        folder = self._folder / f"scene-{self._count}"
        extra = {} if audit is None else {"audit__dir": str(audit / "audit")}
        sidecar = DiskSidecar(folder, self._hand, **extra)
        sidecar.elsewhere = None if audit is None else audit / "audit"
        line = Line(f"real sidecar: {what}")
        self._part.lines.append(line)
        scene = Scene(
            folder, sidecar, Clients(sidecar, f"scene{self._count}"), self._upstream, line
        )
        try:
            await sidecar.start()
            async with scene.clients.asking():
                await scene.clients.until_served()
                scene.clients.reasons.clear()
                yield scene
        finally:
            sidecar.end()


async def _ended(sidecar: Sidecar) -> int | None:
    """Exit status of one that ends by itself; one that does not is ended."""
    child = sidecar._child
    assert isinstance(child, subprocess.Popen), "a new interpreter"
    try:
        async with asyncio.timeout(START_S):
            while child.poll() is None:
                await asyncio.sleep(0.02)
    except TimeoutError:
        child.kill()
        child.wait()
        return None
    return child.returncode


class DiskSidecar(Sidecar):
    """A sidecar whose journal may lie elsewhere."""

    elsewhere: Path | None = None

    @property
    def journal(self) -> Path:
        return self.elsewhere or super().journal


def _mount_tmpfs(folder: Path) -> None:
    """Seen by this thread and the processes that it starts, and gone with them."""
    libc = ctypes.CDLL(None, use_errno=True)
    calls: list[Callable[[], int]] = [
        lambda: libc.unshare(_CLONE_NEWNS),
        lambda: libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None),
        lambda: libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, b"size=%d" % TMPFS_BYTES),
    ]
    for call in calls:
        if call():
            raise OSError(ctypes.get_errno(), "needs a mount namespace of its own")


def _unmount(folder: Path) -> None:
    ctypes.CDLL(None).umount2(os.fsencode(folder), _MNT_DETACH)


def _moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def _replaced(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _scenes(disks: Disks, part: Part) -> dict[str, Callable[[], Awaitable[None]]]:
    """Everything that this machine permits."""
    found: dict[str, Callable[[], Awaitable[None]]] = {}
    missing = strace_missing()
    if missing:
        part.skipped.append(f"disks that fail or are slow: {missing}")
    else:
        for call in ("pwrite64", "fdatasync"):
            for error in ERRORS:
                found[f"{call} {error}"] = partial(disks.failing, call, error, ("EG702",))
        # The marks are written with these, too, and may be first.
        for call, error in (("fsync", "EIO"), ("rename", "EIO"), ("openat", "ENOSPC")):
            found[f"{call} {error}"] = partial(disks.failing, call, error, ("EG702", "EG406"))
        found["slow"] = disks.slow
    found["second"] = disks.second
    for what, deed in (("removed", Path.unlink), ("moved away", _moved), ("cut", _cut)):
        found[what] = partial(disks.taken, what, deed, DAMAGED)
    # A copy that lacks nothing but the tail behind the newest checkpoint is continued.
    found["replaced by a copy"] = partial(
        disks.taken, "replaced by a copy", _replaced, (*DAMAGED, "")
    )
    found["full"] = disks.full
    return found


async def _play(folder: Path, part: Part, tell: Callable[[str], None], only: list[str]) -> None:
    async with stage.open_stage(folder) as (hand, upstream):
        disks = Disks(folder, hand, upstream, part)
        scenes = _scenes(disks, part)
        for name in only or scenes:
            await scenes[name]()
            if part.lines:
                tell(f"{part.lines[-1].what}: {part.lines[-1].seen}")


def run(part: Part, tell: Callable[[str], None], only: list[str]) -> list[Line]:
    """All scenes, or some.

    Args:
        part: Told what cannot be done here.
        tell: Shown each scene.
        only: Their names; none: all.
    """
    with tempfile.TemporaryDirectory(prefix="epochgate-disks-") as name:
        asyncio.run(_play(Path(name), part, tell, only))
    return part.lines
