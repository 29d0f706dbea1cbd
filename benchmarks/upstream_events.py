"""The service of workload 4, a process of its own: 100 server-sent events for each request.

    python -m benchmarks.upstream_events PORT

The head leaves when the request is there, then one event each 2 ms on a schedule that a late one
does not shift. Each event carries the instant it was sent, on a clock that all processes share. One
thread and `select`, because its timeout is finer than the millisecond of epoll.
"""

import heapq
import select
import socket
import sys
import time
from dataclasses import dataclass, field

HOST = "127.0.0.1"  # imports little, to be there at once
EVENTS = 100
PERIOD_NS = 2_000_000
NS_PER_S = 1_000_000_000
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n"
)
# What ends the answer; the last event and it leave together, as they do from a real service.
END = b"0\r\n\r\n"
CLOCK = time.CLOCK_MONOTONIC


def event(sent_ns: int) -> bytes:
    """One event of 60 bytes, as a chunk."""
    text = f'data: {{"t":"{sent_ns:019}","text":" some more text"}}\n\n'.encode()
    return b"%x\r\n%b\r\n" % (len(text), text)


@dataclass(slots=True)
class _Stream:
    """A connection, and how far its answer is."""

    sock: socket.socket
    received: bytearray = field(default_factory=bytearray)
    sent: int = 0

    def asked(self) -> bool:
        """Read; whether a whole request is there."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        if not found or len(body) < int(length):
            return False
        self.received.clear()
        return True

    def send(self) -> bool:
        """Send one event; whether there are more."""
        data = event(time.clock_gettime_ns(CLOCK))
        self.sent += 1
        more = self.sent < EVENTS
        self.sock.sendall(data if more else data + END)
        return more


class _Service:
    """Listener, connections, and what is due when."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server((HOST, port), backlog=1024)
        self._streams: dict[int, _Stream] = {}
        self._due: list[tuple[int, int]] = []

    def serve(self) -> None:
        """For ever."""
        while True:
            self._send()
            ready, _, _ = select.select([self._listener, *self._streams], (), (), self._wait_s())
            for one in ready:
                if one is self._listener:
                    self._accept()
                else:
                    self._receive(one)

    def _wait_s(self) -> float | None:
        if not self._due:
            return None
        return max(0, self._due[0][0] - time.clock_gettime_ns(CLOCK)) / NS_PER_S

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._streams[sock.fileno()] = _Stream(sock)

    def _receive(self, number: int) -> None:
        stream = self._streams[number]
        try:
            if stream.asked():
                stream.sent = 0
                stream.sock.sendall(HEAD)
                due = time.clock_gettime_ns(CLOCK) + PERIOD_NS
                heapq.heappush(self._due, (due, number))
        except OSError:
            self._close(number)

    def _send(self) -> None:
        while self._due and self._due[0][0] <= time.clock_gettime_ns(CLOCK):
            due, number = heapq.heappop(self._due)
            stream = self._streams.get(number)
            try:
                if stream is not None and stream.send():
                    heapq.heappush(self._due, (due + PERIOD_NS, number))
            except OSError:
                self._close(number)

    def _close(self, number: int) -> None:
        self._streams.pop(number).sock.close()
        # Else a new connection with the same number would get what was due on this one.
        self._due = [one for one in self._due if one[1] != number]
        heapq.heapify(self._due)


if __name__ == "__main__":
    _Service(int(sys.argv[1])).serve()
