"""The response shell: a head or the one protocol error. Bad responses: test_exchange."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.sections import Limits
from sidecar.core.reason import ProtocolError, Reason
from sidecar.proxy.answer import Answer, AnswerShell

SHELL = AnswerShell(Limits())
PIECES = [
    b"HTTP/1.1 ", b"HTTP/1.0 ", b"200", b"204", b"101", b"099", b" OK", b"\r\n", b"\n", b"\r\n\r\n",
    b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close", b"X: y", b"\0", b":",
]  # fmt: skip


def parse(data: bytes, method: bytes = b"GET") -> Answer | None:
    end = SHELL.scan(data)
    return SHELL.parse(data[:end], method) if end else None


@given(st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(PIECES)).map(b"".join)))
def test_any_bytes_are_a_head_or_a_protocol_error(data: bytes) -> None:
    fault = None
    try:
        parse(data)
    except ProtocolError as error:
        fault = error
    assert fault is None or fault.reason is Reason.UPSTREAM_INVALID


def test_an_event_stream_is_known_unless_it_is_compressed() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/Event-Stream; charset=utf-8\r\n"
    plain, packed = parse(head + b"\r\n"), parse(head + b"Content-Encoding: gzip\r\n\r\n")
    assert plain is not None
    assert packed is not None
    assert (plain.events, packed.events) == (True, False)


def test_a_204_that_announces_a_body_ends_the_connection() -> None:
    answer = parse(b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n")
    assert answer is not None
    assert (answer.length, answer.bodiless, answer.keep_alive) == (None, True, False)
