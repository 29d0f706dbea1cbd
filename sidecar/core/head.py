"""The head of a request, as far as a decision needs it.

The data plane makes it from one strict parse; nothing else makes one in production. All fields are
the bytes that will be written upstream, so what was judged is what is sent. Where a policy asks for
the model that the body names (`model.py`), that has been read before the decision and stands here.
"""

from dataclasses import dataclass

from sidecar.core.parent import UNCHECKED, Claim

Header = tuple[bytes, bytes]  # name in lower case, value without surrounding white space


@dataclass(slots=True)  # not frozen: that triples the cost of making one per request
class RequestHead:
    """Request line and headers, before the body.

    Attributes:
        method: Upper-case method.
        target: Origin-form target, byte for byte: path and query.
        path: The target up to the first `?`.
        headers: In order of arrival; one entry per line.
        model: What the body names; empty: it was read, or could not be, and that is not certain.
            None: no policy asks, or there is no body.
        parent: What it claims of the decision that it descends from, once somebody has looked.
    """

    method: bytes
    target: bytes
    path: bytes
    headers: tuple[Header, ...]
    model: bytes | None = None
    parent: Claim = UNCHECKED


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


def model_of(head: RequestHead, name: bytes | None) -> bytes:
    """The model that a request is for; empty when that is not certain.

    Header and body count alike: who is sent both has to find the same in both.

    Args:
        head: The request.
        name: The header that names the model, as the signed route table says; None: none does.
    """
    said = b"" if name is None else one_value(head.headers, name) or b""
    body = head.model
    if body is None or said == body:
        return said
    return b"" if said or (name is not None and _is_there(head.headers, name)) else body


def disputed(head: RequestHead, name: bytes | None) -> bool:
    """Whether header and body name two models."""
    if not head.model or name is None:
        return False
    said = one_value(head.headers, name)
    return said is not None and said != head.model


def _is_there(headers: tuple[Header, ...], name: bytes) -> bool:
    folded = name.replace(b"_", b"-")
    return any(line[0].replace(b"_", b"-") == folded for line in headers)
