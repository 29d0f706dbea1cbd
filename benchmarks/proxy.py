"""Workloads 1 and 2: small requests over kept connections.

* `full`: 64 connections, each asks again as soon as it is answered; every proxy at its limit.
* `steady`: 1,000 requests per second for every proxy, latency from the instant they were due.
* `one`: a single connection, closed loop.
"""

import time
from functools import partial

from benchmarks import steady, usage
from benchmarks.figures import name_of
from benchmarks.load import Load
from benchmarks.rounds import OURS, Bench, Run
from benchmarks.targets import ADDED

CONNECTIONS = 64
WARM_S = 1
SINGLE_S = 2
RATE = 1_000  # requests per second of `steady`
IDLE_S = 2  # to see what a proxy does when nobody asks
DEAREST = "envoy + ext_authz"
CPU = "CPU, µs per request"


def measure(run: Run) -> dict[str, float]:
    """Idle, warm, full, steady, one."""
    source, port = Load(run.folder), run.contestant.port
    found = _idle(run)
    run.loaded("warm", partial(source.run, port, CONNECTIONS, WARM_S))
    found |= run.loaded("full", partial(source.run, port, CONNECTIONS, run.size))
    found |= run.loaded("steady", partial(steady.run, port, CONNECTIONS, RATE, run.size))
    found |= run.loaded("one", partial(source.run, port, 1, min(run.size, SINGLE_S)))
    return found


def _idle(run: Run) -> dict[str, float]:
    pids = run.contestant.pids.values()
    if not pids:
        return {}
    before = usage.cpu_us(pids)
    time.sleep(IDLE_S)
    return {
        "idle CPU, ms per s": (usage.cpu_us(pids) - before) / 1000 / IDLE_S,
        "idle memory, MiB": usage.resident_mib(pids),
    }


def _added(found: dict[str, float]) -> None:
    """Added latency of ours against that of the dearest peer."""
    direct, ours, dear = (
        found.get(f"{name}: steady: {name_of(99)}", 0) for name in ("direct", OURS, DEAREST)
    )
    # A direct path that was slower than a proxy was disturbed: it adds nothing that means much.
    if 0 < direct < min(ours, dear):
        found[ADDED] = (ours - direct) / (dear - direct)


BENCH = Bench(
    name="proxy",
    about="Workloads 1 and 2: small requests on 64 connections, and on one.",
    size_name="seconds",
    size=5,
    seconds=17,
    measure=measure,
    ratios={
        "full: CPU": f"full: {CPU}", "steady: CPU": f"steady: {CPU}", "one: CPU": f"one: {CPU}",
        "one: p50": f"one: {name_of(50)}",
    },
    finish=_added,
)  # fmt: skip
