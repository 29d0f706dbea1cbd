"""Workload 4: server-sent events, 16 streams at a time, 100 events of 60 bytes each, 2 ms apart.

Each event carries the instant it was sent, so that its delay is measured and not assumed. `first
byte` is from sending the request to the first byte of the answer; `gap` is between two events of
one stream, which the service sends 2 ms apart.
"""

import gc
import re
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial

from benchmarks import figures, machine, request
from benchmarks.contestants import Contestant, Shape
from benchmarks.figures import name_of
from benchmarks.load import LoadError, Served
from benchmarks.rounds import Bench, Run
from benchmarks.upstream_events import CLOCK, END, EVENTS, NS_PER_S, PERIOD_NS

STREAMS = 16
WARM_S = 0.5
LATE_S = 5.0  # without anything from anywhere
SENT = re.compile(rb'"t":"(\d{19})"')
BREAK = b"\n\n"


class EventService(Contestant):
    """The upstream, on the core of the load."""

    name = "service"

    def start(self) -> None:
        command = [sys.executable, "-m", "benchmarks.upstream_events", str(self.port)]
        self._launch("service", command, self.port, machine.cores()[0])


@dataclass(slots=True)
class Seen:
    """What came through; times in nanoseconds."""

    first: list[int] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)
    reads: int = 0


@dataclass(slots=True)
class Stream:
    """One client's connection and the answer it reads."""

    sock: socket.socket
    seen: Seen
    asked_ns: int = 0
    events: int = 0
    last_ns: int = 0
    rest: bytes = b""

    def ask(self, message: bytes) -> None:
        """Send the request."""
        self.events = self.last_ns = 0
        self.rest = b""
        self.asked_ns = time.clock_gettime_ns(CLOCK)
        self.sock.sendall(message)

    def take(self) -> bool:
        """Read; whether the answer is complete."""
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        now_ns = time.clock_gettime_ns(CLOCK)
        if not data:
            raise LoadError("a stream was cut")
        if not self.events and not self.rest:
            self.seen.first.append(now_ns - self.asked_ns)
            if not data.startswith(b"HTTP/1.1 200"):
                raise LoadError(f"not the answer that was expected: {data[:200]!r}")
        self.seen.reads += 1
        whole, found, rest = (self.rest + data).rpartition(BREAK)
        self.rest = rest
        if found:
            self._count(whole, now_ns)
        return self.events == EVENTS and rest.endswith(END)

    def _count(self, whole: bytes, now_ns: int) -> None:
        for sent in SENT.findall(whole):
            self.seen.delays.append(now_ns - int(sent))
            if self.events:
                self.seen.gaps.append(now_ns - self.last_ns)
            self.last_ns = now_ns
            self.events += 1


def connect(port: int) -> socket.socket:
    """A connection that sends at once."""
    sock = socket.create_connection((request.HOST, port), timeout=LATE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def load(port: int, streams: int, seconds: float) -> Served:
    """Ask again on each connection as soon as its answer is complete, until the time is over.

    Raises:
        LoadError: a stream was cut, was not what was asked for, or nothing came any more.
    """
    seen = Seen()
    clients = {}
    for _ in range(streams):
        sock = connect(port)
        clients[sock.fileno()] = Stream(sock, seen)
    gc.disable()
    try:
        asked = _relay(clients, seconds)
    finally:
        gc.enable()
        for client in clients.values():
            client.sock.close()
    return Served(len(seen.delays), _figures(seen), requests=asked)


def _relay(clients: dict[int, Stream], seconds: float) -> int:
    """How many requests it took."""
    message = request.wire()
    began_ns = time.clock_gettime_ns(CLOCK)
    end_ns = began_ns + int(seconds * NS_PER_S)
    # Real streams do not beat in step.
    step_ns = PERIOD_NS // len(clients)
    starting = deque((began_ns + place * step_ns, one) for place, one in enumerate(clients))
    asked = 0
    busy: dict[int, Stream] = {}
    while busy or starting:
        now_ns = time.clock_gettime_ns(CLOCK)
        if starting and starting[0][0] <= now_ns:
            _, number = starting.popleft()
            busy[number] = clients[number]
            busy[number].ask(message)
            asked += 1
            continue
        wait_s = (starting[0][0] - now_ns) / NS_PER_S if starting else LATE_S
        ready, _, _ = select.select(busy, (), (), wait_s)
        if not ready and not starting:
            raise LoadError("no event came any more")
        for number in ready:
            if busy[number].take():
                client = busy.pop(number)
                if client.last_ns < end_ns:
                    starting.append((client.last_ns, number))
    return asked


def _figures(seen: Seen) -> dict[str, float]:
    def spread(name: str, taken_ns: list[int]) -> dict[str, float]:
        return figures.percentiles([one / NS_PER_S for one in taken_ns], f"{name}: ")

    return {
        **spread("first byte", seen.first),
        **spread("delay", seen.delays),
        **spread("gap", seen.gaps),
        "events per read": len(seen.delays) / seen.reads,
    }


def measure(run: Run) -> dict[str, float]:
    """Warm, then events."""
    port = run.contestant.port
    run.loaded("warm", partial(load, port, STREAMS, WARM_S), "event")
    return run.loaded("events", partial(load, port, STREAMS, run.size), "event")


BENCH = Bench(
    name="events",
    about="Workload 4: server-sent events, 16 streams, an event each 2 ms.",
    size_name="seconds",
    size=4,
    seconds=6.5,
    measure=measure,
    ratios={
        "events: CPU": "events: CPU, µs per event",
        "events: delay p99": f"events: delay: {name_of(99)}",
    },
    service=EventService,
    shape=Shape(streams=True),
)
