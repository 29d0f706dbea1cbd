"""What holds for the shells and bodies of requests and responses, whatever bytes arrive.

* A head or a body is a value or a `ProtocolError`; nothing else is ever thrown.
* The verdict, and its reason, do not depend on how the bytes were cut into pieces.
* What would be forwarded or relayed is, read again by our own parser, the same single message.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sidecar.config.sections import Limits
from sidecar.core.head import RequestHead
from sidecar.core.reason import ProtocolError, Reason
from sidecar.proxy import http1
from sidecar.proxy.answer import Answer, AnswerShell
from sidecar.proxy.body import Body, Bounds, UntilClose, announced
from sidecar.proxy.response import Response
from sidecar.proxy.shell import Asked, Shell, scan

# Small, so that short inputs reach every limit.
LIMITS = Limits(
    target_bytes=48, head_bytes=384, head_fields=8, field_name_bytes=24, body_bytes=4096,
    chunk_line_bytes=16, trailer_bytes=64, response_head_bytes=384,
)  # fmt: skip
WIDE = Limits()  # what we wrote is a little longer than what we read
SHELL, SHELL_AGAIN = Shell(LIMITS), Shell(WIDE)
ANSWERS, ANSWERS_AGAIN = AnswerShell(LIMITS), AnswerShell(WIDE)
BOUNDS = Bounds(LIMITS.chunk_line_bytes, LIMITS.trailer_bytes, LIMITS.body_bytes)
IN_TURNS = replace(BOUNDS, turn_lines=2)
UNBOUND = Bounds(64, 4096)
OURS = b"x-epochgate-epoch: 1\r\n"


def pieces_of(data: bytes) -> list[list[bytes]]:
    """The same bytes in one piece, in pieces of one byte, and in a few that the bytes choose."""
    sizes = [byte % 23 + 1 for byte in data[:64]]
    some, at = [], 0
    while at < len(data):
        size = sizes[at % len(sizes)]
        some.append(data[at : at + size])
        at += size
    return [[data], [data[at : at + 1] for at in range(len(data))], some]


# Requests.


@dataclass(slots=True)
class One:
    """One request of a connection, as far as it was read."""

    asked: Asked
    body: bytes = b""
    complete: bool = False


@dataclass(slots=True)
class Stream:
    """What a connection was read as."""

    requests: list[One] = field(default_factory=list)
    fault: Reason | None = None


def read_requests(pieces: Iterable[bytes], shell: Shell, limits: Limits, bounds: Bounds) -> Stream:
    """Read requests one after the other, as a connection does."""
    stream = Stream()
    buffer, searched = b"", 0
    body: Body | None = None
    try:
        for piece in pieces:
            buffer += piece
            while buffer or body is not None:
                if body is None:
                    start, end = scan(buffer, searched, limits)
                    if not end:
                        searched = len(buffer)
                        break
                    asked, searched = shell.parse(buffer[start:end]), 0
                    buffer = buffer[end:]
                    body = announced(asked.length, bounds, chunked=asked.chunked)
                    stream.requests.append(One(asked))
                payload, taken, complete = body.feed(buffer, 0)
                buffer = buffer[taken:]
                stream.requests[-1].body += payload
                if complete:
                    stream.requests[-1].complete, body = True, None
                elif not taken or not buffer:
                    break
    except ProtocolError as error:
        stream.fault = error.reason
    return stream


def check_requests(data: bytes) -> None:
    """Bytes of a client on one connection."""
    if not data:
        return
    whole, *cut = [read_requests(way, SHELL, LIMITS, IN_TURNS) for way in pieces_of(data)]
    for other in cut:
        _same(whole, other)
    for one in whole.requests:
        _check_head(one.asked)
        if one.complete:
            _check_forwarded(one)


def _same(whole: Stream, cut: Stream) -> None:
    assert whole.fault == cut.fault, f"whole: {whole.fault}, in pieces: {cut.fault}"
    assert [one.asked for one in whole.requests] == [one.asked for one in cut.requests]
    for one, other in zip(whole.requests, cut.requests, strict=True):
        assert one.complete == other.complete
        if whole.fault is not None and one is whole.requests[-1]:
            # Of a body that breaks, what came in one turn with the fault is dropped.
            assert other.body.startswith(one.body) or one.body.startswith(other.body)
        else:
            assert other.body == one.body


def _check_head(asked: Asked) -> None:
    names = [name for name, _ in asked.head.headers]
    assert names.count(b"host") == 1
    assert not {b"content-length", b"transfer-encoding", b"connection", b"upgrade"} & set(names)
    folded = [name.replace(b"_", b"-") for name in names]
    assert not any(name == b"x-epochgate" or name.startswith(b"x-epochgate-") for name in folded)
    assert asked.length is None or not asked.chunked
    written = b"".join(name + value for name, value in asked.head.headers) + asked.head.target
    assert not set(b"\r\n\0") & set(written)


def _check_forwarded(one: One) -> None:
    asked = one.asked
    raw = http1.request_head(asked, OURS)
    if asked.chunked:
        raw += http1.chunk(one.body) + http1.LAST_CHUNK
    else:
        raw += one.body
    again = read_requests([raw], SHELL_AGAIN, WIDE, UNBOUND)
    assert (again.fault, len(again.requests)) == (None, 1), raw
    read = again.requests[0]
    assert read.complete
    assert read.asked.head == asked.head
    framing = (asked.length, asked.chunked, asked.expects, asked.trace, one.body)
    theirs = read.asked
    assert (theirs.length, theirs.chunked, theirs.expects, theirs.trace, read.body) == framing


# Responses.

METHODS = (b"GET", b"HEAD", b"POST", b"OPTIONS")


@dataclass(slots=True)
class Relayed:
    """What a client was sent, and how it ended."""

    raw: bytes = b""
    ended: str = "open"  # complete, fault, cut
    keep: bool = False
    payload: bytes = b""


def made_asked(choice: int) -> Asked:
    """A request whose kind the first byte of an input chooses."""
    head = RequestHead(METHODS[choice & 3], b"/", b"/", ((b"host", b"a"),))
    minor, expects = int(not choice & 4), bool(choice & 8)
    return Asked(head, minor, None, chunked=False, keep_alive=True, expects=expects, trace=None)


def relay(pieces: Iterable[bytes], choice: int) -> Relayed:
    """Take the bytes of a service as an exchange does, to its end."""
    response = Response(made_asked(choice), ANSWERS, BOUNDS)
    out = Relayed()
    try:
        for piece in pieces:
            if response.answer is not None:
                out.raw += response.read_body(piece)
            else:
                interim, complete = response.read_head(piece)
                out.raw += interim
                if complete:
                    out.raw += response.begin(OURS, keep=True)
            if response.done:
                break
    except ProtocolError as error:
        assert error.reason in (Reason.UPSTREAM_INVALID, *OF_BODIES)
        out.ended = "fault"
    if response.done:
        out.ended = "complete"
    elif out.ended == "open":
        last = response.end()
        out.ended = "cut" if last is None else "complete"
        out.raw += last or b""
    out.keep = response.keep
    return out


# A body names the reasons of a client; the exchange makes one of its own of them.
OF_BODIES = (
    Reason.REQUEST_MALFORMED, Reason.REQUEST_HEAD_TOO_LARGE, Reason.REQUEST_BODY_TOO_LARGE,
)  # fmt: skip


def check_responses(data: bytes) -> None:
    """One byte that chooses the request, then the bytes of a service, which then closes."""
    if len(data) < 2:
        return
    choice = data[0]
    ways = [relay(way, choice) for way in pieces_of(data[1:])]
    views = [_view(way, choice) for way in ways]
    first = views[0]
    for view in views[1:]:
        assert view.ended == first.ended
        if first.ended == "complete":
            assert (view.head, view.payload) == (first.head, first.payload)


@dataclass(slots=True)
class View:
    """What a client makes of what it was sent."""

    ended: str
    head: Answer | None = None
    payload: bytes = b""


def _view(sent: Relayed, choice: int) -> View:
    asked = made_asked(choice)
    raw, view = sent.raw, View(sent.ended)
    while raw and (end := ANSWERS_AGAIN.scan(raw)):
        answer = ANSWERS_AGAIN.parse(raw[:end], asked.head.method)
        raw = raw[end:]
        if answer.status >= 200:
            view.head = answer
            break
        assert (answer.status, asked.expects) == (100, True)
    if view.head is None:
        assert not raw
        assert sent.ended in ("fault", "cut")
        return view
    _check_answer(view.head, sent, asked)
    body = _body_of(view.head)
    view.payload, taken, complete = body.feed(raw, 0)
    assert taken == len(raw), "bytes after the response"
    if isinstance(body, UntilClose):
        assert not sent.keep
        complete = sent.ended == "complete"
    assert complete == (sent.ended == "complete"), (sent, view)
    return view


def _check_answer(answer: Answer, sent: Relayed, asked: Asked) -> None:
    if asked.minor:
        assert answer.keep_alive == sent.keep
        assert answer.bodiless or answer.chunked or answer.length is not None
    else:
        assert not answer.chunked
    names = [name for name, _ in answer.headers]
    assert not {b"content-length", b"transfer-encoding", b"upgrade", b"trailer"} & set(names)


def _body_of(answer: Answer) -> Body:
    if answer.bodiless:
        return announced(None, UNBOUND, chunked=False)
    if answer.chunked or answer.length is not None:
        return announced(answer.length, UNBOUND, chunked=answer.chunked)
    return UntilClose()
