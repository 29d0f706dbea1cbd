"""The request shell: a head or a reason, never anything else. The catalogue: test_downstream."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.config.sections import Limits
from sidecar.core.reason import ProtocolError, Reason
from sidecar.proxy.shell import Asked, Shell, scan

LIMITS = Limits()
SHELL = Shell(LIMITS)
SMALL = Limits(target_bytes=40, head_bytes=100)
HEAD = b"POST /v1/chat?a=b HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nX-Y:  z \r\n\r\n"
PIECES = [
    b"GET", b"POST", b" ", b"/", b"*", b"http://a", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r",
    b"\r\n\r\n", b"Host: a", b"Content-Length: 1", b"Transfer-Encoding: chunked", b":", b"\0",
    b"Connection: upgrade", b"Upgrade: foo", b"Expect: 100-continue", b"\xff", b"a", b"\t", b"%41",
]  # fmt: skip


def outcome(data: bytes, limits: Limits = LIMITS) -> Asked | Reason | None:
    try:
        start, end = scan(data, 0, limits)
        return SHELL.parse(data[start:end]) if end else None
    except ProtocolError as error:
        return error.reason


def test_a_head_is_parsed_into_what_will_be_written() -> None:
    asked = outcome(HEAD)
    assert isinstance(asked, Asked)
    assert (asked.head.method, asked.head.target, asked.head.path) == (
        b"POST", b"/v1/chat?a=b", b"/v1/chat",
    )  # fmt: skip
    assert asked.head.headers == ((b"host", b"a:80"), (b"x-y", b"z"))
    assert (asked.length, asked.chunked, asked.keep_alive, asked.minor) == (5, False, True, 1)


@given(st.binary(min_size=1, max_size=300))
@example(HEAD)
def test_random_bytes_are_a_head_or_a_reason(data: bytes) -> None:
    outcome(data)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=30).map(b"".join))
def test_pieces_of_heads_are_a_head_or_a_reason(data: bytes) -> None:
    asked = outcome(data)
    if isinstance(asked, Asked):
        assert asked.length is None or not asked.chunked
        written = b"".join(name + value for name, value in asked.head.headers)
        assert not {b"\r"[0], b"\n"[0], 0} & set(written + asked.head.target)
        assert sum(name == b"host" for name, _ in asked.head.headers) == 1


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=40).map(b"".join))
@example(b"GET /" + b"a" * 200 + b" HTTP/1.1\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nX: " + b"a" * 200 + b"\n\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nX: a\rb" + b"a" * 200 + b"\r\n\r\n")
def test_a_prefix_is_judged_alike_however_it_was_cut_up(data: bytes) -> None:
    def one_by_one() -> Asked | Reason | None:
        try:
            for size in range(1, len(data) + 1):
                start, end = scan(data[:size], size - 1, SMALL)
                if end:
                    return SHELL.parse(data[start:end])
        except ProtocolError as error:
            return error.reason
        return None

    assert one_by_one() == outcome(data, SMALL)


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
         "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
        ("odd", None),
    ],
)  # fmt: skip
def test_only_a_valid_trace_id_is_taken(value: str, trace: str | None) -> None:
    asked = outcome(f"GET / HTTP/1.1\r\nHost: a\r\ntraceparent: {value}\r\n\r\n".encode())
    assert isinstance(asked, Asked)
    assert asked.trace == trace
