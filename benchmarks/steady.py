"""Load at a fixed rate: requests leave when they are due, whatever became of those before.

Latency counts from the instant a request was due, so a stall is felt by everyone who would have
come during it (coordinated omission). One thread and `select`, because its timeout is finer than
the millisecond of epoll.
"""

import gc
import re
import select
import socket
import statistics
import time
from collections import deque
from dataclasses import dataclass, field

from benchmarks import request
from benchmarks.load import LoadError, Served

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
OK = b"HTTP/1.1 200"
LATE_S = 5.0  # for the last answers


@dataclass(slots=True)
class _Client:
    """One keep-alive connection and the answer it waits for."""

    sock: socket.socket
    due: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def take(self) -> bool:
        """Read; whether the answer is complete."""
        data = self.sock.recv(65536)
        if not data:
            raise LoadError("a connection was closed")
        self.received += data
        end = self.received.find(b"\r\n\r\n") + 4
        if end < 4:  # noqa: PLR2004 (3: not found)
            return False
        length = LENGTH.search(self.received, 0, end)
        if not self.received.startswith(OK) or length is None:
            raise LoadError(f"not the answer that was expected: {bytes(self.received[:200])!r}")
        if len(self.received) < end + int(length[1]):
            return False
        self.received.clear()
        return True


def run(port: int, connections: int, rate: int, seconds: int) -> Served:
    """Send `rate` requests per second, evenly spaced.

    Raises:
        LoadError: an answer was not 200, none came, or every connection was busy when one was due.
    """
    clients = {}
    for _ in range(connections):
        sock = socket.create_connection((request.HOST, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients[sock.fileno()] = _Client(sock)
    gc.disable()  # a pause of ours would be counted as one of the proxy
    try:
        taken = _schedule(clients, rate, rate * seconds)
    finally:
        gc.enable()
        for client in clients.values():
            client.sock.close()
    cuts = statistics.quantiles(taken, n=100)
    return Served(len(taken), rate, round(cuts[49] * 1e6), round(cuts[98] * 1e6))


def _schedule(clients: dict[int, _Client], rate: int, total: int) -> list[float]:
    """Send what is due, read what has come, until all is answered; latencies in seconds."""
    clock = time.perf_counter
    message = _message()
    idle = deque(clients.values())
    busy: set[int] = set()
    taken: list[float] = []
    began = clock()
    sent = 0
    while len(taken) < total:
        due = began + sent / rate
        now = clock()
        if sent < total and now >= due:
            if not idle:
                raise LoadError(f"{rate} requests per second are more than it can take")
            client = idle.popleft()
            client.due = due
            client.sock.sendall(message)
            busy.add(client.sock.fileno())
            sent += 1
            continue
        ready, _, _ = select.select(busy, (), (), due - now if sent < total else LATE_S)
        if not ready and sent == total:
            raise LoadError(f"{total - len(taken)} requests were not answered")
        for number in ready:
            client = clients[number]
            if client.take():
                taken.append(clock() - client.due)
                busy.discard(number)
                idle.append(client)
    return taken


def _message() -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.HEADERS.items())
    return f"POST {request.PATH} HTTP/1.1\r\n{lines}\r\n".encode() + request.body()
