"""C: lines and header fields.

Source: RFC 9112 sections 2.2, 5 and 5.2; RFC 9110 sections 5.1, 5.5 and 5.6.2.
"""

from tests.http.rows import Row, forwarded, get, lines, refused, sent

BAD = "400 EG001"
TOO_MUCH = "431 EG003"
LINE = b"GET /v1/x HTTP/1.1"
MIB = 2**20

ROWS: tuple[Row, ...] = (
    refused("C01", "bare LF everywhere", LINE + b"\nHost: a\n\n", BAD),
    refused("C02", "bare LF after the request line", LINE + b"\nHost: a\r\n\r\n", BAD),
    refused("C03", "bare LF after a header", LINE + b"\r\nHost: a\nX: b\r\n\r\n", BAD),
    refused("C04", "bare CR as the end of lines", LINE + b"\rHost: a\r\r", BAD),
    refused("C05", "CR CR LF", LINE + b"\r\r\nHost: a\r\n\r\n", BAD),
    refused("C06", "bare LF as the empty line", LINE + b"\r\nHost: a\r\n\n", BAD),
    refused("C07", "CR and a letter as the empty line", LINE + b"\r\nHost: a\r\n\rX\r\n\r\n", BAD),
    refused("C08", "a line folded with a space", get("X: a", " b"), BAD),
    refused("C09", "a line folded with a tab", get("X: a", "\tb"), BAD),
    refused("C10", "a folded line before any header", get("Host: a", host=" X: b"), BAD),
    refused("C11", "a folded line with nothing on it", get("X: a", " "), BAD),
    refused("C12", "a space before the colon", get("X : a"), BAD),
    refused("C13", "a space in a name", get("X Y: a"), BAD),
    refused("C14", "an empty name", get(": a"), BAD),
    refused("C15", "no colon", get("abc"), BAD),
    refused("C16", "NUL in a value", get("X: a\x00b"), BAD),
    refused("C17", "NUL in a name", get("X\x00: a"), BAD),
    refused("C18", "a control character in a value", get("X: a\x01"), BAD),
    refused("C19", "DEL in a value", get("X: a\x7f"), BAD),
    forwarded("C20", "a byte over 0x7f in a value", get("X: \xff"), sent("GET /v1/x", "x: \xff")),
    refused("C21", "a byte over 0x7f in a name", get("\x85X: a"), BAD),
    refused("C22", "a name with ( ) and ,", get("X(y),z: a"), BAD),
    forwarded("C23", "a name with an underscore", get("X_Y: a"), sent("GET /v1/x", "x_y: a")),
    refused("C24", "a name in quotes", get('"X": a'), BAD),
    refused("C25", "vertical tab and form feed in a value", get("X: a\x0b\x0cb"), BAD),
    refused("C26", "a value of 1 MiB", get(f"X: {'a' * MIB}"), TOO_MUCH),
    refused("C27", "10,000 headers", get(*(["X: a"] * 10_000)), TOO_MUCH),
    refused("C27b", "101 headers", get(*(["X: a"] * 100)), TOO_MUCH),
    refused("C28", "a name of 1 MiB", get(f"{'x' * MIB}: a"), TOO_MUCH),
    refused("C28b", "a name of 257 bytes", get(f"{'x' * 257}: a"), TOO_MUCH),
    forwarded("C29", "two empty lines before the request", b"\r\n\r\n" + get(), sent("GET /v1/x")),
    refused("C29b", "three empty lines before the request", b"\r\n\r\n\r\n" + get(), BAD),
    refused("C30", "100,000 empty lines before the request", b"\r\n" * 100_000 + get(), BAD),
    refused("C31", "bare LF before the request", b"\n" + get(), BAD),
    refused("C32", "a space before the request", b" " + get(), BAD),
    refused("C33", "a byte order mark before the request", b"\xef\xbb\xbf" + get(), BAD),
    forwarded("C34", "white space around a value, and a value of nothing else",
              lines("GET /v1/x HTTP/1.1", "Host:a", "X: \t b c\t ", "Y: \t ", ""),
              sent("GET /v1/x", "x: b c", "y: ")),
)  # fmt: skip
