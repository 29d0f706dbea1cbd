"""What a figure was measured on, and which process runs on which core."""

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from sidecar import __version__

LIBRARIES = ("uvloop", "httptools", "msgspec", "PyNaCl")


def describe() -> dict[str, object]:
    """Processor, cores, memory, kernel, Python."""
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_kib": int(_field(Path("/proc/meminfo"), "MemTotal").split()[0]),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Ours, and those of the libraries on the hot path."""
    return {"epochgate": __version__, **{name: version(name) for name in LIBRARIES}}


def load() -> list[float]:
    """Load averages over 1, 5 and 15 minutes: how busy others kept the machine."""
    return [round(value, 2) for value in os.getloadavg()]


def cores() -> tuple[int, int]:
    """A core for load and upstream, and one for what is measured; the same if there is only one."""
    found = sorted(os.sched_getaffinity(0))
    return found[0], found[-1]


def descriptors() -> int:
    """How many files this process, and each that it starts, may have open: raised to the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run the block, and every process started in it, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"
