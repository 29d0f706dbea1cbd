"""The body of a request: what is taken, how it is framed anew, whose time it costs."""

import pytest

from sidecar.core.head import RequestHead
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.reason import ProtocolError, Reason
from sidecar.proxy.body import Bounds
from sidecar.proxy.intake import Intake
from sidecar.proxy.shell import Asked

BOUNDS = Bounds(64, 4096)
HEAD = RequestHead(b"POST", b"/x", b"/x", ((b"content-type", b"application/json"),))
GOOD = b'{"model":"m"}'


class Received:
    """What an intake asks of a client connection."""

    def __init__(self, buffer: bytes, *, eof: bool = False) -> None:
        self.buffer = buffer
        self.eof = eof
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


def intake(length: int | None = None, *, expects: bool = False) -> Intake:
    asked = Asked(HEAD, 1, length, length is None, keep_alive=True, expects=expects, trace=None)
    return Intake(asked, BOUNDS)


def take(body: Intake, received: Received) -> bytes:
    return body.take(received)  # type: ignore[arg-type]


def read(body: Intake, received: Received, max_bytes: int = 100) -> bytes | None:
    return body.read_model(received, max_bytes)  # type: ignore[arg-type]


def at(boot: int) -> Now:
    return Now(BootNs(boot), WallMs(0))


def test_what_belongs_to_the_next_request_is_left() -> None:
    body, received = intake(3), Received(b"abcGET /")
    assert (take(body, received), body.done, received.buffer) == (b"abc", True, b"GET /")
    assert (take(body, received), received.buffer) == (b"", b"GET /")


def test_a_chunked_body_is_framed_anew() -> None:
    body, received = intake(), Received(b"1;a=b\r\na\r\n2\r\nbc\r\n")
    assert (take(body, received), body.done) == (b"3\r\nabc\r\n", False)
    received.buffer = b"0\r\nt: x\r\n\r\nGET"
    assert (take(body, received), body.done, received.buffer) == (b"0\r\n\r\n", True, b"GET")


@pytest.mark.parametrize("length", [4, None])
def test_a_client_that_ends_within_a_body_has_sent_none(length: int | None) -> None:
    with pytest.raises(ProtocolError) as caught:
        take(intake(length), Received(b"1\r\n", eof=True))
    assert caught.value.reason is Reason.REQUEST_MALFORMED


def test_what_is_dropped_says_whether_that_was_all_of_it() -> None:
    def dropped(body: Intake, received: bytes) -> bool:
        return body.drop(Received(received))  # type: ignore[arg-type]

    assert dropped(intake(3), b"abcd")
    assert not dropped(intake(3), b"ab")
    assert not dropped(intake(), b"no size\r\n")
    failed = intake(3)
    failed.fail()
    assert not dropped(failed, b"abc")


def test_time_is_given_anew_for_progress_and_not_for_each_byte() -> None:
    body = intake(1000)
    assert body.waits_since(at(5), 100, anew=False) == 5
    take(body, Received(b"a" * 99))
    assert body.waits_since(at(6), 100, anew=False) == 5
    assert body.waits_since(at(7), 100, anew=True) == 7
    take(body, Received(b"a" * 100))
    assert body.waits_since(at(8), 100, anew=False) == 8
    body.rest()
    assert body.waits_since(at(9), 100, anew=False) == 9


def test_what_was_read_ahead_is_taken_with_the_rest_and_once() -> None:
    body, received = intake(len(GOOD)), Received(GOOD[:5])
    assert (read(body, received), body.ahead) == (None, 100)
    received.buffer = GOOD[5:] + b"GET /"
    assert (read(body, received), body.ahead, body.done) == (b"m", 0, True)
    assert (take(body, received), received.buffer) == (GOOD, b"GET /")
    assert take(body, received) == b""


def test_more_than_may_be_held_tells_nothing_and_is_not_lost() -> None:
    body, received = intake(), Received(b"d\r\n" + GOOD + b"\r\n")
    assert read(body, received, 13) is None
    received.buffer = b"1\r\n \r\n"
    assert (read(body, received, 13), body.ahead, body.done) == (b"", 0, False)
    received.buffer = b"1\r\nx\r\n0\r\n\r\n"
    assert take(body, received) == b"f\r\n" + GOOD + b" x\r\n0\r\n\r\n"


def test_a_length_that_is_too_long_is_not_waited_for() -> None:
    body, received = intake(14, expects=True), Received(b"")
    assert (read(body, received, 13), body.ahead, received.written) == (b"", 0, b"")


def test_who_waits_for_a_100_is_told_to_go_on_once_and_only_if_something_is_missing() -> None:
    body, received = intake(13, expects=True), Received(b"")
    assert read(body, received) is None
    assert read(body, received) is None
    assert received.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    body, received = intake(13, expects=True), Received(GOOD)
    assert (read(body, received), received.written) == (b"m", b"")


def test_a_request_without_a_body_has_been_taken_from_the_start() -> None:
    assert intake(0).done
    assert not intake(1).done
    assert not intake().done
