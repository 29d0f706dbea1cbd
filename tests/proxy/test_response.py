"""The response of one exchange, without sockets: pieces in, pieces out."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.sections import Limits
from sidecar.core.head import RequestHead
from sidecar.core.reason import ProtocolError
from sidecar.proxy.answer import AnswerShell
from sidecar.proxy.body import Bounds
from sidecar.proxy.response import Response
from sidecar.proxy.shell import Asked

SHELL = AnswerShell(Limits())
WHOLE = (
    b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n"
)


def made(*, minor: int = 1) -> Response:
    head = RequestHead(b"GET", b"/", b"/", ())
    asked = Asked(head, minor, None, chunked=False, keep_alive=True, expects=False, trace=None)
    return Response(asked, SHELL, Bounds(64, 4096))


def feed(response: Response, pieces: list[bytes]) -> bytes:
    relayed = b""
    for piece in pieces:
        if response.answer is None:
            interim, complete = response.read_head(piece)
            relayed += interim + (response.begin(b"", keep=True) if complete else b"")
        elif not response.done:
            relayed += response.read_body(piece)
    return relayed


def payload(relayed: bytes) -> bytes:
    body = relayed.partition(b"\r\n\r\n")[2]
    pieces = b""
    while body:
        line, _, body = body.partition(b"\r\n")
        pieces += body[: int(line, 16)]
        body = body[int(line, 16) + 2 :]
    return pieces


@given(st.lists(st.integers(0, len(WHOLE))))
def test_pieces_make_the_same_response(at: list[int]) -> None:
    edges = [0, *sorted(at), len(WHOLE)]
    response = made()
    relayed = feed(response, [WHOLE[a:b] for a, b in pairwise(edges)])
    assert (response.done, response.surplus) == (True, False)
    assert relayed.startswith(b"HTTP/1.1 200 OK\r\n")
    assert relayed.endswith(b"0\r\n\r\n")
    assert payload(relayed) == b"data: 1\n\n"


def test_last_words_only_between_events() -> None:
    response = made()
    feed(response, [WHOLE[: WHOLE.index(b" 1\n")]])
    assert response.last_words(b"event: error\n\n") is None
    feed(response, [b" 1\n\n"])
    assert response.last_words(b"event: error\n\n") == b"e\r\nevent: error\n\n\r\n"


def test_an_end_completes_only_what_ends_with_the_connection() -> None:
    assert made().end() is None
    response = made()
    feed(response, [WHOLE[:-5]])
    assert response.end() is None
    response = made()
    feed(response, [b"HTTP/1.1 200 OK\r\n\r\nabc"])
    assert response.end() == b"0\r\n\r\n"


def test_nine_interim_responses_are_too_many() -> None:
    with pytest.raises(ProtocolError):
        feed(made(), [b"HTTP/1.1 102 Wait\r\n\r\n" * 9])


def test_a_1_0_client_is_not_kept_without_a_length() -> None:
    response = made(minor=0)
    relayed = feed(response, [b"HTTP/1.1 200 OK\r\n\r\nabc"])
    assert relayed == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"
    assert not response.keep
