"""What a row of the catalogue is, and the few words that rows are written with."""

from dataclasses import dataclass

HOST = "Host: a"
LAST = "0\r\n\r\n"
CODED = "Transfer-Encoding: chunked"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as the service must receive it, without the lines that the sidecar adds.

    Attributes:
        head: Request line and headers, each ended.
        body: Payload, without framing.
    """

    head: bytes
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Row:
    """One input of a client and what becomes of it.

    Attributes:
        id: Its number, for ever.
        what: What it is.
        data: The bytes.
        answers: Status of each answer, with the reason code of one that is ours.
        closes: Whether the connection ends with the last answer.
        sent: What reaches the service; for a refused input nothing does.
        in_body: The fault lies in a body. A body is relayed as it comes, so when the head came in
            an earlier piece the request may have been begun by then; it is never made complete.
        in_turns: The same, even in one piece: so many lines are read in several turns.
    """

    id: str
    what: str
    data: bytes
    answers: tuple[str, ...]
    closes: bool
    sent: tuple[Sent, ...] = ()
    in_body: bool = False
    in_turns: bool = False


def refused(name: str, what: str, data: bytes, answer: str, *, in_body: bool = False) -> Row:
    """An input that must not reach the service."""
    return Row(name, what, data, (answer,), closes=True, in_body=in_body)


def forwarded(
    name: str,
    what: str,
    data: bytes,
    *sent: Sent,
    closes: bool = False,
    then: tuple[str, ...] = (),
) -> Row:
    """An input that is served. `then`: answers of ours after those of the service."""
    return Row(name, what, data, ("200",) * len(sent) + then, closes or bool(then), sent)


def lines(*text: str) -> bytes:
    """Lines of a head, each ended with CRLF; one character is one byte."""
    return "".join(line + "\r\n" for line in text).encode("latin-1")


def get(*fields: str, line: str = "GET /v1/x HTTP/1.1", host: str = HOST) -> bytes:
    """A request without a body."""
    return lines(line, *([host] if host else []), *fields, "")


def post(*fields: str, body: str = "", line: str = "POST /v1/x HTTP/1.1") -> bytes:
    """A request whose framing is among `fields`."""
    return lines(line, HOST, *fields, "") + body.encode("latin-1")


def chunks(body: str) -> bytes:
    """A request with this chunked body, framing and all."""
    return post(CODED, body=body)


def sent(line: str, *fields: str, body: bytes = b"") -> Sent:
    """The request that the service receives; names are in lower case, `host: a` comes first."""
    return Sent(lines(f"{line} HTTP/1.1", "host: a", *fields), body)


def chunked(body: bytes) -> Sent:
    """What comes of a good chunked body."""
    return sent("POST /v1/x", "transfer-encoding: chunked", body=body)
