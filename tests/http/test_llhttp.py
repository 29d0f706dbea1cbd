"""Five traps of httptools: what it does, and that our shells do not fall into them.

The first half of each test pins the behaviour of the library. If one of those fails after an
update, the trap has changed: read the shells again before the pin is moved.
"""

import pytest
from httptools import HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from sidecar.config.sections import Limits
from sidecar.core.reason import ProtocolError, Reason
from sidecar.proxy.answer import AnswerShell
from sidecar.proxy.body import Bounds
from sidecar.proxy.response import Response
from sidecar.proxy.shell import Asked, Shell
from tests.http.catalogue_answers import EVIL, OK
from tests.http.observe import Outcome, outcome, running
from tests.http.rows import Row, Sent, chunked, chunks, get, post, sent

BOUNDS = Bounds(64, 4096)


class Heard:
    """Whatever the parser says, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.events.append(f"{name.decode()}={value.decode()}")

    def on_headers_complete(self) -> None:
        self.events.append("head")

    def on_body(self, body: bytes) -> None:
        self.events.append(f"body {body.decode()}")

    def on_message_complete(self) -> None:
        self.events.append("complete")


def asked(method: str = "GET") -> Asked:
    return Shell(Limits()).parse(get(line=f"{method} /v1/x HTTP/1.1"))


async def served(data: bytes, *wanted: Sent) -> Outcome:
    async with running() as world:
        row = Row("", "", data, ("200",) * len(wanted), closes=False, sent=wanted)
        return await outcome(world, row, [data])


async def test_trap_1_the_body_of_an_upgrade_is_never_the_next_request() -> None:
    hidden = get(line="GET /smuggled HTTP/1.1")
    data = post("Connection: upgrade", "Upgrade: foo", f"Content-Length: {len(hidden)}")
    heard = Heard()
    parser = HttpRequestParser(heard)
    with pytest.raises(HttpParserUpgrade) as upgrade:
        parser.feed_data(data + hidden)
    assert heard.events[-2:] == ["head", "complete"]  # though a length was announced
    assert (data + hidden)[upgrade.value.args[0] :] == hidden

    wanted = sent("POST /v1/x", f"content-length: {len(hidden)}", body=hidden)
    observed = await served(data + hidden, wanted)
    assert (observed.sent, observed.permits) == ((wanted,), 1)


async def test_trap_2_a_trailer_is_never_a_header() -> None:
    data = chunks("1\r\na\r\n0\r\nAuthorization: evil\r\n\r\n")
    heard = Heard()
    HttpRequestParser(heard).feed_data(data)
    assert heard.events.index("Authorization=evil") > heard.events.index("head")

    observed = await served(data, chunked(b"a"))
    assert observed.sent == (chunked(b"a"),)


def test_trap_3_the_answer_to_head_ends_with_its_head() -> None:
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n"
    heard = Heard()
    HttpResponseParser(heard).feed_data(first + EVIL[:38])
    assert heard.events[-2:] == [f"body {EVIL[:38].decode()}", "complete"]  # it ate the next one

    response = Response(asked("HEAD"), AnswerShell(Limits()), BOUNDS)
    response.read_head(first + EVIL)
    response.begin(b"", keep=True)
    assert (response.done, response.surplus) == (True, True)


def test_trap_4_a_body_that_ends_with_the_connection_has_an_end_of_its_own() -> None:
    heard = Heard()
    HttpResponseParser(heard).feed_data(b"HTTP/1.1 200 OK\r\n\r\nabc")
    assert heard.events == ["head", "body abc"]  # and there is no call that says: it has ended
    assert not {"finish", "feed_eof", "close"} & set(dir(HttpResponseParser))

    response = Response(asked(), AnswerShell(Limits()), BOUNDS)
    response.read_head(b"HTTP/1.1 200 OK\r\n\r\nabc")
    assert response.begin(b"", keep=True).endswith(b"\r\n\r\n3\r\nabc\r\n")
    assert not response.done
    assert response.end() == b"0\r\n\r\n"


@pytest.mark.parametrize(
    "line", ["HTTP/2.0 200 OK", "RTSP/1.0 200 OK", "HTTP/1.1 099 Odd", "HTTP/1.1 600 Odd"]
)
def test_trap_5_a_status_line_that_is_none_is_no_answer(line: str) -> None:
    data = line.encode() + b"\r\nContent-Length: 0\r\n\r\n"
    HttpResponseParser(Heard()).feed_data(data)  # takes it

    shell = AnswerShell(Limits())
    with pytest.raises(ProtocolError) as fault:
        shell.parse(data[: shell.scan(data)], b"GET")
    assert fault.value.reason is Reason.UPSTREAM_INVALID


def test_trap_5_a_second_answer_is_surplus() -> None:
    heard = Heard()
    HttpResponseParser(heard).feed_data(OK + EVIL)
    assert heard.events.count("complete") == 2  # takes both

    response = Response(asked(), AnswerShell(Limits()), BOUNDS)
    response.read_head(OK + EVIL)
    relayed = response.begin(b"", keep=True)
    assert (response.done, response.surplus) == (True, True)
    assert b"evil" not in relayed
