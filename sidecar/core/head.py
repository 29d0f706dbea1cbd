"""The head of a request, as far as a decision needs it.

The data plane makes it from one strict parse; nothing else makes one in production. All fields are
the bytes that will be written upstream, so what was judged is what is sent.
"""

from dataclasses import dataclass

Header = tuple[bytes, bytes]  # name in lower case, value without surrounding white space


@dataclass(slots=True)  # not frozen: that triples the cost of making one per request
class RequestHead:
    """Request line and headers, before the body.

    Attributes:
        method: Upper-case method.
        target: Origin-form target, byte for byte: path and query.
        path: The target up to the first `?`.
        headers: In order of arrival; one entry per line.
    """

    method: bytes
    target: bytes
    path: bytes
    headers: tuple[Header, ...]


def one_value(headers: tuple[Header, ...], name: bytes) -> bytes | None:
    """The one value that a header has; None when it cannot be told.

    It can if exactly one line has that name, also after `_` was read as `-` as applications do, and
    it is ASCII text without a comma: that is how a hop joins several lines.
    """
    folded = name.replace(b"_", b"-")
    lines = [line for line in headers if line[0].replace(b"_", b"-") == folded]
    if len(lines) != 1 or lines[0][0] != name:
        return None
    value = lines[0][1]
    return value if value.isascii() and b"," not in value and value else None
