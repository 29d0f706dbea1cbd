"""strace, attached to a process: its system calls fail, wait, or are the last thing it does."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.late.pauses import STRACE

ATTACH_S = 10.0
FILES = (
    "openat", "close", "pwrite64", "write", "fdatasync", "fsync", "fchmod", "rename", "renameat",
    "renameat2", "ftruncate", "fallocate", "unlink", "unlinkat", "mkdir", "flock",
)  # fmt: skip


@contextmanager
def injected(pid: int, call: str, what: str, out: Path) -> Iterator[None]:
    """Inject something into each thread of a process for a while.

    Args:
        pid: Of the process; it may end meanwhile.
        call: Names of system calls, separated by commas.
        what: As strace has it: `signal=KILL:when=3`, `error=EIO`.
        out: Where each such call is written down.
    """
    assert STRACE is not None
    command = [STRACE, "-f", "-qq", "-ttt", "-T", "-o", str(out), "-e", f"trace={call}", "-e",
               f"inject={call}:{what}", "-p", str(pid)]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        try:
            _wait_attached(pid, child)
            yield
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)


def _wait_attached(pid: int, child: "subprocess.Popen[bytes]") -> None:
    """Each thread of it: strace says so of none."""
    limit = time.monotonic() + ATTACH_S
    while child.poll() is None and time.monotonic() < limit:
        threads = list(Path(f"/proc/{pid}/task").glob("*/status"))
        if not any("TracerPid:\t0\n" in thread.read_text() for thread in threads):
            return
        time.sleep(0.002)
    assert child.stderr is not None
    raise OSError(f"strace did not attach to {pid}: {child.stderr.read().decode()}")
