"""F: what ends at the next hop, upgrades, expectations, and requests sent ahead.

Source: RFC 9110 sections 7.6.1, 7.8 and 10.1.1; RFC 9112 section 9; RFC 9931.
"""

from tests.http.rows import CODED, Row, forwarded, get, lines, post, refused, sent

BAD = "400 EG001"
NEVER = "405 EG006"
EXPECTATION = "417 EG010"
UPGRADE = "501 EG011"
PLAIN = sent("GET /v1/x")
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
KEPT = lines("GET /v1/x HTTP/1.0", "Host: a", "Connection: keep-alive", "")
HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(64))

ROWS: tuple[Row, ...] = (
    refused("F01", "upgrade to websocket",
            get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), UPGRADE),
    refused("F02", "upgrade to h2c", get(*H2C), UPGRADE),
    refused("F03", "upgrade to h2c, and a request behind it",
            get(*H2C) + get(line="GET /v1/y HTTP/1.1"), UPGRADE),
    refused("F04", "upgrade to websocket with a body",
            post("Connection: upgrade", "Upgrade: WebSocket", "Content-Length: 1", body="a"),
            UPGRADE),
    forwarded("F05", "an offer that Connection does not name, which is dropped",
              get("Upgrade: websocket"), PLAIN),
    forwarded("F06", "100-continue, and the body at once",
              post("Expect: 100-Continue", "Content-Length: 3", body="abc"),
              sent("POST /v1/x", "content-length: 3", "expect: 100-continue", body=b"abc")),
    refused("F07", "another expectation", post("Expect: coffee", "Content-Length: 1", body="a"),
            EXPECTATION),
    forwarded("F08", "100-continue without a body, which is dropped", get("Expect: 100-continue"),
              PLAIN),
    refused("F09", "Connection lists Host", get("Connection: close, Host"), BAD),
    refused("F09b", "Connection lists authorization",
            get("Connection: Authorization", "Authorization: b"), BAD),
    refused("F10", "Connection lists a name of ours", get("Connection: X-Epochgate-Fence"), BAD),
    forwarded("F10b", "names of ours from a client, which are dropped",
              get("X-Epochgate-Epoch: 9", "x_epochgate_epoch: 8", "X-EPOCHGATE_fence: 7"), PLAIN),
    forwarded("F11", "keep-alive and close", get("Connection: keep-alive, close"), PLAIN,
              closes=True),
    forwarded("F12", "a request behind close, which is ignored",
              get("Connection: close") + get(line="GET /v1/y HTTP/1.1"), PLAIN, closes=True),
    forwarded("F13", "two requests at once", get() + get(line="GET /v1/y HTTP/1.1"),
              PLAIN, sent("GET /v1/y")),
    forwarded("F14", "two requests at once in HTTP/1.0", KEPT + KEPT, PLAIN, PLAIN),
    forwarded("F15", "Proxy-Connection, which is dropped", get("Proxy-Connection: close"), PLAIN),
    forwarded("F16", "TE, which is dropped", get("TE: trailers"), PLAIN),
    refused("F17", "TRACE that is to be answered here",
            get("Max-Forwards: 0", line="TRACE /v1/x HTTP/1.1"), NEVER),
    forwarded("F18", "Keep-Alive, which is dropped", get("Keep-Alive: timeout=5"), PLAIN),
    forwarded("F19", "garbage behind a request", get() + b"\x00\x01", PLAIN, then=(BAD,)),
    refused("F20", "a TLS hello", HELLO, BAD),
    refused("F21", "the line of the PROXY protocol",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get(), BAD),
    forwarded("F22", "another upgrade, which is dropped, and its body stays a body",
              post("Connection: upgrade", "Upgrade: foo", "Content-Length: 26",
                   body="GET /v1/y HTTP/1.1\r\nX: y\r\n"),
              sent("POST /v1/x", "content-length: 26", body=b"GET /v1/y HTTP/1.1\r\nX: y\r\n")),
    forwarded("F23", "a header that Connection lists, which is dropped",
              get("Connection: X-Gone", "X-Gone: 1", "X-Stays: 2"),
              sent("GET /v1/x", "x-stays: 2")),
    refused("F24", "an expectation twice",
            post("Expect: 100-continue", "Expect: 100-continue", CODED), EXPECTATION),
)  # fmt: skip
