"""Hostile clients: how a good one fares meanwhile, and what the attack costs whom.

A good client asks 100 times a second, each time on a new connection, and its latency counts from
the instant a request was due. It is watched while nobody attacks and during each attack: those of
slowhttptest (slow headers, slow bodies, ranges, slow readers) and those of `attacks.py`. Attackers
share the load's core with the good client and give way to it.
"""

import asyncio
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import click

from benchmarks import machine, request, usage
from benchmarks.attacks import ATTACKS
from benchmarks.load import LoadError
from benchmarks.rounds import Bench, Run

RATE = 100  # requests of the good client per second
CONNECTIONS = 1000  # of slowhttptest
PATIENCE_S = 5.0  # of the good client
SAMPLE_S = 0.05
SETTLE_S = 1.0
MS = 1000
TOOL = "slowhttptest"
TOOL_SECONDS_MAX = 10
QUIET = "nobody"
SLOW = {
    "slow headers": ("-H", "-i", "1"),
    "slow bodies": ("-B", "-i", "1", "-s", "8192"),
    "ranges": ("-R",),
    "slow readers": ("-X", "-k", "5", "-w", "512", "-y", "1024", "-n", "1", "-z", "32"),
}
NOT_INSTALLED = f"{TOOL} is not installed; apt-get install {TOOL}"


@dataclass(slots=True)
class Good:
    """What the good client saw; latencies in seconds."""

    taken: list[float] = field(default_factory=list)
    failed: int = 0

    async def ask(self, port: int, due: float) -> None:
        """One request on a new connection."""
        writer = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection(request.HOST, port)
                writer.write(request.wire())
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200"):
                    raise ConnectionError
                await reader.readexactly(len(request.ANSWER))
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            self.failed += 1
        else:
            self.taken.append(time.perf_counter() - due)
        finally:
            if writer is not None:
                writer.transport.abort()


class Watch:
    """Memory and descriptors of a proxy, sampled."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self.before_mib = self.most_mib = usage.resident_mib(pids)
        self.most_descriptors = 0

    async def on(self) -> None:
        """Until cancelled."""
        while True:
            self.most_mib = max(self.most_mib, sum(usage.rss_mib(pid) for pid in self._pids))
            count = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self._pids)  # noqa: PTH208
            self.most_descriptors = max(self.most_descriptors, count)
            await asyncio.sleep(SAMPLE_S)


def measure(run: Run) -> dict[str, float]:
    """Watch the good client alone, then under each attack in turn."""
    found: dict[str, float] = {}
    slow = SLOW if shutil.which(TOOL) else {}
    if not slow:
        click.echo(f"left out: {', '.join(SLOW)}: {NOT_INSTALLED}", err=True)
    for name in (QUIET, *slow, *ATTACKS):
        with machine.pinned(machine.cores()[0]):
            figures = asyncio.run(_attacked(run, name))
        found |= {f"{name}: {what}": value for what, value in figures.items()}
        time.sleep(SETTLE_S)
    if not found[f"{QUIET}: good p50, µs"]:
        raise LoadError("the good client was not served while nobody attacked")
    return found


async def _attacked(run: Run, name: str) -> dict[str, float]:
    pids = [*run.contestant.pids.values()]
    good, watch, seconds = Good(), Watch(pids), min(run.size, TOOL_SECONDS_MAX)
    before_us, began = usage.cpu_us(pids), time.perf_counter()
    attacker = _launch(name, run.contestant.port, seconds, run.folder)
    watching = asyncio.get_running_loop().create_task(watch.on())
    await asyncio.sleep(0 if attacker is None else seconds / 4)  # to get going
    await _ask_steadily(good, run.contestant.port, int(RATE * seconds * 3 / 4))
    passed_s = time.perf_counter() - began
    used = {"proxy": usage.cpu_us(pids) - before_us, "attacker": _end(attacker)}
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    cuts = statistics.quantiles(good.taken, n=100) if len(good.taken) > 1 else [0.0] * 99
    return {
        "good p50, µs": cuts[49] * 1e6,
        "good p99, µs": cuts[98] * 1e6,
        "good, failed": good.failed,
        **{f"CPU of {who}, ms per s": spent / MS / passed_s for who, spent in used.items()},
        "memory before, MiB": watch.before_mib,
        "memory at most, MiB": watch.most_mib,
        "descriptors at most": watch.most_descriptors,
    }


async def _ask_steadily(good: Good, port: int, count: int) -> None:
    began = time.perf_counter()
    async with asyncio.TaskGroup() as asking:
        for number in range(count):
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asking.create_task(good.ask(port, due))


def _launch(name: str, port: int, seconds: int, folder: Path) -> "subprocess.Popen[bytes] | None":
    if name == QUIET:
        return None
    if name in SLOW:
        url = f"http://{request.HOST}:{port}{request.PATH}"
        command = [
            TOOL, *SLOW[name], "-c", str(CONNECTIONS), "-r", str(CONNECTIONS),
            "-l", str(seconds), "-p", "3", "-u", url,
        ]  # fmt: skip
    else:
        command = [
            sys.executable,
            "-m",
            "benchmarks.attacks",
            name,
            str(port),
            str(seconds),
        ]
    with (folder / "attack.log").open("ab") as log:
        return subprocess.Popen(["nice", "-n", "10", *command], stdout=log, stderr=log)


def _end(attacker: "subprocess.Popen[bytes] | None") -> float:
    """End it; the CPU time it has used, in microseconds."""
    if attacker is None:
        return 0.0
    os.kill(attacker.pid, signal.SIGKILL)  # not waited for yet, so the id is still its own
    _, status, used = os.wait4(attacker.pid, 0)
    attacker.returncode = os.waitstatus_to_exitcode(status)
    return (used.ru_utime + used.ru_stime) * 1e6


BENCH = Bench(
    name="hostile",
    about="A good client during attacks by others: latency, memory, CPU time.",
    size_name="seconds",
    size=5,
    seconds=70,
    measure=measure,
    ratios={},
    leaves_out={
        "direct": "nothing in between",
        "nginx + auth_request": "as nginx",
        "envoy": "its limits have to be chosen first",
        "envoy + ext_authz": "as envoy",
    },
)
