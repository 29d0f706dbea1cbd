"""Workload 6: 10,000 idle keep-alive connections; what each of them costs.

Every connection has had one request answered. Counted is resident memory of the proxy's processes;
what the kernel keeps for each socket comes on top for everyone. Connections come from several
loopback addresses, so that ports do not run out.
"""

import socket
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import machine, request, upstream_bulk, usage
from benchmarks.contestants import Shape
from benchmarks.load import LoadError, Served
from benchmarks.rounds import Bench, Run

CONNECTIONS = 10_000
SPARE = 500  # descriptors of a process for anything else
PER_ADDRESS = 5_000
SETTLE_S = 1.0
IDLE_S = 2.0
LATE_S = 10.0
TIME_WAIT_S = 70  # Linux forgets a closed connection after 60
PORTS_MAX = 2_000  # of some 28,000, in TIME-WAIT at the start of a turn
KIB = 1024
ASKS_NOBODY = "an idle connection asks nobody: same as without"


def _connect(port: int, number: int) -> socket.socket:
    """A connection that has been used once."""
    source = f"127.0.0.{1 + number // PER_ADDRESS}"
    sock = socket.create_connection(
        (request.HOST, port), timeout=LATE_S, source_address=(source, 0)
    )
    sock.sendall(request.wire())
    answer, got = upstream_bulk.head(sock)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise LoadError(f"connection {number}: {answer[:600]!r}")
    upstream_bulk.drop(sock, upstream_bulk.number(upstream_bulk.LENGTH, answer) - got)
    return sock


def opened(port: int, count: int, stack: ExitStack) -> Served:
    """Connections that the stack closes, each used once."""
    began = time.perf_counter()
    for number in range(count):
        try:
            stack.enter_context(_connect(port, number))
        except OSError as error:
            raise LoadError(f"connection {number} of {count}: {error}") from None
    return Served(count, {"per second": count / (time.perf_counter() - began)})


def wait_for_ports() -> None:
    """Until what the turn before has closed is forgotten: its ports cannot be used again before."""
    until = time.monotonic() + TIME_WAIT_S
    while waiting_ports() > PORTS_MAX and time.monotonic() < until:
        time.sleep(1)


def waiting_ports() -> int:
    """Connections in TIME-WAIT on this machine."""
    words = Path("/proc/net/sockstat").read_text().split()
    return int(words[words.index("tw") + 1])


def measure(run: Run) -> dict[str, float]:
    """Connect, wait, look, and see that they still work."""
    count = run.size
    if machine.descriptors() < count + SPARE:
        raise LoadError(f"{count} connections: RLIMIT_NOFILE permits {machine.descriptors()}")
    pids = run.contestant.pids.values()
    wait_for_ports()
    with ExitStack() as stack:
        with ExitStack() as first:
            run.loaded("warm", partial(opened, run.contestant.port, 10, first))
        before_mib = usage.resident_mib(pids)
        found = run.loaded("open", partial(opened, run.contestant.port, count, stack))
        time.sleep(SETTLE_S)
        after_mib = usage.resident_mib(pids)
        before_us = usage.cpu_us(pids)
        time.sleep(IDLE_S)
        idle_us = usage.cpu_us(pids) - before_us
    return {
        **found,
        "memory before, MiB": before_mib,
        "memory with them, MiB": after_mib,
        "memory, KiB per connection": (after_mib - before_mib) * KIB / count,
        "idle CPU, ms per s": idle_us / 1000 / IDLE_S,
    }


BENCH = Bench(
    name="idle",
    about="Workload 6: 10,000 idle connections; memory of each.",
    size_name="connections",
    size=CONNECTIONS,
    seconds=70,
    measure=measure,
    ratios={"memory": "memory, KiB per connection"},
    shape=Shape(connections=CONNECTIONS + SPARE),
    leaves_out={
        "direct": "nothing in between",
        "nginx + auth_request": ASKS_NOBODY,
        "envoy + ext_authz": ASKS_NOBODY,
    },
)
