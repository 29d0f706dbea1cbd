"""The head of a response: from the bytes of an upstream to one unambiguous parse.

An upstream is trusted no more than a client: what it sends must have one reading, or it is not
relayed. llhttp parses a head alone, with a fresh parser each time; it never sees a body, because
it does not know which request a response belongs to (hardening 0.3).

Source: RFC 9112 section 6.3; hardening b.2.
"""

import re
from dataclasses import dataclass
from typing import Final

from httptools import HttpParserError, HttpResponseParser

from sidecar.config.sections import Limits
from sidecar.core.head import Header
from sidecar.core.reason import ProtocolError, Reason
from sidecar.proxy import fields
from sidecar.proxy.fields import Collector

LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
LENGTH = re.compile(rb"0|[1-9][0-9]{0,14}")
SWITCHING: Final = 101
OK: Final = 200
NO_CONTENT: Final = 204
NOT_MODIFIED: Final = 304


@dataclass(slots=True)
class Answer:
    """The head of a response.

    Attributes:
        status: 100 to 599, never 101.
        headers: Without framing, hop-by-hop and reserved fields.
        length: Announced size in bytes, or None.
        chunked: Whether the body comes in chunks.
        keep_alive: Whether the upstream connection may be used again.
        bodiless: Whether no body follows, whatever the head announces.
        events: Whether the body is an uncompressed event stream.
    """

    status: int
    headers: tuple[Header, ...]
    length: int | None
    chunked: bool
    keep_alive: bool
    bodiless: bool
    events: bool


def _fault(detail: str) -> ProtocolError:
    return ProtocolError(Reason.UPSTREAM_INVALID, detail)


class AnswerShell(Collector):
    """Parses heads of responses. One for all connections: nothing of a response stays in it.

    Args:
        limits: Sizes.
    """

    __slots__ = ()

    def __init__(self, limits: Limits) -> None:
        super().__init__(fields.RESPONSE, limits)

    def scan(self, data: bytes) -> int:
        """End of the head at the beginning of `data`; 0 while bytes are missing.

        Raises:
            ProtocolError: UPSTREAM_INVALID; these bytes can never become a head.
        """
        if not b"HTTP/1.".startswith(data[:7]):
            raise _fault("no status line")
        end = data.find(b"\r\n\r\n") + 4
        if (end if end > 3 else len(data)) > self._limits.response_head_bytes:  # noqa: PLR2004
            raise _fault("head too large")
        return end if end > 3 else 0  # noqa: PLR2004 (3: not found)

    def parse(self, data: bytes, method: bytes) -> Answer:
        """Parse one complete head.

        Args:
            data: From the status line to the empty line.
            method: Of the request that it answers.

        Raises:
            ProtocolError: UPSTREAM_INVALID.
        """
        line = LINE.match(data)
        if line is None:
            raise _fault("status line")
        lines = data.count(b"\r\n")
        if data.translate(None, fields.TEXT) != b"\r\n" * lines:
            raise _fault("control character in the head")
        if lines - 2 > self._limits.head_fields:
            raise _fault("too many header lines")
        try:
            plain, by_kind = self._collect(HttpResponseParser, data)
        except HttpParserError as error:
            raise _fault(str(error)) from None
        return _judge(int(line[1]), int(line[2]), method, plain, by_kind)


def _judge(
    minor: int, status: int, method: bytes, plain: list[Header], by_kind: dict[int, list[bytes]]
) -> Answer:
    if fields.INVALID in by_kind or fields.TOO_LONG in by_kind:
        raise _fault("header name")
    if status == SWITCHING:
        raise _fault("an upgrade that nobody asked for")
    length, chunked = _framing(by_kind, minor)
    keep_alive = minor == 1
    if fields.CONNECTION in by_kind:
        listed = _listed(by_kind[fields.CONNECTION])
        keep_alive = keep_alive and b"close" not in listed
        plain = [header for header in plain if header[0] not in listed]
    bodiless = method == b"HEAD" or status < OK or status in (NO_CONTENT, NOT_MODIFIED)
    if status == NO_CONTENT or status < OK:
        keep_alive = keep_alive and not (length or chunked)
        length, chunked = None, False  # void: RFC 9110 section 8.6
    events = _is_events(by_kind) and not bodiless
    return Answer(status, tuple(plain), length, chunked, keep_alive, bodiless, events)


def _framing(by_kind: dict[int, list[bytes]], minor: int) -> tuple[int | None, bool]:
    lengths = by_kind.get(fields.LENGTH)
    codings = by_kind.get(fields.CODING)
    if codings:
        if lengths or minor == 0 or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise _fault("ambiguous framing")
        return None, True
    if not lengths:
        return None, False
    if len(lengths) > 1 or not LENGTH.fullmatch(lengths[0]):
        raise _fault("length")
    return int(lengths[0]), False


def _listed(values: list[bytes]) -> set[bytes]:
    return {item.strip(b" \t").lower() for value in values for item in value.split(b",")}


def _is_events(by_kind: dict[int, list[bytes]]) -> bool:
    kinds = by_kind.get(fields.CONTENT_TYPE)
    if not kinds or fields.CONTENT_ENCODING in by_kind:
        return False
    return kinds[0].partition(b";")[0].strip().lower() == b"text/event-stream"
