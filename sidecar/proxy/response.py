"""The response of one exchange: bytes of the service in, bytes for the client out. No sockets.

Rules:

* Which body follows is our own knowledge: the method that was asked, the status, the framing.
* To a 1.1 client a body without a length goes in chunks; to a 1.0 client it ends with the
  connection. One piece received is one piece relayed: nothing waits for more.
* Of interim responses only the 100 that the client waits for is relayed.

Source: RFC 9110 section 15.2; RFC 9112 section 6.3; hardening b.2.
"""

from sidecar.core.reason import ProtocolError, Reason
from sidecar.proxy import http1
from sidecar.proxy.answer import Answer, AnswerShell
from sidecar.proxy.body import NOTHING, Body, Bounds, Chunked, Fixed, UntilClose
from sidecar.proxy.shell import Asked

INTERIM_MAX = 8
CONTINUE = 100
FINAL = 200
EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Response:
    """The response of one exchange.

    Args:
        asked: What it answers.
        shell: Parses its head.
        bounds: Of a chunked body.

    Attributes:
        answer: Its head, once that is complete.
        keep: Whether the client was told that its connection stays.
        done: Whether all of it was read.
        surplus: Whether bytes followed that belong to no response.
        on_boundary: Whether what was relayed of an event stream ends with a whole event.
    """

    __slots__ = (
        "_asked", "_body", "_bounds", "_chunks", "_interim", "_raw", "_shell", "answer", "done",
        "keep", "on_boundary", "surplus",
    )  # fmt: skip

    def __init__(self, asked: Asked, shell: AnswerShell, bounds: Bounds) -> None:
        self._asked = asked
        self._shell = shell
        self._bounds = bounds
        self._body: Body = NOTHING
        self._raw = b""
        self._interim = 0
        self._chunks = False
        self.answer: Answer | None = None
        self.keep = False
        self.done = False
        self.surplus = False
        self.on_boundary = True

    def read_head(self, data: bytes) -> tuple[bytes, bool]:
        """Take bytes until the head is complete; `begin` is next then.

        Returns:
            Interim responses for the client; whether the head is complete.

        Raises:
            ProtocolError: This is no response.
        """
        raw = self._raw + data if self._raw else data
        relayed = b""
        while raw and (end := self._shell.scan(raw)):
            answer = self._shell.parse(raw[:end], self._asked.head.method)
            raw = raw[end:]
            if answer.status >= FINAL:
                self.answer = answer
                break
            relayed += self._read_interim(answer.status)
        self._raw = raw
        return relayed, self.answer is not None

    def begin(self, ours: bytes, *, keep: bool) -> bytes:
        """The head for the client, with what is already there of the body.

        Args:
            ours: Our own complete header lines.
            keep: Whether the connection may stay afterwards.

        Raises:
            ProtocolError: The body is broken; there is no answer then.
        """
        answer = self.answer
        assert answer is not None
        self.keep = keep
        framing = self._frame(answer)
        if not self.keep:
            framing += http1.CLOSE
        elif self._asked.minor == 0:
            framing += http1.KEEP_ALIVE
        raw, self._raw = self._raw, b""
        try:
            body = self.read_body(raw)
        except ProtocolError:
            self.answer = None  # nothing of it was relayed, so the client can be told instead
            raise
        return http1.response_head(answer, ours, framing) + body

    def read_body(self, data: bytes) -> bytes:
        """Take bytes of the body; return bytes for the client.

        Raises:
            ProtocolError: The body is broken.
        """
        payload, taken, self.done = self._body.feed(data, 0)
        self.surplus = taken < len(data)
        if payload and self.answer is not None and self.answer.events:
            self.on_boundary = payload.endswith(EVENT_ENDS)
        if not self._chunks:
            return payload
        return http1.chunk(payload) + (http1.LAST_CHUNK if self.done else b"")

    def end(self) -> bytes | None:
        """The service has closed: the last bytes for the client, or None if that was too early."""
        if self.answer is None or not isinstance(self._body, UntilClose):
            return None
        self.done = True
        return http1.LAST_CHUNK if self._chunks else b""

    def last_words(self, event: bytes) -> bytes | None:
        """One more event for a stream that is cut, framed; None where a reader would misread it."""
        answer = self.answer
        if answer is None or not answer.events or not self._chunks or not self.on_boundary:
            return None
        return http1.chunk(event)

    def _read_interim(self, status: int) -> bytes:
        self._interim += 1
        if self._interim > INTERIM_MAX:
            raise ProtocolError(Reason.UPSTREAM_INVALID, "too many interim responses")
        if status != CONTINUE or not self._asked.expects:
            return b""
        self._asked.expects = False
        return http1.CONTINUE

    def _frame(self, answer: Answer) -> bytes:
        if answer.length is not None:
            if not answer.bodiless:
                self._body = Fixed(answer.length)
            return b"content-length: %d\r\n" % answer.length
        if answer.bodiless:
            return b""
        self._body = Chunked(self._bounds) if answer.chunked else UntilClose()
        if self._asked.minor == 0:
            self.keep = False  # only the end of the connection ends this body
            return b""
        self._chunks = True
        return http1.CHUNKED
