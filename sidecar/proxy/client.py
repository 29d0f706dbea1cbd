"""The client's side of a connection: what is written to it, and how it ends.

Rules:

* Our side ends first, a little of what still arrives is discarded so that the answer arrives, then
  the connection is closed. It is never used again.
* An answer that waits to be read keeps a connection for as long as the client keeps its pace, and
  no longer, whatever else has ended.
* A connection that is one too many is told so, or closed without a word when too many are.

Source: RFC 9112 section 9; hardening T01, T04, T09, T23.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from typing import Any

from sidecar.core.gate import Denial
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.reason import Reason
from sidecar.proxy.connections import Place
from sidecar.proxy.pace import Pace
from sidecar.proxy.plane import Plane

DISCARD_MAX_BYTES = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: the peer sees a reset, not an end

_INT = struct.Struct("i")


class ClientSide(asyncio.Protocol):
    """What `Downstream` writes to and ends.

    Args:
        plane: What all connections share.

    Attributes:
        deadline: Boot time at which `Downstream` looks what has expired; 0: never.
        eof: Whether the client has ended its side.
        write_full: Whether the client reads more slowly than we write.
    """

    __slots__ = (
        "_discarded", "_ending", "_pace", "_plane", "_transport", "deadline", "eof", "write_full",
    )  # fmt: skip

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._transport: asyncio.Transport
        self._discarded = 0
        self._ending = False  # no more requests from here; what still arrives is discarded
        self._pace = Pace(plane.limits.progress_bytes, plane.timeouts.unread_ms)
        self.deadline = 0
        self.eof = False
        self.write_full = False

    def write(self, data: bytes) -> None:
        """Write to the client."""
        if self.write_full:
            self._pace.more(len(data))
        self._transport.write(data)

    def undelivered(self) -> bool:
        """Whether some of the answer waits for the client; `resume_writing` once it has left."""
        if not self._unread:
            return False
        self._transport.set_write_buffer_limits(high=0)
        return True

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def cut_off(self) -> None:
        """End at once, so that no reader takes what was sent for complete."""
        self._ending = True
        sock: Any = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()

    def give_way(self) -> None:
        """Close: what is waited for here has not come, and somebody else has."""
        self._ending = True
        self._plane.observer.malformed(Reason.CONNECTION_LIMIT)
        self._transport.abort()

    @property
    def _unread(self) -> int:
        """Bytes of answers that the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def _waits(self) -> int:
        """Those, and what the kernel keeps for the client: it takes more in steps of megabytes."""
        sock: Any = self._transport.get_extra_info("socket")
        try:
            (kept,) = _INT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))
        except OSError:
            kept = 0  # it has ended
        return self._unread + int(kept)

    def _refuse(self, place: Place) -> None:
        """This connection is one too many."""
        self._plane.observer.malformed(Reason.CONNECTION_LIMIT)
        if place is Place.TOLD:
            self._deny(Reason.CONNECTION_LIMIT)
        else:
            self._ending = True
            self._transport.abort()

    def _deny(self, reason: Reason) -> None:
        """Answer a request that could not be read, or a connection that is too many."""
        plane = self._plane
        now = plane.clock()
        why = Denial(reason, plane.gate.snapshot)
        decision_id = plane.recorder.decision(why, None, None, now)
        answer = plane.answer(why, decision_id, now, None, keep=False)
        self._transport.write(answer)
        plane.observer.finished("deny", reason, reason.status, 0, 0, 0)
        self._end_politely(now)

    def _end_politely(self, now: Now) -> None:
        """End our side, and wait a little for the client to end its own."""
        self._ending = True
        if self._transport.is_closing():
            return
        if self.eof and not self._unread:
            self._transport.close()
            return
        self._transport.write_eof()
        self._pace.begin(self._waits() if self._unread else 0, now)
        self._set_deadline(now, self._plane.timeouts.linger_ms)

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > DISCARD_MAX_BYTES and not self._unread:
            self._transport.abort()

    def _linger_again_or_close(self, now: Now) -> None:
        if self._unread:
            self._set_deadline(now, self._plane.timeouts.linger_ms)
        else:
            self._transport.abort()

    def _set_deadline(self, now: Now, left_ms: int) -> None:
        self.deadline = now.boot + left_ms * NS_PER_MS if left_ms else 0
