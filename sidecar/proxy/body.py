"""Where the body of a message ends. Bytes in, payload out; no sockets.

Rules:

* Lines end with CRLF, chunk sizes are 1 to 16 hex digits, data is followed by CRLF: nothing else is
  tolerated, whoever sent it. Chunk extensions and trailers are read, bounded and dropped.
* All payload of one received piece comes out as one piece, so a flood of tiny chunks costs a loop
  here and not a write each. That loop ends after `turn_lines`: others want to be served, too.

Source: RFC 9112 sections 6 and 7; hardening b.1 B01 to B35.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from sidecar.core.reason import ProtocolError, Reason

PLAIN_SIZE = re.compile(rb"([1-9a-fA-F][0-9a-fA-F]{0,5})\r\n")
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
TRAILER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t\x20-\x7e\x80-\xff]*")
FRAMING_TRAILERS = frozenset({b"content-length", b"transfer-encoding"})
EXTENSION_MAX_BYTES = 1024  # of one message; RFC 9112 7.1.1 asks for a limit
SIZE_MAX_BYTES = 10**15 - 1  # as many digits as a Content-Length may have


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a chunked message is not payload, and how much payload there may be, bytes.

    Attributes:
        line_bytes: A chunk-size line; more is EG001.
        trailer_bytes: All trailers; more is EG003.
        body_bytes: Payload; 0 means no limit. More is EG004.
        turn_lines: Lines that one `feed` reads before it leaves the rest; 0 means all.
    """

    line_bytes: int
    trailer_bytes: int
    body_bytes: int = 0
    turn_lines: int = 0


class Body(Protocol):
    """What `feed` of each kind of body does."""

    def feed(self, data: bytes, start: int) -> tuple[bytes, int, bool]:
        """Take bytes.

        Args:
            data: What was received.
            start: Where in it to begin.

        Returns:
            Payload, index of the first byte not taken, whether the body is complete. Where it is
            not, bytes are only left to be fed again, later.

        Raises:
            ProtocolError: The bytes are no body.
        """
        ...


class Nothing:
    """No body: complete at once."""

    __slots__ = ()

    def feed(self, data: bytes, start: int) -> tuple[bytes, int, bool]:  # noqa: ARG002
        """Take nothing."""
        return b"", start, True


class Fixed:
    """A body of `left` bytes."""

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        self.left = size

    def feed(self, data: bytes, start: int) -> tuple[bytes, int, bool]:
        """Take at most what is left."""
        here = len(data) - start
        if here <= self.left:
            self.left -= here
            return (data[start:] if start else data), len(data), not self.left
        end = start + self.left
        self.left = 0
        return data[start:end], end, True


class UntilClose:
    """A body that ends with the connection; never complete here."""

    __slots__ = ()

    def feed(self, data: bytes, start: int) -> tuple[bytes, int, bool]:
        """Take everything."""
        return data[start:], len(data), False


class Broken:
    """A body that was malformed: what follows has no meaning, so it never becomes complete."""

    __slots__ = ()

    def feed(self, data: bytes, start: int) -> tuple[bytes, int, bool]:  # noqa: ARG002
        """Take nothing, ever."""
        raise ProtocolError(Reason.REQUEST_MALFORMED, "bytes after a malformed body")


_SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)


