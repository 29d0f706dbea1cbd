"""Heads and chunks, written anew from what was parsed. Received head bytes are never copied.

Rules:

* Names in lower case, one space after the colon, CRLF; framing is always ours.
* A value that reached this file has no control characters: the shells saw to that.

Source: RFC 9112; hardening P8.
"""

from http import HTTPStatus

from sidecar.proxy.answer import Answer
from sidecar.proxy.shell import Asked

STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
    for status in HTTPStatus
}
CHUNKED = b"transfer-encoding: chunked\r\n"
CLOSE = b"connection: close\r\n"
KEEP_ALIVE = b"connection: keep-alive\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = b"expect: 100-continue\r\n"


def request_head(asked: Asked, ours: bytes) -> bytes:
    """The head of a request towards upstream.

    Args:
        asked: What the client asked for.
        ours: Our own complete header lines; may be empty.
    """
    head = asked.head
    framing = b""
    if asked.length is not None:
        framing = b"content-length: %d\r\n" % asked.length
    elif asked.chunked:
        framing = CHUNKED
    if asked.expects:
        framing += EXPECT
    lines = b"\r\n".join([b": ".join(header) for header in head.headers])
    return b"%b %b HTTP/1.1\r\n%b\r\n%b%b\r\n" % (head.method, head.target, lines, framing, ours)


def status_line(status: int) -> bytes:
    """With the registered phrase, whatever the upstream called it."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def response_head(answer: Answer, ours: bytes, framing: bytes) -> bytes:
    """The head of a response towards downstream.

    Args:
        answer: What the upstream answered.
        ours: Our own complete header lines.
        framing: The header lines that frame the body and keep or close the connection.
    """
    lines = b"".join([b"%b: %b\r\n" % header for header in answer.headers])
    return b"%b%b%b%b\r\n" % (status_line(answer.status), lines, framing, ours)


def chunk(payload: bytes) -> bytes:
    """One chunk; nothing for no payload, because an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""
