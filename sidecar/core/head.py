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
