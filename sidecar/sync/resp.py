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

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

# The class that redis-py accepts for RESP2; only `on_connect` and `on_disconnect` of it are used.
from redis._parsers.resp2 import _AsyncRESP2Parser

from sidecar.core.fault import Fault, PeerError

if TYPE_CHECKING:
    import asyncio

ELEMENTS_MAX = 4096  # of one array; a domain holds at most some hundred orders
LINE_MAX_BYTES = 64 * 1024
READ_BYTES = 64 * 1024
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


class _More(Enum):
    """More bytes are needed."""

    MORE = 0


@dataclass(frozen=True, slots=True)
class _Array:
    """So many replies follow."""

    count: int


class Parser(_AsyncRESP2Parser):
    """Reads replies of one connection. A status is text, a bulk string bytes.

    What has come is taken apart without a further await: an array of hundreds of orders is read
    by each round of each sidecar.
    """

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._left = GREETING_BYTES
        self._held = bytearray()  # what has come and was not taken yet begins at `_at`
        self._at = 0

    def on_connect(self, connection: Any) -> None:  # noqa: ANN401, redis-py's
        """Begin with a connection; what the one before left over is no part of it."""
        super().on_connect(connection)  # type: ignore[no-untyped-call]
        self._held.clear()
        self._at = 0

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
        while (head := self._take()) is _More.MORE:
            await self._fill()
        if not isinstance(head, _Array):
            return head
        if head.count > ELEMENTS_MAX:
            raise PeerError(Fault.OVERSIZE, f"array of {head.count}, limit {ELEMENTS_MAX}")
        found: list[Scalar] = []
        while len(found) < head.count:
            item = self._take()
            if item is _More.MORE:
                await self._fill()
            elif isinstance(item, _Array):
                raise PeerError(Fault.PROTOCOL, "unexpected reply: an array in an array")
            else:
                found.append(item)
        return found

    async def _fill(self) -> None:
        stream: asyncio.StreamReader | None = self._stream
        if stream is None or not self._connected:
            raise PeerError(Fault.CLOSED, "not connected")
        more = await stream.read(READ_BYTES)
        if not more:
            raise PeerError(Fault.CLOSED, "the peer closed the connection")
        del self._held[: self._at]
        self._at = 0
        self._held += more

    def _take(self) -> Scalar | _Array | _More:
        held, at = self._held, self._at
        end = held.find(b"\r\n", at)
        if (len(held) if end < 0 else end) - at > LINE_MAX_BYTES:
            raise PeerError(Fault.OVERSIZE, "a line that does not end")
        if end < 0:
            return _More.MORE
        mark, rest = bytes(held[at : at + 1]), bytes(held[at + 1 : end])
        if mark == b"$":
            return self._bulk(_length(rest), end + 2)
        self._at = end + 2
        match mark:
            case b"*":
                count = _length(rest)
                return None if count < 0 else _Array(count)
            case b"+":
                self._charge(len(rest))
                return rest.decode("ascii", "replace")
            case b":" if _INTEGER.fullmatch(rest):
                return int(rest)
            case b"-":
                raise ErrorReplyError(_ERRORS.get(rest.split(b" ")[0], Fault.REFUSED), _quote(rest))
            case _:
                raise PeerError(Fault.PROTOCOL, f"unexpected reply {_quote(mark + rest)}")

    def _bulk(self, length: int, start: int) -> bytes | _More | None:
        if length < 0:
            self._at = start
            return None
        self._charge(length)
        held, end = self._held, start + length
        if len(held) < end + 2:
            self._left += length  # charged when it is there
            return _More.MORE
        if held[end : end + 2] != b"\r\n":
            raise PeerError(Fault.PROTOCOL, "a value does not end where it should")
        self._at = end + 2
        return bytes(held[start:end])

    def _charge(self, length: int) -> None:
        if length > self._left:
            raise PeerError(Fault.OVERSIZE, f"{length} bytes, {self._left} of the limit left")
        self._left -= length


def _length(digits: bytes) -> int:
    if not _LENGTH.fullmatch(digits):
        raise PeerError(Fault.PROTOCOL, f"not a length: {_quote(digits)}")
    return int(digits)


def _quote(raw: bytes) -> str:
    return repr(raw[:DETAIL_LETTERS].decode("ascii", "replace"))
