"""Workload 3: a new connection for each request.

* `full`: 64 clients, each connects anew as soon as it is answered.
* `steady`: 500 per second, latency from the instant they were due, with the handshake in it.
"""

from functools import partial

from benchmarks import steady
from benchmarks.figures import name_of
from benchmarks.load import Load
from benchmarks.rounds import Bench, Run

CONNECTIONS = 64
RATE = 500  # per second
WARM_S = 1
CPU = "CPU, µs per request"


def measure(run: Run) -> dict[str, float]:
    """Warm, full, steady."""
    source, port = Load(run.folder, keep=False), run.contestant.port
    run.loaded("warm", partial(source.run, port, CONNECTIONS, WARM_S))
    found = run.loaded("full", partial(source.run, port, CONNECTIONS, run.size))
    paced = partial(steady.run, port, CONNECTIONS, RATE, run.size, keep=False)
    return found | run.loaded("steady", paced)


BENCH = Bench(
    name="fresh",
    about="Workload 3: a new connection for each request.",
    size_name="seconds",
    size=3,
    seconds=9,
    measure=measure,
    ratios={
        "full: CPU": f"full: {CPU}", "steady: CPU": f"steady: {CPU}",
        "steady: p50": f"steady: {name_of(50)}",
    },
)  # fmt: skip
