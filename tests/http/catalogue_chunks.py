"""B: chunks, their extensions, and trailers.

Source: RFC 9112 sections 7.1 and 7.1.1 to 7.1.3; RFC 9110 section 6.5.
"""

from dataclasses import replace

from tests.http.rows import LAST, Row, chunked, chunks, forwarded, get, sent
from tests.http.rows import refused as refused_input

BAD = "400 EG001"
TOO_LARGE = "413 EG004"
TOO_MUCH = "431 EG003"


def refused(name: str, what: str, data: bytes, answer: str) -> Row:
    return refused_input(name, what, data, answer, in_body=True)


ROWS: tuple[Row, ...] = (
    refused("B01", "bare LF after a size", chunks("1\na\r\n" + LAST), BAD),
    refused("B02", "bare LF after data", chunks("1\r\na\n" + LAST), BAD),
    refused("B03", "bare LF instead of the last empty line", chunks("0\r\n\n"), BAD),
    refused("B04", "size with 0x", chunks("0x1\r\na\r\n" + LAST), BAD),
    refused("B05", "size with a plus", chunks("+1\r\na\r\n" + LAST), BAD),
    refused("B06", "size with a minus", chunks("-1\r\na\r\n" + LAST), BAD),
    refused("B07", "size with an underscore", chunks("1_0\r\n" + "a" * 16 + "\r\n" + LAST), BAD),
    refused("B08", "size without digits", chunks("\r\na\r\n" + LAST), BAD),
    refused("B09", "a space before the size", chunks(" 1\r\na\r\n" + LAST), BAD),
    refused("B10", "a space after the size", chunks("1 \r\na\r\n" + LAST), BAD),
    refused("B11", "a tab after the size", chunks("1\t\r\na\r\n" + LAST), BAD),
    refused("B12", "size of 17 digits", chunks("1" + "0" * 15 + "1\r\na\r\n" + LAST), BAD),
    refused("B13", "size of 2^64 - 1", chunks("f" * 16 + "\r\na\r\n" + LAST), TOO_LARGE),
    refused("B14", "size with 100 leading zeros", chunks("0" * 100 + "1\r\na\r\n" + LAST), BAD),
    forwarded("B15", "an extension", chunks("1;a=b\r\na\r\n" + LAST), chunked(b"a")),
    refused("B16", "bare LF within an extension", chunks("1;a\nb\r\na\r\n" + LAST), BAD),
    refused("B17", "bare CR within an extension", chunks("1;a\rb\r\na\r\n" + LAST), BAD),
    refused("B18", "bare CR before an extension", chunks("1\r;a\r\na\r\n" + LAST), BAD),
    refused("B19", "an extension of 64 KiB", chunks(f"1;{'a' * 65536}\r\na\r\n" + LAST), BAD),
    refused("B19b", "extensions of 1 KiB in all",
            chunks(f"1;{'a' * 60}\r\na\r\n" * 20 + LAST), BAD),
    refused("B20", "CRLF within a quoted extension", chunks('1;a="\r\nb"\r\na\r\n' + LAST), BAD),
    refused("B21", "an extension without its semicolon", chunks("1 a\r\na\r\n" + LAST), BAD),
    refused("B22", "more data than its size", chunks("1\r\nab\r\n" + LAST), BAD),
    refused("B23", "less data than its size", chunks("5\r\nabc\r\n" + LAST), BAD),
    refused("B24", "no CRLF between data and the next size", chunks("1\r\na1\r\nb\r\n" + LAST),
            BAD),
    refused("B25", "a size that is no number", chunks("G\r\na\r\n" + LAST), BAD),
    forwarded("B26", "a trailer, which is dropped", chunks("1\r\na\r\n0\r\nX-Foo: b\r\n\r\n"),
              chunked(b"a")),
    refused("B27", "a length in the trailers",
            chunks("1\r\na\r\n0\r\nContent-Length: 5\r\n\r\n"), BAD),
    refused("B28", "a coding in the trailers",
            chunks("1\r\na\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD),
    refused("B28b", "a coding in the trailers, spelled with an underscore",
            chunks("0\r\ntransfer_encoding: chunked\r\n\r\n"), BAD),
    forwarded("B29", "Host, authorization and ours in the trailers, which are dropped",
              chunks("1\r\na\r\n0\r\nHost: b\r\nAuthorization: c\r\nX-Epochgate-Epoch: 9\r\n\r\n"),
              chunked(b"a")),
    forwarded("B30", "a trailer without a value; the next request begins after it",
              chunks("1\r\na\r\n0\r\nX:\r\n\r\n") + get(line="GET /v1/y HTTP/1.1"),
              chunked(b"a"), sent("GET /v1/y")),
    refused("B31", "a trailer without a colon", chunks("1\r\na\r\n0\r\nabc\r\n\r\n"), BAD),
    refused("B32", "a trailer of 64 KiB", chunks(f"0\r\nX: {'a' * 65536}\r\n\r\n"), TOO_MUCH),
    replace(refused("B33", "1,000 trailers, which are read in turns",
                    chunks("0\r\n" + "X: a\r\n" * 1000 + "\r\n"), TOO_MUCH), in_turns=True),
    refused("B33b", "200 trailers", chunks("0\r\n" + f"X: {'a' * 20}\r\n" * 200 + "\r\n"),
            TOO_MUCH),
    refused("B34", "letters where the last CRLF belongs", chunks("1\r\na\r\n0\r\nXX"+ LAST), BAD),
    refused("B35", "size as a fullwidth digit", chunks("\xef\xbc\x91\r\na\r\n" + LAST), BAD),
)  # fmt: skip
