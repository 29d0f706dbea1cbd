"""R: what a hostile or broken service sends.

Source: RFC 9112 sections 4, 5, 6 and 7; RFC 9110 sections 6.4.1, 7.8, 8.6, 9.3.2 and 15.2 to 15.4.
"""

from dataclasses import dataclass
from typing import Literal

from tests.http.rows import Row, get, lines, post, refused

Ends = Literal["", "close", "reset"]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
MIB = 2**20
BAD = "502 EG021"


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """What the service sends, and what becomes of it.

    Attributes:
        id: Its number, for ever.
        what: What it is.
        inputs: The bytes; more than one where they are variations of one fault.
        answers: Status of each answer that the client gets, with the reason code of one of ours.
        fields: Header lines of the last, without ours.
        body: Its payload.
        cut: The client must not be able to take what it gets for complete.
        reused: Whether the connection to the service carries the next request.
        asks: The request.
        ends: What the service does then.
        late: The bytes come when the connection is idle again, after an answer that is good.
        in_body: The fault lies in the body. When the head came in an earlier piece it has been
            relayed by then, and the client's connection is cut instead.
    """

    id: str
    what: str
    inputs: tuple[bytes, ...]
    answers: tuple[str, ...] = ("200",)
    fields: bytes = b""
    body: bytes = b""
    cut: bool = False
    reused: bool = False
    asks: bytes = get()
    ends: Ends = ""
    late: bool = False
    in_body: bool = False


def denied(
    name: str, what: str, *inputs: bytes, ends: Ends = "", in_body: bool = False
) -> AnswerRow:
    """A response that is not relayed."""
    return AnswerRow(name, what, inputs, (BAD,), ends=ends, in_body=in_body)


def answer(*text: str, body: str = "", line: str = "HTTP/1.1 200 OK") -> bytes:
    return lines(line, *text, "") + body.encode("latin-1")


def status(line: str) -> bytes:
    return answer("Content-Length: 0", line=line)


def switching(*fields: str) -> bytes:
    return answer(*fields, line="HTTP/1.1 101 Switching Protocols")


CODED = "Transfer-Encoding: chunked"
TWO = lines("content-length: 2")
CHUNKED = lines("transfer-encoding: chunked")
HEAD = get(line="HEAD /v1/x HTTP/1.1")
EXPECTING = post("Expect: 100-continue", "Content-Length: 1", body="a")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

