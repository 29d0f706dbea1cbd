"""What processes have used so far: CPU time from their CPU clocks, memory from /proc."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
NS_PER_US = 1000
_PARENT = 1  # field of /proc/PID/stat after the command's name
_SCHED = 2  # of the clocks that a process has, the one that counts what was run


def cpu_us(pids: Iterable[int]) -> float:
    """User and system time of processes and of all that they started; microseconds.

    Not from /proc/PID/stat, which counts in steps of 10 ms.
    """
    # How Linux numbers the CPU clock of another process: clock_getcpuclockid(3) does the same.
    clocks = [(~pid << 3) | _SCHED for pid in family(pids)]
    return sum(time.clock_gettime_ns(clock) for clock in clocks) / NS_PER_US


def resident_mib(pids: Iterable[int]) -> float:
    """Resident memory of processes and of all that they started; MiB."""
    return sum(rss_mib(pid) for pid in family(pids))


def rss_mib(pid: int) -> float:
    """Resident memory of one process; MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * PAGE_BYTES / 1024**2


def family(pids: Iterable[int]) -> set[int]:
    """Processes, and all that they started."""
    known = set(pids)
    parents = _parents()
    while True:
        more = {pid for pid, parent in parents.items() if parent in known} - known
        if not more:
            return known
        known |= more


def _parents() -> dict[int, int]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[_PARENT])
        except OSError:
            continue  # ended while we looked
    return found
