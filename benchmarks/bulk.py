"""Workload 5: 256 MiB up and 256 MiB down, on one connection.

Load and upstream share a core, so they are the limit of the fastest; CPU time per MiB has no such
limit. Memory is looked at every few milliseconds: a proxy that piles up what it relays is seen. The
transfers are repeated, because one takes a fraction of a second.
"""

import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Self

from benchmarks import machine, request, upstream_bulk, usage
from benchmarks.contestants import Contestant, Shape
from benchmarks.load import LoadError, Served
from benchmarks.rounds import Bench, Run

MIB = 1024 * 1024
TIMES = 3
LATE_S = 30.0
SAMPLE_S = 0.02

Transfer = Callable[[socket.socket, int], None]


class BulkService(Contestant):
    """The upstream, on the core of the load."""

    name = "service"

    def start(self) -> None:
        command = [sys.executable, "-m", "benchmarks.upstream_bulk", str(self.port)]
        self._launch("service", command, self.port, machine.cores()[0])


class _Memory:
    """Looks at the memory of processes until it is told to stop."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.points: list[tuple[float, float]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def growth_mib(self) -> float:
        """The most there was, less what there was at first."""
        return max(mib for _, mib in self.points) - self.points[0][1]

    def _look(self) -> None:
        began = time.perf_counter()
        while True:
            mib = sum(usage.rss_mib(pid) for pid in self._pids)
            self.points.append((round(time.perf_counter() - began, 3), round(mib, 2)))
            if self._over.wait(SAMPLE_S):
                return


def up(sock: socket.socket, count: int) -> None:
    """Send a body, wait for the answer."""
    sock.sendall(request.wire_head(count))
    upstream_bulk.send(sock, count)
    _answer(sock)


def down(sock: socket.socket, count: int) -> None:
    """Ask for a body, and read it."""
    asks = {upstream_bulk.ASKS: str(count)}
    sock.sendall(request.wire_head(request.BODY_BYTES, **asks) + request.body())
    length, got = _answer(sock)
    if length != count:
        raise LoadError(f"{count} bytes were asked for, {length} come")
    upstream_bulk.drop(sock, count - got)


def _answer(sock: socket.socket) -> tuple[int, int]:
    head, got = upstream_bulk.head(sock)
    if not head.startswith(b"HTTP/1.1 200"):
        raise LoadError(f"not the answer that was expected: {head[:200]!r}")
    return upstream_bulk.number(upstream_bulk.LENGTH, head), got


def load(port: int, transfer: Transfer, mib: int) -> Served:
    """One direction, a few times.

    Raises:
        LoadError: a transfer broke off, or was not what was asked for.
    """
    rates = []
    try:
        with socket.create_connection((request.HOST, port), timeout=LATE_S) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(TIMES):
                began = time.perf_counter()
                transfer(sock, mib * MIB)
                rates.append(mib / (time.perf_counter() - began))
    except OSError as error:
        raise LoadError(f"{transfer.__name__}: {error}") from None
    return Served(mib * TIMES, {"throughput, MiB/s": statistics.median(rates)}, requests=TIMES)


def measure(run: Run) -> dict[str, float]:
    """Up and down, with an eye on memory from before the first byte."""
    pids = usage.family(run.contestant.pids.values())
    if not pids:
        return _both(run)
    with _Memory(sorted(pids)) as memory:
        found = _both(run)
    run.series["memory, MiB"] = memory.points
    return {**found, "growth of memory, MiB": memory.growth_mib}


def _both(run: Run) -> dict[str, float]:
    port = run.contestant.port
    found = run.loaded("up", partial(load, port, up, run.size), "MiB")
    return found | run.loaded("down", partial(load, port, down, run.size), "MiB")


BENCH = Bench(
    name="bulk",
    about="Workload 5: 256 MiB up and down, on one connection.",
    size_name="mib",
    size=256,
    seconds=4,
    measure=measure,
    ratios={
        "up: throughput": "up: throughput, MiB/s", "down: throughput": "down: throughput, MiB/s",
        "up: CPU": "up: CPU, µs per MiB", "down: CPU": "down: CPU, µs per MiB",
    },
    service=BulkService,
    shape=Shape(streams=True),
)  # fmt: skip
