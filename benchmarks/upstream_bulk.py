"""The service of workload 5, a process of its own: takes a body of any size, gives one of any size.

    python -m benchmarks.upstream_bulk PORT

It answers when it has read the whole body, with as many bytes as the header `x-answer-bytes` asks
for. A thread for each connection.
"""

import re
import socket
import sys
import threading

HOST = "127.0.0.1"  # imports little, to be there at once
ASKS = "x-answer-bytes"
PIECE = bytes(1024 * 1024)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
WANTED = re.compile(rb"\r\nx-answer-bytes: *(\d+)", re.IGNORECASE)
END = b"\r\n\r\n"


def send(sock: socket.socket, count: int) -> None:
    """So many bytes."""
    view = memoryview(PIECE)
    while count:
        count -= sock.send(view[:count])


def drop(sock: socket.socket, count: int) -> None:
    """Read so many bytes and forget them.

    Raises:
        ConnectionError: it was closed before.
    """
    room = memoryview(bytearray(len(PIECE)))
    while count:
        got = sock.recv_into(room, min(count, len(room)))
        if not got:
            raise ConnectionError(f"{count} bytes are missing")
        count -= got


def head(sock: socket.socket) -> tuple[bytes, int]:
    """A head, and how many bytes after it have been read with it.

    Raises:
        ConnectionError: it was closed before.
    """
    received = b""
    while END not in received:
        data = sock.recv(65536)
        if not data:
            raise ConnectionError("no head")
        received += data
    found, _, rest = received.partition(END)
    return found, len(rest)


def number(pattern: re.Pattern[bytes], text: bytes) -> int:
    """The number of a header, or 0."""
    found = pattern.search(text)
    return int(found[1]) if found else 0


def _serve(sock: socket.socket) -> None:
    with sock:
        try:
            while True:
                asked, got = head(sock)
                if not asked.startswith(b"POST "):
                    return  # bytes of a body where a request should begin
                drop(sock, number(LENGTH, asked) - got)
                wanted = number(WANTED, asked)
                answer = f"HTTP/1.1 200 OK\r\ncontent-length: {wanted}\r\n\r\n"
                sock.sendall(answer.encode())
                send(sock, wanted)
        except OSError:
            return  # the client's end of it


def main(port: int) -> None:
    """For ever."""
    listener = socket.create_server((HOST, port), backlog=1024)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
