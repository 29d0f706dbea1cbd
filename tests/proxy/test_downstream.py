"""One client connection: reading, pipelining, limits, and what is refused with 0 bytes upstream."""

import asyncio

import pytest

from sidecar.core.reason import Reason
from tests.proxy.world import OK, WAIT_S, Client, Received, World, request, running

GOOD = request(body=b"abc")


def get(headers: str = "Host: a\r\n", line: str = "GET /v1/x HTTP/1.1") -> bytes:
    return f"{line}\r\n{headers}\r\n".encode("latin-1")


def post(headers: str, body: str = "") -> bytes:
    return f"POST /v1/x HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}".encode("latin-1")


def chunked(body: str) -> bytes:
    return post("Transfer-Encoding: chunked\r\n", body)


LAST = "0\r\n\r\n"

# Name of the catalogue entry (hardening b.1) -> input and reason. None of them reaches the service.
DENIED: dict[str, tuple[bytes, str]] = {
    "A01 length and coding": (
        post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", LAST), "EG001"),
    "A02 coding and length": (
        post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", LAST), "EG001"),
    "A03 two lengths": (post("Content-Length: 1\r\nContent-Length: 2\r\n", "ab"), "EG001"),
    "A04 the same length twice": (post("Content-Length: 1\r\nContent-Length: 1\r\n", "a"), "EG001"),
    "A05 a list of lengths": (post("Content-Length: 1, 1\r\n", "a"), "EG001"),
    "A07 plus": (post("Content-Length: +1\r\n", "a"), "EG001"),
    "A08 minus": (post("Content-Length: -1\r\n", "a"), "EG001"),
    "A09 hex": (post("Content-Length: 0x1\r\n", "a"), "EG001"),
    "A10 underscore": (post("Content-Length: 1_0\r\n", "a" * 10), "EG001"),
    "A11 no digits": (post("Content-Length: \r\n"), "EG001"),
    "A13 leading zero": (post("Content-Length: 010\r\n", "a" * 10), "EG001"),
    "A14 two to the 64": (post("Content-Length: 18446744073709551616\r\n"), "EG001"),
    "A16 two to the 63": (post("Content-Length: 9223372036854775808\r\n"), "EG004"),
    "A22 chunked in two lines": (
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", LAST), "EG001"),
    "A23 chunked twice": (post("Transfer-Encoding: chunked, chunked\r\n", LAST), "EG001"),
    "A24 identity": (post("Transfer-Encoding: identity\r\n"), "EG001"),
    "A25 identity, chunked": (post("Transfer-Encoding: identity, chunked\r\n", LAST), "EG009"),
    "A27 gzip, chunked": (post("Transfer-Encoding: gzip, chunked\r\n", LAST), "EG009"),
    "A28 xchunked": (post("Transfer-Encoding: xchunked\r\n", LAST), "EG001"),
    "A29 empty element": (post("Transfer-Encoding: ,chunked\r\n", LAST), "EG009"),
    "A31 parameter": (post("Transfer-Encoding: chunked;q=1\r\n", LAST), "EG001"),
    "A32 vertical tab": (post("Transfer-Encoding: \x0bchunked\r\n", LAST), "EG001"),
    "A33 no-break space": (post("Transfer-Encoding: \xa0chunked\r\n", LAST), "EG001"),
    "A36 empty coding": (post("Transfer-Encoding: \r\nContent-Length: 5\r\n", "abcde"), "EG001"),
    "A37 space before colon": (post("Transfer-Encoding : chunked\r\n", LAST), "EG001"),
    "A40 underscore name": (post("Transfer_Encoding: chunked\r\n", LAST), "EG001"),
    "A40 underscore length": (post("Content_Length: 5\r\n", "abcde"), "EG001"),
    "A41 folded": (post("Transfer-Encoding:\r\n chunked\r\n", LAST), "EG001"),
    "A42 coding in 1.0": (
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "EG001"),
    "A44 GET with a body": (get("Host: a\r\nContent-Length: 1\r\n") + b"a", "EG001"),
    "A45 GET with a chunked body": (
        get("Host: a\r\nTransfer-Encoding: chunked\r\n") + b"1\r\na\r\n0\r\n\r\n", "EG001"),
    "A46 bare CR": (post("X: \rTransfer-Encoding: chunked\r\n", LAST), "EG001"),
    "A47 connection lists coding": (
        post("Connection: close, transfer-encoding\r\nTransfer-Encoding: chunked\r\n", LAST),
        "EG001"),
    "A48 connection lists length": (
        post("Connection: Content-Length\r\nContent-Length: 1\r\n", "a"), "EG001"),
    "B01 bare LF": (chunked("1\na\r\n" + LAST), "EG001"),
    "B02 data and bare LF": (chunked("1\r\na\n" + LAST), "EG001"),
    "B03 last line LF": (chunked("0\r\n\n"), "EG001"),
    "B04 0x1": (chunked("0x1\r\na\r\n" + LAST), "EG001"),
    "B05 plus": (chunked("+1\r\na\r\n" + LAST), "EG001"),
    "B08 empty": (chunked("\r\n" + LAST), "EG001"),
    "B09 leading space": (chunked(" 1\r\na\r\n" + LAST), "EG001"),
    "B10 trailing space": (chunked("1 \r\na\r\n" + LAST), "EG001"),
    "B12 overflow": (chunked("1" * 17 + "\r\na\r\n" + LAST), "EG001"),
    "B13 huge": (chunked("f" * 16 + "\r\na\r\n" + LAST), "EG004"),
    "B14 many zeros": (chunked("0" * 40 + "1\r\na\r\n" + LAST), "EG001"),
    "B16 extension LF": (chunked("1;a\nb\r\na\r\n" + LAST), "EG001"),
    "B17 extension CR": (chunked("1;a\rb\r\na\r\n" + LAST), "EG001"),
    "B19 extension 64 KiB": (chunked("1;" + "a" * 65536 + "\r\na\r\n" + LAST), "EG001"),
    "B19 many extensions": (chunked(("1;" + "a" * 60 + "\r\na\r\n") * 20 + LAST), "EG001"),
    "B21 no semicolon": (chunked("1 a\r\na\r\n" + LAST), "EG001"),
    "B22 too long": (chunked("1\r\nab\r\n" + LAST), "EG001"),
    "B25 no hex": (chunked("G\r\na\r\n" + LAST), "EG001"),
    "B27 trailer length": (chunked("0\r\nContent-Length: 3\r\n\r\n"), "EG001"),
    "B28 trailer coding": (chunked("0\r\nTransfer_Encoding: chunked\r\n\r\n"), "EG001"),
    "B31 trailer without colon": (chunked("0\r\nabc\r\n\r\n"), "EG001"),
    "B32 trailer 64 KiB": (chunked("0\r\nX: " + "a" * 65536 + "\r\n\r\n"), "EG003"),
    "B33 1000 trailers": (chunked("0\r\n" + "X: a\r\n" * 1000 + "\r\n"), "EG003"),
    "B34 after the last chunk": (chunked("0\r\nXX"+ "\r\n\r\n"), "EG001"),
    "C01 bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", "EG001"),
    "C02 LF after line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", "EG001"),
    "C04 bare CR": (b"GET / HTTP/1.1\rHost: a\r\r", "EG001"),
    "C05 CR CR LF": (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "EG001"),
    "C08 folded": (get("Host: a\r\nX: a\r\n b\r\n"), "EG001"),
    "C10 folded first": (get(" X: a\r\nHost: a\r\n"), "EG001"),
    "C12 space before colon": (get("Host: a\r\nX : a\r\n"), "EG001"),
    "C13 space in name": (get("Host: a\r\nX Y: a\r\n"), "EG001"),
    "C14 empty name": (get("Host: a\r\n: a\r\n"), "EG001"),
    "C15 no colon": (get("Host: a\r\nabc\r\n"), "EG001"),
    "C16 NUL": (get("Host: a\r\nX: a\x00\r\n"), "EG001"),
    "C17 NUL in name": (get("Host: a\r\nX\x00: a\r\n"), "EG001"),
    "C18 control": (get("Host: a\r\nX: a\x01\r\n"), "EG001"),
    "C19 DEL": (get("Host: a\r\nX: a\x7f\r\n"), "EG001"),
    "C21 8-bit name": (get("Host: a\r\n\x85: a\r\n"), "EG001"),
    "C22 odd name": (get("Host: a\r\nX(y): a\r\n"), "EG001"),
    "C26 1 MiB value": (get("Host: a\r\nX: " + "a" * 2**20 + "\r\n"), "EG003"),
    "C27 many headers": (get("Host: a\r\n" + "X: a\r\n" * 101), "EG003"),
    "C28 long name": (get("Host: a\r\n" + "x" * 257 + ": a\r\n"), "EG003"),
    "C30 leading lines": (b"\r\n" * 100 + get(), "EG001"),
    "C31 leading LF": (b"\n" + get(), "EG001"),
    "C32 leading space": (b" " + get(), "EG001"),
    "C33 byte order mark": (b"\xef\xbb\xbf" + get(), "EG001"),
    "D01 two spaces": (get(line="GET  / HTTP/1.1"), "EG001"),
    "D02 tab": (get(line="GET\t/ HTTP/1.1"), "EG001"),
    "D03 trailing space": (get(line="GET / HTTP/1.1 "), "EG001"),
    "D05 no version": (b"GET /\r\n\r\n", "EG001"),
    "D06 0.9": (get(line="GET / HTTP/0.9"), "EG008"),
    "D07 2.0": (get(line="GET / HTTP/2.0"), "EG008"),
    "D08 1.2": (get(line="GET / HTTP/1.2"), "EG008"),
    "D09 1.10": (get(line="GET / HTTP/1.10"), "EG001"),
    "D10 lower case": (get(line="GET / http/1.1"), "EG001"),
    "D12 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "EG008"),
    "D13 lower method": (get(line="get / HTTP/1.1"), "EG001"),
    "D14 unknown": (get(line="SLUDGE / HTTP/1.1"), "EG007"),
    "D16 M-SEARCH": (get(line="M-SEARCH * HTTP/1.1"), "EG007"),
    "D17 RTSP": (get(line="SETUP / RTSP/1.0"), "EG001"),
    "D19 TRACE": (get(line="TRACE / HTTP/1.1"), "EG006"),
    "D20 CONNECT": (get(line="CONNECT a:80 HTTP/1.1"), "EG006"),
    "D23 GET *": (get(line="GET * HTTP/1.1"), "EG001"),
    "D25 other host": (get(line="GET http://b/ HTTP/1.1"), "EG001"),
    "D26 https": (get(line="GET https://a/ HTTP/1.1"), "EG001"),
    "D27 userinfo": (get(line="GET http://u@a/ HTTP/1.1"), "EG001"),
    "D29 relative": (get(line="GET x HTTP/1.1"), "EG001"),
    "D30 backslash": (get(line="GET \\x HTTP/1.1"), "EG001"),
    "D31 fragment": (get(line="GET /x#y HTTP/1.1"), "EG001"),
    "D32 UTF-8": (get(line="GET /\xc3\xa9 HTTP/1.1"), "EG001"),
    "D34 NUL": (get(line="GET /\x00 HTTP/1.1"), "EG001"),
    "D36 bad escape": (get(line="GET /%zz HTTP/1.1"), "EG001"),
    "D37 cut escape": (get(line="GET /%2 HTTP/1.1"), "EG001"),
    "D38 %00": (get(line="GET /%00 HTTP/1.1"), "EG001"),
    "D47 64 KiB": (get(line="GET /" + "a" * 65536 + " HTTP/1.1"), "EG002"),
    "D47 just over": (get(line="GET /" + "a" * 8192 + " HTTP/1.1"), "EG002"),
    "D49 quote": (get(line='GET /" HTTP/1.1'), "EG001"),
    "E01 no Host": (get("X: a\r\n"), "EG001"),
    "E02 two Hosts": (get("Host: a\r\nHost: b\r\n"), "EG001"),
    "E03 same Host twice": (get("Host: a\r\nHost: a\r\n"), "EG001"),
    "E04 empty": (get("Host: \r\n"), "EG001"),
    "E05 path": (get("Host: a/b\r\n"), "EG001"),
    "E06 userinfo": (get("Host: u@a\r\n"), "EG001"),
    "E07 space": (get("Host: a b\r\n"), "EG001"),
    "E08 list": (get("Host: a, b\r\n"), "EG001"),
    "E09 port": (get("Host: a:99999\r\n"), "EG001"),
    "E10 port": (get("Host: a:abc\r\n"), "EG001"),
    "E11 8-bit": (get("Host: \xe9\r\n"), "EG001"),
    "F01 websocket": (
        get("Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"), "EG011"),
    "F02 h2c": (
        get("Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            "HTTP2-Settings: AA\r\n"), "EG011"),
    "F04 websocket with a body": (
        post("Connection: upgrade\r\nUpgrade: WebSocket\r\nContent-Length: 1\r\n", "a"), "EG011"),
    "F07 expectation": (post("Expect: coffee\r\nContent-Length: 1\r\n", "a"), "EG010"),
    "F09 connection lists host": (get("Host: a\r\nConnection: close, Host\r\n"), "EG001"),
    "F09 authorization": (get("Host: a\r\nConnection: Authorization\r\n"), "EG001"),
    "F10 reserved": (get("Host: a\r\nConnection: X-Epochgate-Epoch\r\n"), "EG001"),
    "F20 TLS": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1", "EG001"),
    "F21 PROXY": (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + get(), "EG001"),
}  # fmt: skip


@pytest.mark.parametrize("name", DENIED)
async def test_bad_input_is_denied_with_nothing_upstream(name: str) -> None:
    data, code = DENIED[name]
    async with running() as world:
        client = await world.connect()
        client.send(data)
        response = await client.response()
        assert response.reason == code
        assert response.headers[b"connection"] == b"close"
        assert await client.ended() == b""
        assert (world.service.total_bytes, world.service.connections) in ((0, 0), (0, 1), (0, 2))
        assert [reason.code for reason in world.recorder.denials] == [code]
        assert world.recorder.permits == 0
        assert [reason.code for reason in world.observer.malformed_requests] == [code]


@pytest.mark.parametrize("name", [name for name, item in DENIED.items() if len(item[0]) < 3000])
async def test_bad_input_in_single_bytes_ends_with_the_same_reason(name: str) -> None:
    """A body may have begun upstream by then; it is never made complete there."""
    data, code = DENIED[name]
    async with running() as world:
        world.lossy = True
        client = await world.connect()
        await byte_by_byte(client, data)
        response = await client.response()
        assert response.reason == code
        await client.ended()
        assert not any(seen.complete for seen in world.service.received)


async def byte_by_byte(client: Client, data: bytes) -> None:
    for index in range(len(data)):
        client.send(data[index : index + 1])
        await asyncio.sleep(0)


# Name -> input, and what the service must see of it.
FORWARDED: dict[str, tuple[bytes, bytes, bytes]] = {
    "A19 tab before length": (post("Content-Length:\t1 \r\n", "a"), b"content-length: 1\r\n", b"a"),
    "A35 upper case": (
        post("Transfer-Encoding: CHUNKED\r\n", "1\r\na\r\n0\r\n\r\n"),
        b"transfer-encoding: chunked\r\n", b"a"),
    "B15 extension": (chunked("1;a=b\r\na\r\n0\r\n\r\n"), b"chunked", b"a"),
    "B26 trailer": (chunked("1\r\na\r\n0\r\nX-Foo: a\r\n\r\n"), b"chunked", b"a"),
    "B29 trailer Host": (chunked("1\r\na\r\n0\r\nHost: evil\r\n\r\n"), b"host: a\r\n", b"a"),
    "C20 obs-text": (get("Host: a\r\nX: \xff\r\n"), b"x: \xff\r\n", b""),
    "C23 underscore": (get("Host: a\r\nX_Y: a\r\n"), b"x_y: a\r\n", b""),
    "C29 leading lines": (b"\r\n\r\n" + get(), b"GET /v1/x HTTP/1.1\r\n", b""),
    "D24 absolute": (get(line="GET http://A/v1/x?y HTTP/1.1"), b"GET /v1/x?y HTTP/1.1\r\n", b""),
    "D39 %2f": (get(line="GET /a%2fb HTTP/1.1"), b"GET /a%2fb HTTP/1.1", b""),
    "D41 dots": (get(line="GET /a/../b HTTP/1.1"), b"GET /a/../b HTTP/1.1", b""),
    "D43 slashes": (get(line="GET /a//b HTTP/1.1"), b"GET /a//b HTTP/1.1", b""),
    "D46 %0d%0a": (get(line="GET /a%0d%0ab HTTP/1.1"), b"GET /a%0d%0ab HTTP/1.1", b""),
    "F05 upgrade alone": (get("Host: a\r\nUpgrade: websocket\r\n"), b"GET", b""),
    "F08 expect without body": (get("Host: a\r\nExpect: 100-continue\r\n"), b"GET", b""),
    "other upgrade": (get("Host: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n"), b"GET", b""),
    "F15 proxy-connection": (get("Host: a\r\nProxy-Connection: close\r\n"), b"GET", b""),
    "F16 TE": (get("Host: a\r\nTE: trailers\r\n"), b"GET", b""),
    "F18 keep-alive": (get("Host: a\r\nKeep-Alive: 5\r\n"), b"GET", b""),
    "listed": (get("Host: a\r\nConnection: X-Gone\r\nX-Gone: 1\r\n"), b"GET", b""),
    "reserved": (
        get("Host: a\r\nX-Epochgate-Epoch: 9\r\nx_epochgate_epoch: 8\r\nX-EPOCHGATE_a: 7\r\n"),
        b"x-epochgate-epoch: 1\r\n", b""),
}  # fmt: skip
GONE = (
    b"upgrade", b"expect", b"proxy", b"te", b"keep-alive", b"x-gone", b"connection", b"x-foo",
    b"x_epochgate_epoch", b"x-epochgate_a",
)  # fmt: skip


@pytest.mark.parametrize("pieces", ["one", "many"])
@pytest.mark.parametrize("name", FORWARDED)
async def test_good_input_is_written_anew(name: str, pieces: str) -> None:
    data, wanted, body = FORWARDED[name]
    async with running() as world:
        client = await world.connect()
        if pieces == "one":
            client.send(data)
        else:
            await byte_by_byte(client, data)
        response = await client.response()
        assert (response.status, response.body) == (200, b"ok")
        [seen] = world.service.received
        assert wanted in seen.head
        assert seen.body == body
        assert not {name for name, _ in seen.headers} & set(GONE)
        assert len([name for name, _ in seen.headers if name == b"x-epochgate-epoch"]) == 1


async def test_405_names_the_methods_that_there_are() -> None:
    async with running() as world:
        response = await world.ask(get(line="TRACE / HTTP/1.1"))
        assert b"GET" in response.headers[b"allow"]


# Keeping a connection, sending ahead.


async def test_requests_sent_ahead_are_answered_in_order_each_with_its_own_decision() -> None:
    async with running() as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            if received.value(b"x-n") == b"1":
                world.hold()  # closes between the first and the second
            writer.write(OK)

        world.service.answer = answer
        client = await world.connect()
        client.send(
            request("GET", headers="X-N: 0\r\n")
            + request("GET", "/health")
            + request("GET", headers="X-N: 1\r\n")
            + request("GET", headers="X-N: 2\r\n")
        )
        seen = [await client.response() for _ in range(4)]
        assert [item.status for item in seen] == [200, 200, 503, 503]
        assert len(world.service.received) == 3


async def test_many_denied_requests_sent_ahead_are_all_answered() -> None:
    async with running() as world:
        world.hold()
        client = await world.connect()
        client.send(request("GET") * 500)
        for _ in range(500):
            assert (await client.response()).status == 503
        assert len(world.recorder.denials) == 500


async def test_reading_pauses_when_a_client_sends_too_far_ahead() -> None:
    async with running(pipeline_depth=4) as world:
        go_on = asyncio.Event()

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            await go_on.wait()
            writer.write(OK)

        world.service.answer = answer
        client = await world.connect()
        for _ in range(20):
            client.send(request("GET"))
            await asyncio.sleep(0)
        [connection] = world.server._connections
        await world.until(lambda: not connection._transport.is_reading())
        go_on.set()
        for _ in range(20):
            assert (await client.response()).status == 200


async def test_reading_pauses_when_a_client_asks_on_and_reads_no_answer() -> None:
    async with running() as world:
        world.hold()
        client = await world.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        [connection] = await opened(world)
        each = 10_000
        client.send(request("GET") * each)
        await world.until(lambda: connection.write_full)
        client.send(request("GET") * each)
        most = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            most = max(most, len(connection.buffer))
        assert not connection._transport.is_reading()
        assert most < world.settings.limits.head_bytes + 512 * 1024  # the limit and one piece read
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        answered = 0
        while answered < 2 * each:  # nothing is lost, and reading goes on
            await asyncio.wait_for(client.reader.readuntil(b"HTTP/1.1 503 "), WAIT_S)
            answered += 1


async def test_close_is_obeyed_and_what_follows_is_ignored() -> None:
    async with running() as world:
        client = await world.connect()
        client.send(request("GET", headers="Connection: close\r\n") + request("GET"))
        response = await client.response()
        assert response.headers[b"connection"] == b"close"
        assert await client.ended() == b""
        assert len(world.service.received) == 1


async def test_garbage_after_a_request_is_denied_after_its_answer() -> None:
    async with running() as world:
        client = await world.connect()
        client.send(GOOD + b"\x00\x01")
        assert (await client.response()).status == 200
        assert (await client.response()).reason == "EG001"


async def test_one_upstream_connection_serves_one_client_connection() -> None:
    async with running(warm_connections=0) as world:
        one, other = await world.connect(), await world.connect()
        for client in (one, other, one, other, one):
            client.send(GOOD)
            assert (await client.response()).status == 200
        assert world.service.connections == 2


# Limits and time.


async def test_one_connection_too_many_is_told_so() -> None:
    async with running(connections=1) as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        world.service.answer = answer
        busy = await world.connect()
        busy.send(GOOD)
        await world.until(lambda: bool(world.service.received))
        extra = await world.connect()
        response = await extra.response()
        assert (response.status, response.reason) == (503, "EG012")
        assert await extra.ended() == b""
        assert world.recorder.denials == [Reason.CONNECTION_LIMIT]
        assert world.observer.malformed_requests == [Reason.CONNECTION_LIMIT]


async def test_a_connection_that_waits_for_a_request_gives_way_to_a_new_one() -> None:
    async with running(connections=2) as world:
        old = await world.connect()
        old.send(b"GET / HTTP/1.1\r\nHost: never ends")
        await world.until(lambda: world.server.connections == 1)
        world.clock.move(1)
        young = await world.connect()
        await world.until(lambda: world.server.connections == 2)
        assert (await world.ask(GOOD)).status == 200
        assert await old.ended() == b""
        young.send(GOOD)
        assert (await young.response()).status == 200
        assert world.observer.malformed_requests == [Reason.CONNECTION_LIMIT]


@pytest.mark.parametrize(
    "data",
    [
        post("Content-Length: 11\r\n", "a" * 11),
        chunked("6\r\naaaaaa\r\n5\r\naaaaa\r\n0\r\n\r\n"),
    ],
)
async def test_a_body_over_the_limit_is_413(data: bytes) -> None:
    async with running(body_bytes=10) as world:
        response = await world.ask(data)
        assert (response.status, response.reason) == (413, "EG004")
        assert world.service.total_bytes == 0


async def test_a_head_that_takes_too_long_is_408_counted_from_its_first_byte() -> None:
    async with running(head_ms=1000) as world:
        client = await world.connect()
        client.send(b"GET / HT")
        [connection] = await opened(world)
        await world.until(lambda: connection.buffer == b"GET / HT")
        world.clock.move(999)
        client.send(b"TP")
        await world.until(lambda: connection.buffer == b"GET / HTTP")
        world.clock.move(1)
        assert (await client.response()).reason == "EG005"


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with running(idle_ms=1000) as world:
        client = await world.connect()
        await opened(world)
        world.clock.move(1000)
        assert await client.ended() == b""
        assert world.recorder.decisions == []


async def test_after_an_error_little_is_discarded_and_not_for_long() -> None:
    async with running(linger_ms=1000) as world:
        client = await world.connect()
        client.send(b"\x00")
        assert (await client.response()).status == 400
        assert await client.ended() == b""
        assert world.server.connections == 1
        world.clock.move(1000)
        await world.until(lambda: world.server.connections == 0)


async def test_a_flood_after_an_error_ends_the_connection() -> None:
    async with running() as world:
        client = await world.connect()
        client.send(b"\x00")
        assert (await client.response()).status == 400
        client.send(b"a" * 100_000)
        await world.until(lambda: world.server.connections == 0)


async def opened(world: World):  # type: ignore[no-untyped-def]
    await world.until(lambda: world.server.connections == 1)
    return list(world.server._connections)


# A slow reader, a slow service.

LARGE = 32 * 1024 * 1024


async def test_a_slow_reader_pauses_the_service_and_memory_stays_bounded() -> None:
    async with running(buffer_bytes=64 * 1024) as world:
        written = [0]

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
            for _ in range(LARGE // 65536):
                writer.write(b"a" * 65536)
                await writer.drain()
                written[0] += 65536

        world.service.answer = answer
        client = await world.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GOOD)
        [connection] = await opened(world)
        await world.until(lambda: connection.write_full)
        most = connection._transport.get_write_buffer_size()
        for _ in range(20):
            await asyncio.sleep(0.005)
            most = max(most, connection._transport.get_write_buffer_size())
        assert most < 64 * 1024 + 512 * 1024  # the limit and one piece read
        assert written[0] < LARGE
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await client.response()).body) == LARGE


async def test_a_slow_service_pauses_the_client_and_memory_stays_bounded() -> None:
    async with running(buffer_bytes=64 * 1024) as world:
        go_on = asyncio.Event()
        body = world.service._body

        async def slow(received: Received, reader: asyncio.StreamReader) -> None:
            await go_on.wait()
            await body(received, reader)

        world.service._body = slow  # type: ignore[assignment,method-assign]
        client = await world.connect()
        client.send(request(headers=f"Content-Length: {LARGE}\r\n") + b"a" * LARGE)
        [connection] = await opened(world)
        await world.until(lambda: connection._upstream_full)
        assert not connection._transport.is_reading()
        upstream = connection._upstream
        assert upstream is not None
        assert upstream._transport.get_write_buffer_size() < 64 * 1024 + 512 * 1024
        go_on.set()
        assert (await client.response()).status == 200
        assert len(world.service.received[0].body) == LARGE


async def test_an_answer_that_overtakes_a_slow_service_leaves_the_client_readable() -> None:
    """The request was taken to its end, but the service has not read it when it answers."""
    async with running(buffer_bytes=64 * 1024) as world:
        read_on = asyncio.Event()
        body = world.service._body

        async def slow(received: Received, reader: asyncio.StreamReader) -> None:
            await read_on.wait()
            await body(received, reader)

        world.service._body = slow  # type: ignore[assignment,method-assign]
        world.service.early = True
        answer = asyncio.Event()

        async def late(received: Received, writer: asyncio.StreamWriter) -> None:
            await answer.wait()
            writer.write(OK)

        world.service.answer = late
        client = await world.connect()
        client.send(request(headers="Transfer-Encoding: chunked\r\n"))
        [connection] = await opened(world)
        piece = b"10000\r\n" + b"a" * 65536 + b"\r\n"
        await world.until(lambda: connection._exchange is not None and connection._exchange.sent)
        exchange = connection._exchange
        assert exchange is not None
        upstream = connection._upstream
        assert upstream is not None
        # One turn takes the end of the body and fills the buffer towards the service.
        while not upstream._transport.get_write_buffer_size():
            client.send(piece)
            await asyncio.sleep(0.001)
        connection._received(piece * 4 + b"0\r\n\r\n")
        assert exchange.request_done
        assert connection._upstream_full
        answer.set()
        assert (await client.response()).status == 200
        client.send(GOOD)
        assert (await client.response()).status == 200
        read_on.set()


async def test_reasons_of_the_exchange_are_all_produced_by_some_test() -> None:
    """EG001 to EG012 here, EG013 with `client.py`, EG020 to EG022 in the tests of the exchange."""
    codes = {code for _, code in DENIED.values()} | {"EG004", "EG005", "EG012"}
    ours = {reason.code for reason in Reason if reason.validation == 0}
    assert ours - codes == {"EG013", "EG020", "EG021", "EG022"}
