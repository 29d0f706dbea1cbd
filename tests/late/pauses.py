"""Three ways to stop a process: SIGSTOP, the cgroup freezer, a delay within a system call.

What a machine does not permit is said in words, so that a test can name it.
"""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

STRACE = shutil.which("strace")


class Pause(Protocol):
    """How one process is stopped."""

    def stopped(self) -> bool:
        """Whether it is stopped now."""
        ...

    def resume(self) -> None:
        """Let it go on."""
        ...


class Stopped:
    """SIGSTOP and SIGCONT."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def stop(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def stopped(self) -> bool:
        stat = Path(f"/proc/{self._pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)


class Freezer:
    """A cgroup (version 2) of our own; what is in it can be frozen.

    Raises:
        OSError: This machine does not permit that.
    """

    def __init__(self, name: str) -> None:
        self._folder = _own_cgroup() / name
        self._folder.mkdir()
        try:
            self.switch.stat()
        except OSError:
            self.close()
            raise

    @property
    def switch(self) -> Path:
        return self._folder / "cgroup.freeze"

    def take(self, pid: int) -> None:
        (self._folder / "cgroup.procs").write_text(str(pid))

    def stopped(self) -> bool:
        return "frozen 1" in (self._folder / "cgroup.events").read_text()

    def resume(self) -> None:
        self.switch.write_text("0")

    def close(self) -> None:
        """Remove it; it must be empty."""
        self._folder.rmdir()


def _own_cgroup() -> Path:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            own = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines()
                   if line.startswith("0::")]  # fmt: skip
            return Path(before.split()[4]) / own[0].lstrip("/")
    raise FileNotFoundError("no cgroup version 2 is mounted")


def freezer(name: str) -> Freezer | str:
    """A freezer, or why there is none."""
    try:
        made = Freezer(name)
        try:
            with subprocess.Popen(["sleep", "60"]) as child:
                try:
                    made.take(child.pid)
                finally:
                    child.kill()
        except OSError:
            made.close()
            raise
    except OSError as error:
        return f"needs a cgroup (version 2) that can be frozen: {error}"
    return made


@dataclass(frozen=True, slots=True)
class Call:
    """Which system calls of a thread wait.

    Attributes:
        name: Of the system call.
        kind: delay_enter: before the kernel acts; delay_exit: after it has.
        step: Every so many calls.
        late: Whether a write that waits so must be recorded as late.
    """

    name: str
    kind: str
    step: int
    late: bool


class Delays:
    """strace, attached to a process: some of its system calls wait.

    Args:
        pid: Process to delay.
        call: Which ones.
        delay_us: For how long.
        out: Where strace writes what it did.
    """

    def __init__(self, pid: int, call: Call, delay_us: int, out: Path) -> None:
        assert STRACE is not None
        self._pid, self._out = pid, out
        inject = f"inject={call.name}:{call.kind}={delay_us}:when=5+{call.step}"
        self._child = subprocess.Popen(
            [STRACE, "-f", "-qq", "-p", str(pid), "-o", str(out), "-e", f"trace={call.name}",
             "-e", inject],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def attached(self) -> bool:
        return "TracerPid:\t0\n" not in Path(f"/proc/{self._pid}/status").read_text()

    @property
    def refused(self) -> bool:
        return self._child.poll() is not None

    @property
    def count(self) -> int:
        """Delays so far."""
        return self._out.read_text(errors="replace").count("(DELAYED)") if self._out.exists() else 0

    def detach(self) -> None:
        self._child.send_signal(signal.SIGINT)
        self._child.wait(20)


def strace_missing() -> str:
    """Why strace cannot be used here, or nothing."""
    if STRACE is None:
        return "needs strace"
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            tried = subprocess.run(
                [STRACE, "-qq", "-p", str(child.pid), "-o", os.devnull],
                capture_output=True, text=True, timeout=0.5, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return ""  # attached, and following
        finally:
            child.kill()
    return f"needs permission to trace a process: {tried.stderr.strip()[:100]}"
