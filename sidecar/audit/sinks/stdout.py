"""Sink of kind stdout: one line for each record on the standard output of the process.

    {"event":"audit","log":"epochgate/prod/chat-0a1b","record":{...}}

Log lines go there too, and are written by the event loop. So a pipe is never filled: there is room
for log lines left, and a reader that is gone stops this sink and not the requests. Whole lines in
one write, so that none is cut in two by a log line.

Source: pipe(7), unix(7).
"""

import asyncio
import fcntl
import os
import select
import stat
import struct
import termios
from collections.abc import Iterator, Sequence

from sidecar.audit.sinks.feed import Entry
from sidecar.audit.sinks.outlet import Thread
from sidecar.core import canonical

LOOK_S = 0.02
PIECE_BYTES = 16 * 1024
STDOUT = 1


class StandardOutput:
    """Writes records as lines.

    Args:
        thread: Runs what may block after all.
        descriptor: Where to write.
    """

    def __init__(self, thread: Thread, descriptor: int = STDOUT) -> None:
        self._thread = thread
        self._descriptor = descriptor
        self._pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)

    async def send(self, log: str, entries: Sequence[Entry]) -> int:
        """Write records; see `outlet.Outlet`. Waits as long as nobody reads."""
        begin = b'{"event":"audit","log":' + canonical.encode(log) + b',"record":'
        lines = (begin + entry.line + b"}\n" for entry in entries)
        for piece in _pieces(lines, PIECE_BYTES):
            await self._room(len(piece))
            await self._thread(lambda piece=piece: self._write(piece))  # type: ignore[misc]
        return 0

    async def _room(self, size: int) -> None:
        while not self._has_room(size):  # noqa: ASYNC110 (nobody tells that a pipe was read)
            await asyncio.sleep(LOOK_S)

    def _has_room(self, size: int) -> bool:
        if not self._pipe:
            # Linux calls a socket writable while three quarters of its buffer are free.
            return bool(select.select([], [self._descriptor], [], 0)[1])
        unread = struct.unpack("i", fcntl.ioctl(self._descriptor, termios.FIONREAD, b"\0" * 4))[0]
        holds: int = fcntl.fcntl(self._descriptor, fcntl.F_GETPIPE_SZ)
        # A pipe holds pages, and short writes leave some of them half empty: hence a quarter each.
        return unread == 0 or (unread <= holds // 4 and size <= holds // 4)

    def _write(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            view = view[os.write(self._descriptor, view) :]

    async def close(self) -> None:
        """Nothing: the descriptor belongs to the process."""


def _pieces(lines: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Whole lines together, up to a size; a longer line alone."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > size:
            yield piece
            piece = b""
        piece += line
    if piece:
        yield piece
