"""Header names: which are ours, which frame, which end at the next hop.

Rules:

* Names are compared in lower case, and once more with `_` read as `-`: applications behind may
  fold the two, so a name that folds to a framing name is denied and one that folds to a reserved
  name is stripped.
* Reserved names (`x-epochgate-*`) are never forwarded from anybody; ours are added afterwards.
* What `Connection` lists is stripped, except names that nobody may take away from a request.

Source: RFC 9110 section 7.6.1; hardening E-H6.
"""

import re
from typing import Final

from httptools import HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from sidecar.config.sections import Limits
from sidecar.core.head import Header
from sidecar.core.reason import ProtocolError, Reason

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Tab, visible ASCII, space and obs-text: all that a head may hold besides CRLF.
TEXT = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
RESERVED = b"x-epochgate-"

# What has to be done with a field. PLAIN is 0 so that the common case is one truth test.
PLAIN: Final = 0
INVALID: Final = 1
DROPPED: Final = 2
HOST: Final = 3
LENGTH: Final = 4
CODING: Final = 5
CONNECTION: Final = 6
EXPECT: Final = 7
UPGRADE: Final = 8
TRACE: Final = 9
CONTENT_TYPE: Final = 10
CONTENT_ENCODING: Final = 11
TOO_LONG: Final = 12

_COMMON = {
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"http2-settings": DROPPED,
    b"keep-alive": DROPPED,
    b"te": DROPPED,
    b"trailer": DROPPED,
    b"proxy": DROPPED,
}
REQUEST = {**_COMMON, b"host": HOST, b"expect": EXPECT, b"traceparent": TRACE}
RESPONSE = {**_COMMON, b"content-type": CONTENT_TYPE, b"content-encoding": CONTENT_ENCODING}
# Of these we want to know and pass them on all the same.
SHOWN = frozenset({HOST, TRACE, CONTENT_TYPE, CONTENT_ENCODING})
# A folded name that equals one of these would frame or address the message for somebody else.
FRAMING = frozenset({b"host", *_COMMON, b"expect"})
# Stripping one of these because `Connection` lists it would change who asks for what.
PROTECTED = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"authorization", b"cookie", b"forwarded"}
)
NAMES_MAX = 1024  # remembered spellings; a client that sends more only makes itself slower


class Names(dict[bytes, tuple[bytes, int]]):
    """Spelling of a name -> the name in lower case, and what to do with it; filled on demand.

    Args:
        kinds: REQUEST or RESPONSE.
        max_bytes: Longest name.
    """

    __slots__ = ("_kinds", "_max_bytes")

    def __init__(self, kinds: dict[bytes, int], max_bytes: int) -> None:
        self._kinds = kinds
        self._max_bytes = max_bytes

    def __missing__(self, raw: bytes) -> tuple[bytes, int]:
        entry = self._judge(raw)
        if len(self) >= NAMES_MAX:
            self.clear()
        if entry[1] != TOO_LONG:
            self[raw] = entry
        return entry

    def _judge(self, raw: bytes) -> tuple[bytes, int]:
        if len(raw) > self._max_bytes:
            return b"", TOO_LONG
        if not TOKEN.fullmatch(raw):
            return b"", INVALID
        name = raw.lower()
        folded = name.replace(b"_", b"-")
        if folded.startswith((RESERVED, b"proxy-")) or folded == RESERVED[:-1]:
            return name, DROPPED
        if folded != name and folded in FRAMING:
            return name, INVALID
        return name, self._kinds.get(name, PLAIN)


class Collector:
    """Header lines of one head after the other, as llhttp reports them.

    Args:
        kinds: REQUEST or RESPONSE.
        limits: Sizes.
    """

    __slots__ = ("_limits", "_names", "_plain", "_special")

    def __init__(self, kinds: dict[bytes, int], limits: Limits) -> None:
        self._limits = limits
        self._names = Names(kinds, limits.field_name_bytes)
        self._plain: list[Header] = []
        self._special: dict[int, list[bytes]] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp for each header line."""
        known, kind = self._names[name]
        value = value.rstrip(b" \t")
        if kind:
            self._special.setdefault(kind, []).append(value)
            if kind not in SHOWN:
                return
        self._plain.append((known, value))

    def _collect(
        self, parser: type[HttpRequestParser | HttpResponseParser], data: bytes
    ) -> tuple[list[Header], dict[int, list[bytes]]]:
        """Parse one complete head: what is passed on, and the values of what is not plain.

        Raises:
            HttpParserError: llhttp refuses it.
        """
        # Made anew: nothing of one message is in the next, whatever way this one ends.
        plain = self._plain = []
        special = self._special = {}
        try:  # noqa: SIM105 (suppress is slower, and this is once per head)
            parser(self).feed_data(data)
        except HttpParserUpgrade:
            pass  # judged by our own rules; that parser is never fed again
        return plain, special


def options(values: list[bytes]) -> frozenset[bytes]:
    """The lower-case options of all `Connection` lines.

    Raises:
        ProtocolError: REQUEST_MALFORMED when an option is no token or names a protected field.
    """
    found = {item.strip(b" \t").lower() for value in values for item in value.split(b",")}
    found.discard(b"")
    for option in found:
        folded = option.replace(b"_", b"-")
        if not TOKEN.fullmatch(option):
            raise ProtocolError(Reason.REQUEST_MALFORMED, "connection option")
        if folded in PROTECTED or folded.startswith((RESERVED, b"x-forwarded-")):
            raise ProtocolError(Reason.REQUEST_MALFORMED, "connection option names a fixed field")
    return frozenset(found)
