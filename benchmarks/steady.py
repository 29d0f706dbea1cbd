"""Load at a fixed rate: requests leave when they are due, whatever became of those before.

Latency counts from the instant a request was due, so a stall is felt by everyone who would have
come during it (coordinated omission). On kept connections, or with a new one for each request,
whose handshake is in the latency too. One thread and `select`, because its timeout is finer than
the millisecond of epoll.
"""

import gc
import re
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field

from benchmarks import figures, request
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


def run(port: int, connections: int, rate: int, seconds: float, *, keep: bool = True) -> Served:
    """Send `rate` requests per second, evenly spaced.

    Args:
        port: Where to.
        connections: At most so many at once.
        rate: Per second.
        seconds: How long.
        keep: Whether a connection serves more than one request.

    Raises:
        LoadError: an answer was not 200, none came, or a request was due for long and no connection
            was free for it.
    """
    source = _Source(port, connections, keep=keep)
    gc.disable()  # a pause of ours would be counted as one of the proxy
    try:
        taken = source.run(rate, round(rate * seconds))
    finally:
        gc.enable()
        source.close()
    return Served(len(taken), {"per second": rate, **figures.percentiles(taken)})


class _Source:
    """Connections, idle and busy, and the schedule."""

    def __init__(self, port: int, connections: int, *, keep: bool) -> None:
        self._port = port
        self._most = connections
        self._keep = keep
        self._message = request.wire(keep=keep)
        self._idle = deque(self._connect() for _ in range(connections if keep else 0))
        self._busy: dict[int, _Client] = {}
        self._taken: list[float] = []

    def run(self, rate: int, total: int) -> list[float]:
        """Send what is due, read what has come, until all is answered; latencies in seconds."""
        clock = time.perf_counter
        began = clock()
        sent = 0
        while len(self._taken) < total:
            due = began + sent / rate
            now = clock()
            free = sent < total and len(self._busy) < self._most
            if free and now >= due:
                self._send(due)
                sent += 1
                continue
            ready, _, _ = select.select(self._busy, (), (), due - now if free else LATE_S)
            if not ready and not free:
                raise LoadError(f"{len(self._busy)} requests were not answered")
            if sent < total and now - due > LATE_S:
                raise LoadError("more requests are due than it can take")
            for number in ready:
                self._receive(number)
        return self._taken

    def close(self) -> None:
        """Close every connection."""
        for client in (*self._idle, *self._busy.values()):
            client.sock.close()

    def _connect(self) -> _Client:
        sock = socket.create_connection((request.HOST, self._port), timeout=LATE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Client(sock)

    def _send(self, due: float) -> None:
        client = self._idle.popleft() if self._keep else self._connect()
        client.due = due
        client.sock.sendall(self._message)
        self._busy[client.sock.fileno()] = client

    def _receive(self, number: int) -> None:
        client = self._busy[number]
        if not client.take():
            return
        self._taken.append(time.perf_counter() - client.due)
        del self._busy[number]
        if self._keep:
            self._idle.append(client)
        else:
            client.sock.close()