ROWS: tuple[AnswerRow, ...] = (
    denied("R01", "length and chunked", answer("Content-Length: 3", CODED, body="0\r\n\r\n")),
    denied("R02", "two lengths that differ",
           answer("Content-Length: 2", "Content-Length: 3", body="ok")),
    denied("R03", "a list of lengths", answer("Content-Length: 5, 5", body="okoko")),
    AnswerRow("R04b", "204 that announces a body and sends none",
              (answer("Content-Length: 5", line="HTTP/1.1 204 No Content"),), ("204",)),
    AnswerRow("R04", "204 with a length and a body; relayed without either",
              (answer("Content-Length: 5", body="hello", line="HTTP/1.1 204 No Content"),),
              ("204",)),
    AnswerRow("R05", "304 with a body; relayed without it",
              (answer("Content-Length: 5", body="hello", line="HTTP/1.1 304 Not Modified"),),
              ("304",), lines("content-length: 5")),
    AnswerRow("R06", "a length and no body, to HEAD", (answer("Content-Length: 7"),),
              fields=lines("content-length: 7"), reused=True, asks=HEAD),
    AnswerRow("R07", "a body, to HEAD; relayed without it",
              (answer("Content-Length: 7", body="hidden!"),),
              fields=lines("content-length: 7"), asks=HEAD),
    denied("R08", "101 that nobody asked for", switching("Upgrade: x", "Connection: upgrade")),
    denied("R09", "101 without Upgrade and Connection", switching()),
    denied("R10", "101 to websocket with a wrong accept",
           switching("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: AAAA")),
    AnswerRow("R12", "100 that the client waits for; relayed", (CONTINUE + OK,), ("100", "200"),
              TWO, b"ok", reused=True, asks=EXPECTING),
    AnswerRow("R12b", "100 that it does not wait for; dropped", (CONTINUE + OK,), ("200",), TWO,
              b"ok", reused=True),
    AnswerRow("R13", "103; dropped",
              (answer("Link: </a>", line="HTTP/1.1 103 Early Hints") + OK,), ("200",), TWO, b"ok",
              reused=True),
    AnswerRow("R14", "102 with a length and no body; dropped",
              (answer("Content-Length: 5", line="HTTP/1.1 102 Processing") + OK,), ("200",), TWO,
              b"ok", reused=True),
    AnswerRow("R15", "199; dropped", (answer(line="HTTP/1.1 199 Odd") + OK,), ("200",), TWO, b"ok",
              reused=True),
    denied("R16", "100 without end", CONTINUE * 1000),
    denied("R16b", "nine interim responses", CONTINUE * 9 + OK),
    AnswerRow("R17", "two responses to one request; the second reaches nobody", (OK + EVIL,),
              ("200",), TWO, b"ok"),
    AnswerRow("R18", "bytes on an idle connection; they reach nobody", (EVIL,), ("200",), TWO,
              b"ok", late=True),
    denied("R19", "status 099, 600, 2000, 20", status("HTTP/1.1 099 Odd"),
           status("HTTP/1.1 600 Odd"), status("HTTP/1.1 2000 Odd"), status("HTTP/1.1 20 Odd")),
    denied("R20", "bare CR in the reason phrase or in a value", status("HTTP/1.1 200 O\rK"),
           answer("X: a\rb", "Content-Length: 0")),
    denied("R21", "NUL or another control character in a value",
           answer("X: a\x00b", "Content-Length: 0"), answer("X: a\x01b", "Content-Length: 0"),
           answer("X: a\x7fb", "Content-Length: 0")),
    denied("R22", "a folded line, a space before a colon, bare LF",
           answer("X: a", " b", "Content-Length: 0"), answer("X : a", "Content-Length: 0"),
           b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 0\r\n\r\n"),
    denied("R22b", "bare LF everywhere, and then it ends",
           b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", ends="close"),
    denied("R23", "gzip as the only coding", answer("Transfer-Encoding: gzip", body="abc")),
    denied("R24", "gzip before chunked",
           answer("Transfer-Encoding: gzip, chunked", body="0\r\n\r\n")),
    AnswerRow("R25", "a body that ends with the connection; relayed in chunks",
              (answer("X: a", body="abc"),), ("200",), lines("x: a") + CHUNKED, b"abc",
              ends="close"),
    AnswerRow("R25b", "the same, but it ends with a reset", (answer("X: a", body="abc"),),
              ("200",), cut=True, ends="reset"),
    AnswerRow("R25c", "a length, and the connection ends before it",
              (answer("Content-Length: 9", body="abc"),), ("200",), cut=True, ends="close"),
    AnswerRow("R25d", "chunks, and the connection ends before the last",
              (answer(CODED, body="3\r\nabc\r\n"),), ("200",), cut=True, ends="close"),
    denied("R26", "chunked in HTTP/1.0", answer(CODED, body="0\r\n\r\n", line="HTTP/1.0 200 OK")),
    denied("R27", "HTTP/2.0, RTSP, ICE", status("HTTP/2.0 200 OK"), status("RTSP/1.0 200 OK"),
           status("ICE/1.0 200 OK")),
    denied("R28", "a body without a status line", b"<html>HTTP/0.9</html>\r\n\r\n"),
    AnswerRow("R29", "trailers with Set-Cookie; dropped",
              (answer(CODED, body="2\r\nok\r\n0\r\nSet-Cookie: a=b\r\n\r\n"),), ("200",), CHUNKED,
              b"ok", reused=True),
    denied("R29b", "a length in the trailers",
           answer(CODED, body="2\r\nok\r\n0\r\nContent-Length: 2\r\n\r\n"), in_body=True),
    denied("R30", "a header of 1 MiB, or 10,000 headers", answer(f"X: {'a' * MIB}"),
           answer(*(["X: a"] * 10_000), "Content-Length: 0")),
    denied("R30b", "a chunk extension of 1 MiB",
           answer(CODED, body=f"2;{'a' * MIB}\r\nok\r\n0\r\n\r\n"), in_body=True),
    denied("R31", "a lone LF or CR of the request in a value",
           answer("Location: /a\nSet-Cookie: b", "Content-Length: 0", line="HTTP/1.1 302 Found"),
           answer("Location: /a\rSet-Cookie: b", "Content-Length: 0", line="HTTP/1.1 302 Found")),
    AnswerRow("R31b", "a whole CRLF of the request in a value, with a name of ours",
              (answer("Location: /a", "X-Epochgate-Decision: exempt", "Content-Length: 0",
                      line="HTTP/1.1 302 Found"),),
              ("302",), lines("location: /a", "content-length: 0"), reused=True),
    AnswerRow("R32", "names of ours, hop-by-hop names, and what Connection lists; dropped",
              (answer("X-Epochgate-Decision: exempt", "x_epochgate_epoch: 9",
                      "Connection: X-Gone, X-Epochgate-Reason", "X-Gone: 1", "Keep-Alive: x",
                      "Proxy-Odd: 1", "Trailer: X", "Upgrade: h2c", "Set-Cookie: a",
                      "Content-Length: 2", body="ok"),),
              ("200",), lines("set-cookie: a", "content-length: 2"), b"ok", reused=True),
    denied("R33", "the length spelled with an underscore", answer("Content_Length: 5")),
    denied("R34", "chunks that are none", answer(CODED, body="2\r\nokk\r\n0\r\n\r\n"),
           answer(CODED, body="zz\r\n\r\n"), in_body=True),
)  # fmt: skip

# An upgrade is refused before the service sees it, so no answer to one can be misread.
ASKED: tuple[Row, ...] = (
    refused("R11", "bytes sent behind an upgrade to websocket, in case the answer is 200",
            get("Connection: Upgrade", "Upgrade: websocket") + get(line="GET /v1/y HTTP/1.1"),
            "501 EG011"),
)  # fmt: skip
