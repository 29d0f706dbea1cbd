"""The service behind, at the level of bytes: counts each one, and reads nothing but our own form.

`tests/proxy/world.py` has a service that reads streams; a reset there hides what came before it.
Here each byte is counted as it is read from the socket, and what is not written the one way we
write requests is a fault, so a test that forwards anything odd fails even when nobody looks.
"""

import asyncio
import os
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET
from typing import cast

from tests.proxy.world import OK, Received, Service

# A loopback address of this process alone. Each byte that arrives is counted here, and a port that
# another test has just given back may still be called by whoever knew it.
ADDRESS = f"127.9.{os.getpid() // 250 % 256}.{1 + os.getpid() % 250}"
LINE = re.compile(rb"[A-Z]+ /[!-~]* HTTP/1\.1")
FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+: (?:[\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]*)?")
PROBE = b"/probe"
PROBED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nprobe"

Reply = Callable[["Seen"], Sequence[bytes]]


def ok(seen: "Seen") -> Sequence[bytes]:
    """What a healthy service answers."""
    return (PROBED if seen.target == PROBE else OK,)


@dataclass
class Seen(Received):
    """A request, and which connection it came on."""

    connection: int = 0

    @property
    def target(self) -> bytes:
        return self.head.split(b" ")[1]

    @property
    def ours(self) -> list[tuple[bytes, bytes]]:
        """The lines that the sidecar added."""
        return [item for item in self.headers if item[0].startswith(b"x-epochgate-")]

    @property
    def theirs(self) -> bytes:
        """The head without those."""
        lines = self.head.split(b"\r\n")[:-1]
        return b"\r\n".join(line for line in lines if not line.startswith(b"x-epochgate-"))


class Behind(Service):
    """Counts bytes and answers as told.

    Attributes:
        whole_bytes: Of all bytes, those of complete requests.
        reply: Pieces of the answer to one request.
        ends: What happens after an answer: nothing, an orderly close, a reset.
        faults: What was not in our own form.
        links: Open connections.
    """

    def __init__(self) -> None:
        super().__init__()
        self.whole_bytes = 0
        self.reply: Reply = ok
        self.ends: str = ""
        self.faults: list[str] = []
        self.links: set[Link] = set()
        self.answering: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Link(self), ADDRESS, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for link in tuple(self.links):
            link.transport.abort()
        await asyncio.gather(*self.answering, return_exceptions=True)


class Link(asyncio.Protocol):
    """One connection to the service."""

    def __init__(self, service: Behind) -> None:
        self.service = service
        self.transport: asyncio.Transport
        self.number = 0
        self.raw = b""
        self.read = 0
        self.whole = 0
        self.seen: Seen | None = None
        self.left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.service.connections += 1
        self.number = self.service.connections
        self.service.links.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.service.links.discard(self)
        self.service.ended.set()

    def data_received(self, data: bytes) -> None:
        self.service.total_bytes += len(data)
        self.read += len(data)
        self.raw += data
        try:
            while self.raw and (self.body() if self.seen else self.head()):
                pass
        except (AssertionError, ValueError) as error:
            self.service.faults.append(f"{error!r}: {self.raw[:200]!r}")
            self.transport.abort()

    def head(self) -> bool:
        head, end, rest = self.raw.partition(b"\r\n\r\n")
        if not end:
            return False
        line, *fields = head.split(b"\r\n")
        assert LINE.fullmatch(line), "request line"
        assert all(FIELD.fullmatch(field) for field in fields), "header line"
        seen = Seen(head + end, connection=self.number)
        names = [name for name, _ in seen.headers]
        assert names.count(b"host") == 1, "host"
        framing = [name for name in names if name in (b"content-length", b"transfer-encoding")]
        assert len(framing) < 2, "framing"
        self.seen, self.raw = seen, rest
        self.left = int(seen.value(b"content-length") or 0)
        self.service.received.append(seen)
        if not framing or framing == [b"content-length"]:
            return self.left > 0 or self.complete()
        assert seen.value(b"transfer-encoding") == b"chunked", "coding"
        return True

    def body(self) -> bool:
        seen = self.seen
        assert seen is not None
        if seen.value(b"transfer-encoding") is None:
            piece, self.raw = self.raw[: self.left], self.raw[self.left :]
            seen.body += piece
            self.left -= len(piece)
            return not self.left and self.complete()
        line, end, rest = self.raw.partition(b"\r\n")
        size = int(line, 16) if end else 0
        assert not end or line == b"%x" % size, "chunk size"
        if not end or len(rest) < size + 2:
            return False
        assert rest[size : size + 2] == b"\r\n", "chunk end"
        seen.body += rest[:size]
        self.raw = rest[size + 2 :]
        return size > 0 or self.complete()

    def complete(self) -> bool:
        seen, self.seen = self.seen, None
        assert seen is not None
        seen.complete = True
        whole = self.read - len(self.raw)
        self.service.whole_bytes += whole - self.whole
        self.whole = whole
        pieces = self.service.reply(seen)
        if len(pieces) == 1 and not self.service.ends:
            self.transport.write(pieces[0])
        else:
            task = asyncio.get_running_loop().create_task(self.answer(pieces))
            self.service.answering.add(task)
            task.add_done_callback(self.service.answering.discard)
        return True

    async def answer(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            if self.transport.is_closing():
                return
            self.transport.write(piece)
            await turn()
        if self.service.ends == "close":
            self.transport.close()
        elif self.service.ends == "reset":
            while self.transport.get_write_buffer_size() and not self.transport.is_closing():
                await asyncio.sleep(0)
            reset(self.transport)


async def turn() -> None:
    """Let others read what was written: the loop looks in the next turn, they run after us."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that the other side sees a reset."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
