"""Heads and chunks as they are written."""

from sidecar.core.head import RequestHead
from sidecar.proxy import http1
from sidecar.proxy.answer import Answer
from sidecar.proxy.shell import Asked

HEAD = RequestHead(b"POST", b"/x?y", b"/x", ((b"host", b"a"), (b"b", b"c")))


def test_a_request_head_has_our_framing_and_our_lines_last() -> None:
    asked = Asked(HEAD, 1, 5, chunked=False, keep_alive=True, expects=False, trace=None)
    assert http1.request_head(asked, b"ours: 1\r\n") == (
        b"POST /x?y HTTP/1.1\r\nhost: a\r\nb: c\r\ncontent-length: 5\r\nours: 1\r\n\r\n"
    )


def test_a_response_head_has_the_registered_phrase() -> None:
    answer = Answer(
        404, ((b"a", b"b"),), None, chunked=False, keep_alive=True, bodiless=False, events=False
    )
    assert http1.response_head(answer, b"ours: 1\r\n", http1.CLOSE) == (
        b"HTTP/1.1 404 Not Found\r\na: b\r\nconnection: close\r\nours: 1\r\n\r\n"
    )
    assert http1.status_line(599) == b"HTTP/1.1 599 \r\n"


def test_no_payload_is_no_chunk_because_an_empty_chunk_would_end_the_body() -> None:
    assert http1.chunk(b"") == b""
    assert http1.chunk(b"a" * 16) == b"10\r\n" + b"a" * 16 + b"\r\n"
