"""RESP2 replies, read with a limit that holds before anything is buffered.

Rules:

* A length is compared with what is left of the limit before its bytes are read. A hostile peer that
  announces 512 MB costs one line.
* Only the shapes that we ask for: status, error, integer, bulk string, null, and a flat array of
  these. Anything else ends the connection.
* Any error reply raises. Of one batch all replies count or none, but for writes before a read.

Why not redis-py's own parser: it reads whatever length the server announces, and nests as deep.

Source: Redis serialization protocol, version 2; hardening E-R2, R05, R06.
"""

import asyncio
import re
from typing import Final

# The class that redis-py accepts for RESP2; only `on_connect` and `on_disconnect` of it are used.
from redis._parsers.resp2 import _AsyncRESP2Parser

from sidecar.core.fault import Fault, PeerError

ELEMENTS_MAX = 4096  # of one array; a domain holds at most some hundred orders
GREETING_BYTES = 1024  # limit while connecting: replies to AUTH and SELECT
DETAIL_LETTERS = 80  # of what a peer said, for people

_LENGTH: Final = re.compile(rb"-1|0|[1-9][0-9]{0,9}")
_INTEGER: Final = re.compile(rb"-?[0-9]{1,19}")

Scalar = bytes | str | int | None
Reply = Scalar | list[Scalar]


_ERRORS = {
    b"WRONGTYPE": Fault.WRONG_TYPE,
    b"NOAUTH": Fault.DENIED,
    b"NOPERM": Fault.DENIED,
    b"WRONGPASS": Fault.DENIED,
}


class ErrorReplyError(PeerError):
    """The peer answered a command with an error; the connection is still in step."""


class Parser(_AsyncRESP2Parser):
    """Reads replies of one connection. A status is text, a bulk string bytes."""

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._left = GREETING_BYTES

    def limit(self, max_bytes: int) -> None:
        """How many bytes of text all following replies may hold together."""
        self._left = max_bytes

    # Name and flag are redis-py's. Nothing is ever decoded here, and null may be an element.
    async def read_response(  # type: ignore[override]
        self,
        disable_decoding: bool = False,  # noqa: ARG002, FBT001, FBT002
    ) -> Reply:
        """One reply.

        Raises:
            PeerError: for an error reply, and for whatever is not one of the known shapes.
        """
        stream: asyncio.StreamReader | None = self._stream
        if stream is None or not self._connected:
            raise PeerError(Fault.CLOSED, "not connected")
        try:
            return await self._reply(stream)
        except asyncio.IncompleteReadError as error:
            raise PeerError(Fault.CLOSED, "the peer closed the connection") from error
        except asyncio.LimitOverrunError as error:
            raise PeerError(Fault.OVERSIZE, "a line that does not end") from error

    async def _reply(self, stream: asyncio.StreamReader) -> Reply:
        mark, rest = await _line(stream)
        if mark != b"*":
            return await self._scalar(stream, mark, rest)
        count = _length(rest)
        if count < 0:
            return None
        if count > ELEMENTS_MAX:
            raise PeerError(Fault.OVERSIZE, f"array of {count}, limit {ELEMENTS_MAX}")
        return [await self._scalar(stream, *await _line(stream)) for _ in range(count)]

    async def _scalar(self, stream: asyncio.StreamReader, mark: bytes, rest: bytes) -> Scalar:
        match mark:
            case b"$":
                return await self._bulk(stream, _length(rest))
            case b"+":
                self._charge(len(rest))
                return rest.decode("ascii", "replace")
            case b":" if _INTEGER.fullmatch(rest):
                return int(rest)
            case b"-":
                raise ErrorReplyError(_ERRORS.get(rest.split(b" ")[0], Fault.REFUSED), _quote(rest))
            case _:
                raise PeerError(Fault.PROTOCOL, f"unexpected reply {_quote(mark + rest)}")

    async def _bulk(self, stream: asyncio.StreamReader, length: int) -> bytes | None:
        if length < 0:
            return None
        self._charge(length)
        body = await stream.readexactly(length + 2)
        if not body.endswith(b"\r\n"):
            raise PeerError(Fault.PROTOCOL, "a value does not end where it should")
        return body[:-2]

    def _charge(self, length: int) -> None:
        if length > self._left:
            raise PeerError(Fault.OVERSIZE, f"{length} bytes, {self._left} of the limit left")
        self._left -= length


async def _line(stream: asyncio.StreamReader) -> tuple[bytes, bytes]:
    line = (await stream.readuntil(b"\r\n"))[:-2]
    return line[:1], line[1:]


def _length(digits: bytes) -> int:
    if not _LENGTH.fullmatch(digits):
        raise PeerError(Fault.PROTOCOL, f"not a length: {_quote(digits)}")
    return int(digits)


def _quote(raw: bytes) -> str:
    return repr(raw[:DETAIL_LETTERS].decode("ascii", "replace"))
