"""The request head: from bytes to one unambiguous parse, or a reason why not.

llhttp parses; around it stand our own rules, because it lets pass what a gate must not (hardening
0.2). Sizes are counted before the parser sees a byte.

Rules:

* `scan` looks at a growing prefix and gives the same verdict however the bytes were cut up.
* One request line of fixed shape, lines end with CRLF, one valid Host, one kind of framing.
* The target stays as it came, byte for byte; an absolute one becomes its origin form.
* An upgrade is not offered: websocket and h2c are denied, other offers are not passed on.

Source: RFC 9112 sections 2, 3, 6, 9; hardening b.1, E-H1 to E-H8.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from httptools import HttpParserError, HttpRequestParser

from sidecar.config.sections import Limits
from sidecar.core.head import Header, RequestHead
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.routes import EXEMPT_METHODS
from sidecar.proxy import fields
from sidecar.proxy.fields import Collector

LINE = re.compile(rb"([A-Z]{3,16}) ([\x21-\x7e]+) HTTP/1\.([01])\r\n")
OTHER_VERSION = re.compile(rb"[A-Z]{3,16} [\x21-\x7e]+ HTTP/[0-9]\.[0-9]\r\n")
OTHER_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Z]+ [\x21-\x7e]+ HTTP/1\.[01]\r\n")
BARE = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
LINE_EXTRA_BYTES = 32  # method, two spaces, version and CRLF around the target

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
NEVER = frozenset({b"TRACE", b"CONNECT"})
# Content has no meaning for these (RFC 9110 9.3.1). A service that ignores it reads it as the next
# request: one that nobody decided on and no record shows. An empty body is fine. Exempt methods are
# among these, or such a request would pass through a closed gate.
BODILESS = EXEMPT_METHODS | {b"OPTIONS"}

# Visible ASCII without what RFC 3986 has no place for: " # < > \ and stray %. %00 is nobody's name,
# and a path has no overlong UTF-8, which is a second spelling of another character. A query may: it
# chooses nothing here, and %c0 is a letter in older encodings.
_PATH = rb"[!$&-;=@-\[\]-~]*"
_QUERY = rb"[!$&-;=?-\[\]-~]*"
_HEX = rb"[0-9A-Fa-f]{2}"
TARGET = re.compile(
    rb"/" + _PATH + rb"(?:%(?!00|[Cc][01]|[Ee]0%[89]|[Ff]0%8)" + _HEX + _PATH + rb")*"
    rb"(?:\?" + _QUERY + rb"(?:%(?!00)" + _HEX + _QUERY + rb")*)?"
)  # fmt: skip
ABSOLUTE = re.compile(rb"http://([^/?#]+)([/?].*)?", re.IGNORECASE)
HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
PORT_MAX = 65535

LENGTH = re.compile(rb"0|[1-9][0-9]{0,14}")
HUGE_LENGTH = re.compile(rb"[1-9][0-9]{15,18}")
UPGRADES = frozenset({b"websocket", b"h2c"})
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
NO_TRACE = b"0" * 32
LEADING_LINES_MAX = 2

_CR = 0x0D
_BEFORE_A, _AFTER_Z = 0x40, 0x5B


@dataclass(slots=True)  # not frozen: that triples the cost of making one per request
class Asked:
    """A request head and what its connection needs to know.

    Attributes:
        head: What is judged and, with our framing added, sent.
        minor: 0 or 1 of the HTTP version.
        length: Announced size of the body in bytes, or None.
        chunked: Whether the body comes in chunks.
        keep_alive: Whether the client wants the connection afterwards.
        expects: Whether it waits for a 100 before it sends the body.
        trace: Id from its traceparent, 32 hex digits, or None.
    """

    head: RequestHead
    minor: int
    length: int | None
    chunked: bool
    keep_alive: bool
    expects: bool
    trace: str | None


def scan(data: bytes, searched: int, limits: Limits) -> tuple[int, int]:
    """Find the head at the beginning of what was received.

    Args:
        data: All bytes received since the last request; at least one.
        searched: How many of them an earlier call has seen.
        limits: Sizes.

    Returns:
        Start and end of the head; the end is 0 while bytes are missing.

    Raises:
        ProtocolError: These bytes can never become a head.
    """
    start = 0
    if data[0] <= _CR:
        start = _skip_empty_lines(data)
        if start == len(data) or data[start:] == b"\r":
            return start, 0
    if not _BEFORE_A < data[start] < _AFTER_Z:
        raise ProtocolError(Reason.REQUEST_MALFORMED, "request line begins with no method")
    found = data.find(b"\r\n\r\n", max(start, searched - 3), start + limits.head_bytes)
    end = found + 4 if found >= 0 else 0
    if not end or end - start > min(limits.target_bytes, limits.head_bytes):
        _check_prefix(data[start : end or len(data)], max(0, searched - start - 1), limits)
    return start, end


def _skip_empty_lines(data: bytes) -> int:
    start = 0
    while data.startswith(b"\r\n", start):
        start += 2
    if start > 2 * LEADING_LINES_MAX:
        raise ProtocolError(Reason.REQUEST_MALFORMED, "too many empty lines")
    rest = data[start : start + 2]
    if rest and rest != b"\r" and rest[0] <= _CR:
        raise ProtocolError(Reason.REQUEST_MALFORMED, "control character before the request line")
    return start


def _check_prefix(head: bytes, searched: int, limits: Limits) -> None:
    # The fault that comes first in the bytes wins, so that one piece and many pieces end alike.
    faults: list[tuple[int, Reason]] = []
    line_max = limits.target_bytes + LINE_EXTRA_BYTES
    if len(head) >= line_max and head.find(b"\n", 0, line_max) < 0:
        faults.append((line_max, Reason.REQUEST_TARGET_TOO_LONG))
    # What stands behind the limit cannot come first, and there may be much of it.
    bare = BARE.search(head, searched, limits.head_bytes + 2)
    if bare is not None:
        # A bare CR shows itself only with the byte after it.
        faults.append((bare.start() + (2 if bare[0] == b"\r" else 1), Reason.REQUEST_MALFORMED))
    if len(head) > limits.head_bytes:
        faults.append((limits.head_bytes + 1, Reason.REQUEST_HEAD_TOO_LARGE))
    if faults:
        raise ProtocolError(min(faults, key=_position)[1], "head")


def _position(fault: tuple[int, Reason]) -> int:
    return fault[0]


class Shell(Collector):
    """Parses heads of requests. One for all connections: nothing of a request stays in it.

    Args:
        limits: Sizes.
    """

    __slots__ = ()

    def __init__(self, limits: Limits) -> None:
        super().__init__(fields.REQUEST, limits)

    def parse(self, data: bytes) -> Asked:
        """Parse one complete head, from the request line to the empty line.

        Raises:
            ProtocolError: With the reason that the client is told.
        """
        line = LINE.match(data)
        if line is None:
            raise _line_fault(data)
        method, target = line[1], line[2]
        lines = data.count(b"\r\n")
        if data.translate(None, fields.TEXT) != b"\r\n" * lines:
            raise ProtocolError(Reason.REQUEST_MALFORMED, "control character in the head")
        self._check_line(method, target, lines - 2)
        try:
            plain, by_kind = self._collect(HttpRequestParser, data)
        except HttpParserError as error:
            raise ProtocolError(Reason.REQUEST_MALFORMED, str(error)) from None
        return self._judge(method, target, int(line[3]), plain, by_kind)

    def _check_line(self, method: bytes, target: bytes, lines: int) -> None:
        if method not in METHODS:
            if method in NEVER:
                raise ProtocolError(Reason.METHOD_NOT_ALLOWED, "method")
            raise ProtocolError(Reason.METHOD_UNKNOWN, "method")
        if len(target) > self._limits.target_bytes:
            raise ProtocolError(Reason.REQUEST_TARGET_TOO_LONG, "target")
        if lines > self._limits.head_fields:
            raise ProtocolError(Reason.REQUEST_HEAD_TOO_LARGE, "too many header lines")

    def _judge(
        self,
        method: bytes,
        target: bytes,
        minor: int,
        plain: list[Header],
        by_kind: dict[int, list[bytes]],
    ) -> Asked:
        if fields.INVALID in by_kind:
            raise ProtocolError(Reason.REQUEST_MALFORMED, "header name")
        if fields.TOO_LONG in by_kind:
            raise ProtocolError(Reason.REQUEST_HEAD_TOO_LARGE, "header name")
        host = _checked_host(by_kind.get(fields.HOST, ()))
        if target[0] != 0x2F or not TARGET.fullmatch(target):  # noqa: PLR2004 (a slash)
            target = _origin_form(target, host)
        length, chunked = self._framing(by_kind, minor)
        if (chunked or length) and method in BODILESS:
            raise ProtocolError(Reason.REQUEST_MALFORMED, "body of a method that has none")
        keep_alive = minor == 1
        if fields.CONNECTION in by_kind or fields.UPGRADE in by_kind:
            keep_alive = _connection(by_kind, plain, minor)
        expects = fields.EXPECT in by_kind and _expects(by_kind[fields.EXPECT])
        expects = expects and minor == 1 and bool(chunked or length)
        head = RequestHead(method, target, target.partition(b"?")[0], tuple(plain))
        trace = _trace(by_kind[fields.TRACE]) if fields.TRACE in by_kind else None
        return Asked(head, minor, length, chunked, keep_alive, expects, trace)

    def _framing(self, by_kind: dict[int, list[bytes]], minor: int) -> tuple[int | None, bool]:
        lengths = by_kind.get(fields.LENGTH)
        codings = by_kind.get(fields.CODING)
        if codings:
            if lengths or minor == 0 or len(codings) > 1:
                raise ProtocolError(Reason.REQUEST_MALFORMED, "ambiguous framing")
            if codings[0].lower() != b"chunked":
                raise ProtocolError(Reason.CODING_UNSUPPORTED, "transfer coding")
            return None, True
        if not lengths:
            return None, False
        if len(lengths) > 1:
            raise ProtocolError(Reason.REQUEST_MALFORMED, "two lengths")
        if not LENGTH.fullmatch(lengths[0]):
            huge = HUGE_LENGTH.fullmatch(lengths[0])
            reason = Reason.REQUEST_BODY_TOO_LARGE if huge else Reason.REQUEST_MALFORMED
            raise ProtocolError(reason, "length")
        length = int(lengths[0])
        if 0 < self._limits.body_bytes < length:
            raise ProtocolError(Reason.REQUEST_BODY_TOO_LARGE, "length")
        return length, False


def _line_fault(data: bytes) -> ProtocolError:
    if BARE.search(data):
        return ProtocolError(Reason.REQUEST_MALFORMED, "bare CR or LF")
    if OTHER_VERSION.match(data):
        return ProtocolError(Reason.VERSION_UNSUPPORTED, "version")
    if OTHER_METHOD.match(data):
        return ProtocolError(Reason.METHOD_UNKNOWN, "method")
    return ProtocolError(Reason.REQUEST_MALFORMED, "request line")


def _checked_host(hosts: Sequence[bytes]) -> bytes:
    # Of HTTP/1.0, too: a request that names no authority leaves it to each reader to make one up.
    if len(hosts) != 1:
        raise ProtocolError(Reason.REQUEST_MALFORMED, "exactly one Host is needed")
    if not _is_host(hosts[0]):
        raise ProtocolError(Reason.REQUEST_MALFORMED, "Host")
    return hosts[0]


@lru_cache(maxsize=256)
def _is_host(value: bytes) -> bool:
    match = HOST.fullmatch(value)
    return match is not None and int(match[1] or 0) <= PORT_MAX


def _origin_form(target: bytes, host: bytes) -> bytes:
    # `*` is denied with the rest: it is no path, so no rule could permit it.
    absolute = ABSOLUTE.fullmatch(target)
    if absolute is None or absolute[1].lower() != host.lower():
        raise ProtocolError(Reason.REQUEST_MALFORMED, "target")
    rest = absolute[2] or b"/"
    origin = rest if rest.startswith(b"/") else b"/" + rest
    if not TARGET.fullmatch(origin):
        raise ProtocolError(Reason.REQUEST_MALFORMED, "target")
    return origin


def _connection(by_kind: dict[int, list[bytes]], plain: list[Header], minor: int) -> bool:
    """Apply the Connection options to the headers; whether the connection stays."""
    listed = fields.options(by_kind.get(fields.CONNECTION, []))
    offers = by_kind.get(fields.UPGRADE, [])
    if offers and b"upgrade" in listed:
        wanted = {item.strip(b" \t").lower() for offer in offers for item in offer.split(b",")}
        if any(item.partition(b"/")[0] in UPGRADES for item in wanted):
            raise ProtocolError(Reason.UPGRADE_UNSUPPORTED, "upgrade")
    if listed - {b"close", b"keep-alive"}:
        plain[:] = [header for header in plain if header[0] not in listed]
    if minor == 0:
        return b"keep-alive" in listed and b"close" not in listed
    return b"close" not in listed


def _expects(values: list[bytes]) -> bool:
    if len(values) > 1 or values[0].lower() != b"100-continue":
        raise ProtocolError(Reason.EXPECTATION_UNSUPPORTED, "expectation")
    return True


def _trace(values: list[bytes]) -> str | None:
    match = TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    if match is None or match[1] == NO_TRACE:
        return None
    return match[1].decode()
