"""D, E: the request line, and the one authority that a request names.

Source: RFC 9112 sections 2.3, 3 and 3.2; RFC 9110 sections 4.2, 7.1, 7.2 and 9; RFC 3986 section 3.
"""

from tests.http.rows import Row, forwarded, get, refused, sent

BAD = "400 EG001"
TOO_LONG = "414 EG002"
NEVER = "405 EG006"
UNKNOWN = "501 EG007"
VERSION = "505 EG008"


def line(text: str, *fields: str) -> bytes:
    return get(*fields, line=text)


def target(text: str) -> bytes:
    return line(f"GET {text} HTTP/1.1")


def host(value: str) -> bytes:
    return get(host=f"Host: {value}")


# Spelled out in the policy and the routes of the test: no wildcard matches any of them.
ODD_PATHS = (
    "/v1/a%2fb", "/v1/a%5cb", "/v1/../a", "/v1/%2e%2e/a", "/v1//a", "/v1/a;b=c", "/v1/a%0d%0ab",
)  # fmt: skip


def odd(name: str, what: str, path: str) -> Row:
    assert path in ODD_PATHS
    return forwarded(name, what, target(path), sent(f"GET {path}"))


ROWS: tuple[Row, ...] = (
    refused("D01", "two spaces", line("GET  /v1/x HTTP/1.1"), BAD),
    refused("D02", "tabs instead of spaces", line("GET\t/v1/x\tHTTP/1.1"), BAD),
    refused("D03", "a space after the version", line("GET /v1/x HTTP/1.1 "), BAD),
    refused("D04", "a space in the target", line("GET /v1/x y HTTP/1.1"), BAD),
    refused("D05", "no version", b"GET /v1/x\r\n\r\n", BAD),
    refused("D06", "HTTP/0.9", line("GET /v1/x HTTP/0.9"), VERSION),
    refused("D07", "HTTP/2.0", line("GET /v1/x HTTP/2.0"), VERSION),
    refused("D08", "HTTP/1.2", line("GET /v1/x HTTP/1.2"), VERSION),
    refused("D09", "HTTP/1.10", line("GET /v1/x HTTP/1.10"), BAD),
    refused("D10", "http/1.1", line("GET /v1/x http/1.1"), BAD),
    refused("D11", "HTTP/1,1", line("GET /v1/x HTTP/1,1"), BAD),
    refused("D12", "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION),
    refused("D13", "a method in lower case", line("get /v1/x HTTP/1.1"), BAD),
    refused("D14", "a method that nobody knows", line("SLUDGE /v1/x HTTP/1.1"), UNKNOWN),
    refused("D15", "NUL in the method", line("G\x00T /v1/x HTTP/1.1"), BAD),
    refused("D16", "M-SEARCH", line("M-SEARCH * HTTP/1.1"), UNKNOWN),
    refused("D17", "RTSP", line("SETUP /v1/x RTSP/1.0"), BAD),
    refused("D18", "SOURCE of ICE", line("SOURCE /v1/x ICE/1.0"), BAD),
    refused("D19", "TRACE", line("TRACE /v1/x HTTP/1.1"), NEVER),
    refused("D20", "CONNECT with an authority", line("CONNECT a:80 HTTP/1.1"), NEVER),
    refused("D21", "CONNECT with a path", line("CONNECT /v1/x HTTP/1.1"), NEVER),
    refused("D22", "OPTIONS *", line("OPTIONS * HTTP/1.1"), BAD),
    refused("D23", "GET *", line("GET * HTTP/1.1"), BAD),
    forwarded("D24", "absolute, the same host", target("http://A/v1/x?y"), sent("GET /v1/x?y")),
    refused("D25", "absolute, another host", target("http://b/v1/x"), BAD),
    refused("D26", "absolute, https", target("https://a/v1/x"), BAD),
    refused("D27", "absolute, with a user", target("http://u@a/v1/x"), BAD),
    refused("D28", "absolute, ftp", target("ftp://a/v1/x"), BAD),
    refused("D29", "no slash", target("v1/x"), BAD),
    refused("D30", "a backslash", target("\\v1\\x"), BAD),
    refused("D31", "a fragment", target("/v1/x#y"), BAD),
    refused("D32", "UTF-8", target("/v1/\xc3\xa9"), BAD),
    refused("D33", "0xff", target("/v1/\xff"), BAD),
    refused("D34", "NUL", target("/v1/\x00"), BAD),
    refused("D35", "a control character", target("/v1/\x01"), BAD),
    refused("D36", "% without hex digits", target("/v1/%zz"), BAD),
    refused("D37", "% with one hex digit", target("/v1/%2"), BAD),
    refused("D38", "%00", target("/v1/a%00b"), BAD),
    odd("D39", "%2f, which stays", "/v1/a%2fb"),
    odd("D40", "%5c, which stays", "/v1/a%5cb"),
    odd("D41", "dot segments, which stay", "/v1/../a"),
    odd("D42", "dot segments in hex, which stay", "/v1/%2e%2e/a"),
    odd("D43", "two slashes, which stay", "/v1//a"),
    odd("D44", "a path parameter, which stays", "/v1/a;b=c"),
    refused("D45", "overlong UTF-8", target("/v1/a%c0%afb"), BAD),
    refused("D45b", "overlong UTF-8 of three bytes", target("/v1/a%E0%80%AFb"), BAD),
    odd("D46", "%0d%0a, which stays", "/v1/a%0d%0ab"),
    refused("D47", "a target of 64 KiB", target("/" + "a" * 65535), TOO_LONG),
    refused("D47b", "a target one byte too long", target("/" + "a" * 8192), TOO_LONG),
    refused("D48", "a target of 8 MiB", target("/" + "a" * (8 * 2**20 - 1)), TOO_LONG),
    refused("D49", "a quote and angle brackets", target('/v1/"<x>'), BAD),
    forwarded("D50", "a query with a question mark and an old encoding",
              target("/v1/x?a=?&b=%c0"), sent("GET /v1/x?a=?&b=%c0")),
    refused("E01", "no Host", get(host=""), BAD),
    refused("E02", "two Hosts", get("Host: b"), BAD),
    refused("E03", "the same Host twice", get("Host: a"), BAD),
    refused("E04", "an empty Host", host(""), BAD),
    refused("E05", "Host with a path", host("a/v1"), BAD),
    refused("E06", "Host with a user", host("u@a"), BAD),
    refused("E07", "Host with a space", host("a b"), BAD),
    refused("E08", "a list of Hosts", host("a, b"), BAD),
    refused("E09", "a port over 65535", host("a:99999"), BAD),
    refused("E10", "a port that is no number", host("a:abc"), BAD),
    refused("E11", "Host with a byte over 0x7f", host("\xe9"), BAD),
    refused("E12", "no Host in HTTP/1.0", b"GET /v1/x HTTP/1.0\r\n\r\n", BAD),
)  # fmt: skip
