"""One client connection: bytes in, one exchange after the other.

Rules:

* Requests are taken one at a time, in order, each decided when *it* is forwarded. What a client
  sends ahead waits in a bounded buffer, then reading pauses.
* After an answer that leaves bytes unread nothing more is parsed; how it ends: `client.py`.
* A body in tiny chunks is taken in turns (`body.py`), and reading pauses while some of it waits.
* Whatever our own code throws ends in a denial (`_safely`), the one broad `except` of the data
  plane.

Source: RFC 9112 section 9; hardening b.3.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from sidecar.core.instant import Now
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.routes import Upstream as Address
from sidecar.proxy import shell
from sidecar.proxy.client import ClientSide
from sidecar.proxy.connections import Connections, Place
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.plane import Outcome, Plane
from sidecar.proxy.upstream import Upstream

log = logging.getLogger(__name__)


class Downstream(ClientSide):
    """One client connection.

    Args:
        plane: What all connections share.
        connections: All of them; this one is in it while it lasts.

    Attributes:
        buffer: Bytes received and not taken yet.
        destination: Where the client was going before it was redirected; None: it was not.
    """

    __slots__ = (
        "_advancing", "_connections", "_exchange", "_more", "_reading", "_searched", "_since",
        "_upstream", "_upstream_full", "buffer", "destination",
    )  # fmt: skip

    def __init__(self, plane: Plane, connections: "Connections[Downstream]") -> None:
        super().__init__(plane)
        self._connections = connections
        self._exchange: Exchange | None = None
        self._upstream: Upstream | None = None
        self._advancing = False
        self._more = False  # another turn will take more from the buffer
        self._reading = True
        self._searched = 0
        self._since = 0
        self._upstream_full = False
        self.buffer = b""

    @property
    def idle(self) -> bool:
        """Whether no request has begun."""
        return self._exchange is None and not self.buffer

    @property
    def waiting_since(self) -> int:
        """Boot time since when a head is waited for; 0: none is, or an answer is unread."""
        return 0 if self._exchange is not None or self._ending or self._unread else self._since

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or say that there are too many."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        limits = self._plane.limits
        self._transport.set_write_buffer_limits(high=limits.buffer_bytes)
        self.destination = self._plane.inbound.destination(transport)
        place = self._connections.add(self)
        self._safely(self._idle_from if place is Place.SERVED else self._refuse, place)

    def data_received(self, data: bytes) -> None:
        """Bytes of a client."""
        self._safely(self._received, data)

    def eof_received(self) -> bool:
        """The client has ended its side; it may still wait for an answer."""
        self.eof = True
        exchange = self._exchange
        if exchange is None:
            if not self._unread:
                return False
            if not self._ending:  # else nothing would bound the wait for its reader
                self._safely(self._end_politely, self._plane.clock())
            return True
        if exchange.wants_body:  # and it will not come
            if exchange.sent:
                self._transport.abort()
                return False
            self._safely(lambda _: exchange.request_data(), None)
        return True

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 (asyncio's)
        """The client is gone."""
        self._connections.discard(self)
        self._ending = True
        self.buffer = b""
        self._safely(self._lost, None)

    def pause_writing(self) -> None:
        """The client reads too slowly: stop reading the response."""
        self.write_full = True
        self._pace.begin(self._waits(), self._plane.clock())
        if self._upstream is not None:
            self._upstream.hold_reading(hold=True)

    def resume_writing(self) -> None:
        """It caught up."""
        self.write_full = False
        self._transport.set_write_buffer_limits(high=self._plane.limits.buffer_bytes)
        if self._upstream is not None:
            self._upstream.hold_reading(hold=False)
        self._safely(self._caught_up, "cut")
        self._safely(self._go_on, None)

    # What the upstream connection calls.

    def upstream_data(self, data: bytes) -> None:
        """Bytes of a response."""
        if self._exchange is not None:
            self._safely(self._exchange.upstream_data, data)

    def upstream_lost(self, *, clean: bool) -> None:
        """The connection behind has ended."""
        self._upstream = None
        if self._exchange is not None:
            self._safely(self._exchange_lost, clean)

    def upstream_full(self, *, full: bool) -> None:
        """The service takes the request too slowly, or caught up."""
        self._upstream_full = full
        if not full:  # what waited has left just now
            self._safely(self._caught_up, "late")
        self._set_reading()

    # What the exchange calls.

    def upstream_for(self, address: Address) -> Upstream | None:
        """The own upstream connection or a warm one, ready to carry a request there, or None."""
        upstream = self._upstream
        if upstream is not None:
            if upstream.ready and upstream.address == address:
                return upstream
            upstream.abort()
        self._upstream = upstream = self._plane.pool.take(address)
        return upstream

    def drop_upstream(self) -> None:
        """Destroy the own upstream connection."""
        if self._upstream is not None:
            self._upstream.abort()
            self._upstream = None
        self._upstream_full = False

    def connected(self, upstream: Upstream | None) -> None:
        """The upstream connection that the running exchange waits for was made, or not."""
        self._upstream = upstream
        exchange = self._exchange
        if exchange is not None:
            step = exchange.unreachable if upstream is None else exchange.begin
            self._safely(lambda _: step(), None)
        self._set_reading()  # what was read ahead of the connection has been taken

    def over(self, now: Now, *, keep: bool) -> None:
        """The exchange has ended: go on with the next request, or end politely."""
        self._exchange = None
        self._upstream_full = False  # a connection that is still full is not ready for the next
        if keep and not (self._ending or self.eof or self._plane.draining):
            self._idle_from(now)
            if self.buffer:
                self._advance(None)
            self._set_reading()
        else:
            self._end_politely(now)

    # What the server calls.

    def look(self, now: Now) -> None:
        """Ask again whether the running exchange is permitted."""
        if self._exchange is not None:
            self._safely(self._exchange.look, now)

    def tick(self, now: Now) -> None:
        """Time has passed, and what runs is permitted."""
        if self._upstream_full and self._upstream is not None:
            self._upstream.see_waiting()
        if self.deadline and now.boot >= self.deadline:
            self.deadline = 0
            self._safely(self._expired, now)
        if self._pace.due and now.boot >= self._pace.due:
            self._safely(self._look_at_pace, now)

    def drain(self) -> None:
        """Close unless a request is in progress."""
        if self.idle and not self._ending:
            self._transport.close()

    # Inside.

    def _safely(self, step: Callable[[Any], object], argument: object) -> None:
        try:
            step(argument)
        except ProtocolError as error:
            self._malformed(error.reason)
        except Exception:
            log.exception("a request was denied because of an internal error")
            self._broken()

    def _received(self, data: bytes) -> None:
        if self._ending:
            self._discard(len(data))
            return
        self.buffer = self.buffer + data if self.buffer else data
        exchange = self._exchange
        if exchange is None:
            self._advance(None)
        elif exchange.wants_body:
            exchange.request_data()
        self._set_reading()

    def _go_on(self, _: None) -> None:
        self._more = False
        if self._exchange is not None and self._body_waits():
            self._exchange.request_data()
        else:
            self._advance(None)
        self._set_reading()

    def _body_waits(self) -> bool:
        """Whether bytes of a body were left for another turn."""
        exchange = self._exchange
        if exchange is None or not self.buffer or self._upstream_full:
            return False
        return exchange.wants_body

    def _later(self) -> None:
        if not self._more:  # others want to be served, too
            self._more = True
            asyncio.get_running_loop().call_soon(self._safely, self._go_on, None)

    def _advance(self, _: None) -> None:
        """Take requests from the buffer, as many as end at once."""
        if self._advancing:
            return
        self._advancing = True
        try:
            for _turn in range(self._plane.limits.pipeline_depth):
                busy = self._exchange is not None or self._ending or self.write_full
                if busy or not self.buffer or not self._next():
                    return
            self._later()
        finally:
            self._advancing = False

    def _next(self) -> bool:
        plane, buffer = self._plane, self.buffer
        start, end = shell.scan(buffer, self._searched, plane.limits)
        if not end:
            if not self._searched:
                self._set_deadline(plane.clock(), plane.timeouts.head_ms)
            self._searched = len(buffer)
            return False
        self._searched = 0
        asked = plane.shell.parse(buffer[start:end])
        if asked.minor == 0 and not plane.inbound.has_reset:
            raise ProtocolError(Reason.VERSION_UNSUPPORTED, "a cut could be taken for the end")
        self.buffer = buffer[end:]
        self._exchange = exchange = Exchange(plane, self, asked)
        exchange.begin()
        return True

    def _set_reading(self) -> None:
        limits = self._plane.limits
        body_waits = self._body_waits()
        if body_waits:
            self._later()
        # Else what is in the buffer is the beginning of one head, and has its own limit.
        waiting = self._exchange is not None or self.write_full or self._more
        ahead = waiting and (
            len(self.buffer) > limits.head_bytes
            or self.buffer.count(b"\r\n\r\n") >= limits.pipeline_depth
        )
        reading = self._ending or not (ahead or body_waits or self._upstream_full)
        if reading != self._reading and not self._transport.is_closing():
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _malformed(self, reason: Reason) -> None:
        if self._exchange is not None:
            self._safely(self._exchange.malformed, reason)
        elif not self._ending:
            self._plane.observer.malformed(reason)
            self._safely(self._deny, reason)

    def _broken(self) -> None:
        # Whatever state it is in, this connection forwards nothing more.
        exchange = self._exchange
        try:
            if exchange is not None:
                exchange.broken(self._plane.clock())
            elif not self._ending:
                self._deny(Reason.INTERNAL_ERROR)
        except Exception:
            log.exception("the answer to an internal error failed, too")
            self._exchange = None
            if exchange is not None:
                exchange.give_up()
            self.drop_upstream()
            self.cut_off()

    def _end_politely(self, now: Now) -> None:
        self._ending = True
        self.buffer = b""
        self.drop_upstream()
        self._set_reading()
        super()._end_politely(now)

    def _expired(self, now: Now) -> None:
        if self._ending:
            self._linger_again_or_close(now)
        elif self._exchange is not None:
            self._exchange.expired(now)
        elif self.buffer:
            self._malformed(Reason.REQUEST_TIMEOUT)
        elif self._unread:
            self._end_politely(now)
        else:
            self._transport.close()

    def _look_at_pace(self, now: Now) -> None:
        kept = self._pace.kept(self._waits(), now)
        if not kept and (self.write_full or self._ending):
            self._plane.observer.malformed(Reason.ANSWER_UNREAD)
            self.cut_off()
            if self._exchange is not None:
                self._exchange.gone(now, Reason.ANSWER_UNREAD)

    def _idle_from(self, now: object) -> None:
        now = now if isinstance(now, Now) else self._plane.clock()
        self._since = now.boot
        self._set_deadline(now, self._plane.timeouts.idle_ms)

    def _exchange_lost(self, clean: bool) -> None:  # noqa: FBT001 (a step takes one argument)
        if self._exchange is not None:
            self._exchange.upstream_lost(self._plane.clock(), clean=clean)

    def _caught_up(self, end: Outcome) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.sent and not self._upstream_full:
            exchange.request_data(end)  # from now on another side is waited for

    def _lost(self, _: None) -> None:
        if self._exchange is not None:
            self._exchange.gone(self._plane.clock())
        self.drop_upstream()