class Chunked:
    """A chunked body, decoded."""

    __slots__ = ("_bounds", "_extensions", "_left", "_line", "_size", "_state", "_trailers")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._state = _SIZE
        self._line = b""  # the beginning of a line that the next piece will end
        self._left = 0
        self._size = 0
        self._extensions = 0
        self._trailers = 0

    def feed(self, data: bytes, start: int) -> tuple[bytes, int, bool]:
        """Take chunks."""
        if self._state == _SIZE and not self._line:
            whole = self._take_whole(data, start)
            if whole:
                return whole, len(data), False
        pieces: list[bytes] = []
        end = len(data)
        lines = self._bounds.turn_lines
        while start < end and self._state != _DONE:
            if self._state == _DATA:
                stop = min(end, start + self._left)
                pieces.append(data[start:stop])
                self._left -= stop - start
                start = stop
                if not self._left:
                    self._state = _DATA_END
            else:
                line, start = self._take_line(data, start)
                if line is not None:
                    self._line_ended(line)
                    lines -= 1
                    if not lines:
                        break
        payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return payload, start, self._state == _DONE

    def _take_whole(self, data: bytes, start: int) -> bytes:
        """The payload if these bytes are one plain chunk: how events of a stream come; else none.

        Whatever is not plain (extensions, the last chunk, a limit) is for the lines below to judge.
        """
        match = PLAIN_SIZE.match(data, start)
        if match is None or not data.endswith(b"\r\n"):
            return b""
        begin, size = match.end(), int(match[1], 16)
        if begin + size + 2 != len(data) or 0 < self._bounds.body_bytes < self._size + size:
            return b""
        self._size += size
        return data[begin:-2]

    def _take_line(self, data: bytes, start: int) -> tuple[bytes | None, int]:
        most = self._line_max()
        found = data.find(b"\n", start, start + most + 2 - len(self._line))
        if found >= 0:
            line = self._line + data[start:found]
            self._line = b""
            if not line.endswith(b"\r"):
                raise ProtocolError(Reason.REQUEST_MALFORMED, "line in a body without CR")
            return line[:-1], found + 1
        self._line += data[start:]
        # The fault that comes first in the bytes wins, so that one piece and many pieces end alike.
        if b"\r" in self._line[: min(most + 1, len(self._line) - 1)]:
            raise ProtocolError(Reason.REQUEST_MALFORMED, "CR in a body line without LF")
        if len(self._line) >= most + 2:
            raise self._too_long()
        return None, len(data)

    def _line_max(self) -> int:
        if self._state == _SIZE:
            return self._bounds.line_bytes
        return 0 if self._state == _DATA_END else self._bounds.trailer_bytes

    def _too_long(self) -> ProtocolError:
        if self._state == _TRAILER:
            return ProtocolError(Reason.REQUEST_HEAD_TOO_LARGE, "trailers too large")
        return ProtocolError(Reason.REQUEST_MALFORMED, "chunk line too long")

    def _line_ended(self, line: bytes) -> None:
        if self._state == _SIZE:
            self._chunk_begins(line)
        elif self._state == _DATA_END:
            if line:
                raise ProtocolError(Reason.REQUEST_MALFORMED, "chunk longer than its size")
            self._state = _SIZE
        elif line:
            self._trailer(line)
        else:
            self._state = _DONE

    def _chunk_begins(self, line: bytes) -> None:
        match = SIZE_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(Reason.REQUEST_MALFORMED, "chunk size")
        self._extensions += len(line) - match.end(1)
        if self._extensions > EXTENSION_MAX_BYTES:
            raise ProtocolError(Reason.REQUEST_MALFORMED, "chunk extensions too long")
        self._left = int(match[1], 16)
        self._size += self._left
        if self._left > SIZE_MAX_BYTES or 0 < self._bounds.body_bytes < self._size:
            raise ProtocolError(Reason.REQUEST_BODY_TOO_LARGE, "chunked body")
        self._state = _DATA if self._left else _TRAILER

    def _trailer(self, line: bytes) -> None:
        match = TRAILER_LINE.fullmatch(line)
        # A trailer that frames is an attempt to make two readers disagree; the rest is dropped.
        if match is None or match[1].lower().replace(b"_", b"-") in FRAMING_TRAILERS:
            raise ProtocolError(Reason.REQUEST_MALFORMED, "trailer")
        self._trailers += len(line) + 2
        if self._trailers > self._bounds.trailer_bytes:
            raise self._too_long()


NOTHING = Nothing()
BROKEN = Broken()


def announced(length: int | None, bounds: Bounds, *, chunked: bool) -> Body:
    """The body that the framing of a request announces.

    Args:
        length: Its size in bytes, or None.
        bounds: Of a chunked body.
        chunked: Whether it comes in chunks.
    """
    if length is not None:
        return Fixed(length)
    return Chunked(bounds) if chunked else NOTHING
