"""What processes have used so far, from /proc."""

import os
from collections.abc import Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME, _PARENT = 11, 12, 1  # fields of /proc/PID/stat after the command's name


def cpu_us(pids: Iterable[int]) -> float:
    """User and system time of processes and of all that they started; microseconds."""
    found = _table()
    return sum(
        (int(found[pid][_UTIME]) + int(found[pid][_STIME])) / TICKS * 1e6
        for pid in _with_children(pids, found)
    )


def resident_mib(pids: Iterable[int]) -> float:
    """Resident memory of processes and of all that they started; MiB."""
    total = 0
    for pid in _with_children(pids, _table()):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total / 1024


def _table() -> dict[int, list[str]]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended while we looked
    return found


def _with_children(pids: Iterable[int], table: dict[int, list[str]]) -> set[int]:
    known = set(pids)
    while True:
        more = {pid for pid, stat in table.items() if int(stat[_PARENT]) in known} - known
        if not more:
            return known
        known |= more
