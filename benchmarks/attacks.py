"""The attackers of `hostile`: `python -m benchmarks.attacks NAME PORT SECONDS`.

Each keeps many connections busy in its own bad way until its time is over, and opens a new one for
each that is closed. Bounded in number and in time, and only ever against 127.0.0.1.
"""

import selectors
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from benchmarks import request

PIECE_BYTES = 64 * 1024
OPEN_PER_TURN = 20
TURN_S = 0.01


@dataclass(frozen=True, slots=True)
class Attack:
    """What is done on each connection.

    Attributes:
        count: Connections at a time.
        first: Sent first.
        again: Sent again and again; nothing: the connection is left alone.
        reads: Whether answers are read; an end is noticed in any case.
    """

    count: int
    first: bytes
    again: bytes = b""
    reads: bool = True


def _head(*lines: str) -> bytes:
    return "\r\n".join((f"POST {request.PATH} HTTP/1.1", *lines, "")).encode()


CHUNKED = _head("Host: a", "Content-Type: application/json", "Transfer-Encoding: chunked")
ASK = request.wire()
ATTACKS: Mapping[str, Attack] = {
    "idle flood": Attack(2000, b""),
    "pipelining": Attack(20, b"", ASK * (PIECE_BYTES // len(ASK))),
    "pipelining, unread": Attack(20, b"", ASK * (PIECE_BYTES // len(ASK)), reads=False),
    "tiny chunks": Attack(20, CHUNKED + b"\r\n", b"1\r\nx\r\n" * (PIECE_BYTES // 6)),
    "header flood": Attack(20, _head("Host: a"), b"X: y\r\n" * (PIECE_BYTES // 6)),
}


class Attacker:
    """Keeps the connections of one attack going."""

    def __init__(self, attack: Attack, port: int) -> None:
        self._attack = attack
        self._where = (request.HOST, port)
        self._selector = selectors.DefaultSelector()
        self._left: dict[socket.socket, bytes] = {}

    def run(self, seconds: float) -> None:
        """Attack for so long."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            for _ in range(min(OPEN_PER_TURN, self._attack.count - len(self._left))):
                self._open()
            for key, events in self._selector.select(TURN_S):
                assert isinstance(key.fileobj, socket.socket)
                try:
                    self._turn(key.fileobj, events)
                except OSError:
                    self._close(key.fileobj)
        for sock in tuple(self._left):
            self._close(sock)

    def _open(self) -> None:
        sock = socket.socket()
        sock.settimeout(1)
        try:
            sock.connect(self._where)
        except OSError:
            sock.close()
            return
        sock.settimeout(0)
        self._left[sock] = self._attack.first
        writes = selectors.EVENT_WRITE if self._attack.first or self._attack.again else 0
        self._selector.register(sock, writes | selectors.EVENT_READ)

    def _turn(self, sock: socket.socket, events: int) -> None:
        if events & selectors.EVENT_READ:
            if not self._attack.reads:
                self._selector.modify(sock, selectors.EVENT_WRITE)
            elif not sock.recv(PIECE_BYTES):
                raise ConnectionError
        if events & selectors.EVENT_WRITE:
            data = self._left[sock] or self._attack.again
            if not data:
                self._selector.modify(sock, selectors.EVENT_READ)
                return
            with suppress(BlockingIOError):
                data = data[sock.send(data) :]
            self._left[sock] = data

    def _close(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        del self._left[sock]
        sock.close()


def main(arguments: list[str]) -> None:
    """Run one attack."""
    name, port, seconds = arguments
    Attacker(ATTACKS[name], int(port)).run(float(seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
