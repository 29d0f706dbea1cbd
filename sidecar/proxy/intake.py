"""The body of a request on its way in: taken from what was received, framed anew.

Rules:

* What is taken is what belongs to this request, to the byte; the rest is the next one's.
* Where the policy asks for the model that the body names, what arrives is held until it is whole or
  longer than the policy wants to know, and is sent with the head: the same bytes, no others.
* A trickle buys no time: a client is given its time anew for each `limits.progress`, not for each
  byte.

Source: RFC 9112 sections 6 and 7; hardening T03, T07, T28.
"""

from sidecar.core import model
from sidecar.core.instant import Now
from sidecar.core.reason import ProtocolError, Reason
from sidecar.proxy import http1
from sidecar.proxy.body import BROKEN, Body, Bounds, announced
from sidecar.proxy.plane import Connection
from sidecar.proxy.shell import Asked


class Intake:
    """The body of one request.

    Args:
        asked: The head that announces it.
        bounds: Of a chunked body.

    Attributes:
        ahead: So many bytes may be held before the decision; 0: none are awaited.
        done: Whether it has been taken to its end.
    """

    __slots__ = ("_asked", "_body", "_held", "_taken", "_waits_since", "ahead", "done")

    def __init__(self, asked: Asked, bounds: Bounds) -> None:
        self._asked = asked
        self._body: Body = announced(asked.length, bounds, chunked=asked.chunked)
        self._taken = 0  # bytes since the client was given its time anew
        self._waits_since = 0  # boot time at which that was; 0: it is not waited for
        self._held: bytearray | None = None  # payload that was read before the decision
        self.ahead = 0
        self.done = not (asked.length or asked.chunked)

    def take(self, connection: Connection) -> bytes:
        """Take what has arrived, framed as it goes upstream.

        Raises:
            ProtocolError: It is no body, or the client has ended within it.
        """
        held = self._held
        if self.done and held is None:
            return b""
        payload = b"" if self.done else self._payload(connection)
        if held is not None:
            payload = bytes(held) + payload
            self._held = None
        if not self._asked.chunked:
            return payload
        return http1.chunk(payload) + (http1.LAST_CHUNK if self.done else b"")

    def read_model(self, connection: Connection, max_bytes: int) -> bytes | None:
        """Read before the decision, and hold what arrives.

        A client that waits for a 100 is told to go on here; the service is not asked.

        Args:
            connection: Where it arrives.
            max_bytes: How much may be held; a body that is longer tells nothing.

        Returns:
            The model that the body names, empty when that is not certain; None: wait for more.

        Raises:
            ProtocolError: As `take`.
        """
        asked = self._asked
        if self._held is None:
            if (asked.length or 0) > max_bytes or not model.legible(asked.head.headers):
                return b""
            self._held = bytearray()
            self.ahead = max_bytes
        held = self._held
        held += self._payload(connection)
        short = len(held) <= max_bytes
        if short and not self.done:
            if asked.expects:
                asked.expects = False
                connection.write(http1.CONTINUE)
            return None
        self.ahead = 0
        return model.named(bytes(held)) if short else b""

    def drop(self, connection: Connection) -> bool:
        """Throw away what has arrived; whether that was all of it.

        Waiting for the rest would let a denied client choose how long we read.
        """
        try:
            self.take(connection)
        except ProtocolError:
            return False
        return self.done

    def fail(self) -> None:
        """It can not be read: nothing that follows has a meaning."""
        self._body = BROKEN

    def waits_since(self, now: Now, progress_bytes: int, *, anew: bool) -> int:
        """Boot time since when the client is waited for.

        Args:
            now: Both clocks.
            progress_bytes: What it has to send to be given its time anew.
            anew: Whether it is given anyway.
        """
        if anew or not self._waits_since or self._taken >= progress_bytes:
            self._waits_since, self._taken = now.boot, 0
        return self._waits_since

    def rest(self) -> None:
        """The client is not what is waited for."""
        self._waits_since = 0

    def _payload(self, connection: Connection) -> bytes:
        received = connection.buffer
        payload, taken, self.done = self._body.feed(received, 0)
        connection.buffer = received[taken:] if taken < len(received) else b""
        self._taken += taken
        if connection.eof and not self.done and not connection.buffer:
            raise ProtocolError(Reason.REQUEST_MALFORMED, "the client ended within the body")
        return payload
