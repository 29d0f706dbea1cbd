"""Real ASGI servers, a client that sends its request line byte for byte."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.fence.asgi import App as AsgiApp
from sidecar.fence.asgi import Fence, Message, Receive, Send, TooLate, targets
from tests.fence.caller import FAR_MS, HOST, LIMIT_S, TARGETS, ask, fenced, late_after, write_key
from tests.fence.servers import Running, hypercorn_with, running, uvicorn_with

SERVERS = ["uvicorn with h11", "uvicorn with httptools", "hypercorn"]
HANDSHAKE = {
    "upgrade": "websocket", "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


class App:
    """Writes down what it was called with, and says so."""

    def __init__(self) -> None:
        self.called: list[tuple[str, str]] = []
        self.executed = 0
        self.lifespan: list[str] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for done in ("startup", "shutdown"):
                await receive()
                self.lifespan.append(done)
                await send({"type": f"lifespan.{done}.complete"})
            return
        self.called.append((scope["type"], scope["path"]))
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
            return
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message["body"]
        self.executed += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"executed " + body})


def serve(server: str, app: Any, root_path: str = "") -> Running:
    if server == "hypercorn":
        return hypercorn_with(app, root_path)
    return uvicorn_with(app, server.rpartition(" ")[2], root_path)


@pytest.fixture(params=SERVERS, scope="module")
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, App]]:
    key_file, app = write_key(tmp_path_factory.mktemp("key") / "fence.key"), App()
    with running(serve(request.param, Fence(app, key_file, exempt=["/health"]))) as port:
        yield port, app


@pytest.fixture
def port(served: tuple[int, App]) -> int:
    """Of each server in turn; `app` is what it serves."""
    return served[0]


@pytest.fixture
def app(request: pytest.FixtureRequest) -> App:
    app: App = request.getfixturevalue("served")[1] if "port" in request.fixturenames else App()
    app.called.clear()
    return app


def test_a_permitted_request_is_executed_with_its_body(port: int, app: App) -> None:
    answer = ask(port, "POST", "/v1/chat", fenced("POST", "/v1/chat"), body=b"hello")
    assert answer.status == 200
    assert b"executed hello" in answer.body  # in a chunk, where the server makes one
    assert app.called == [("http", "/v1/chat")]


def test_the_exact_target_is_recovered_whatever_its_spelling(port: int, app: App) -> None:
    for target in TARGETS:
        assert ask(port, "GET", target, fenced("GET", target)).status == 200, target
    assert len(app.called) == len(TARGETS)


def test_a_permit_for_another_spelling_of_the_target_is_refused(port: int, app: App) -> None:
    for asked, permitted in [("/a/b", "/a%2Fb"), ("/a%2Fb", "/a/b"), ("/a?x=1", "/a?x=2"),
                             ("/a?x=1", "/a"), ("/a", "/a?x=1"), ("/a", "/b")]:  # fmt: skip
        assert ask(port, "GET", asked, fenced("GET", permitted)).kind == "invalid", asked
    assert app.called == []


def test_a_late_request_is_refused_and_not_executed(port: int, app: App) -> None:
    answer = ask(port, "POST", "/x", fenced("POST", "/x", left_ms=0), body=b"hello")
    assert (answer.status, answer.kind) == (503, "late")
    assert answer.headers["content-type"] == "application/problem+json"
    assert app.called == []


def test_a_request_that_did_not_come_through_the_gate_is_refused(port: int, app: App) -> None:
    answer = ask(port, "POST", "/x", {}, body=b"hello")
    assert (answer.status, answer.kind) == (403, "missing")
    assert app.called == []


def test_a_refused_head_request_has_no_body(port: int, app: App) -> None:
    answer = ask(port, "HEAD", "/x", {})
    assert (answer.status, answer.body) == (403, b"")
    assert app.called == []


@pytest.mark.parametrize("name", sorted(fenced()))
def test_a_field_that_comes_twice_is_refused(port: int, app: App, name: str) -> None:
    headers = fenced("POST", "/x")
    answer = ask(port, "POST", "/x", headers, f"{name.upper()}: {headers[name]}")
    assert (answer.status, answer.kind) == (403, "invalid")
    assert app.called == []


def test_an_exempt_target_passes_and_its_neighbours_do_not(port: int, app: App) -> None:
    assert ask(port, "GET", "/health", {}).status == 200
    assert ask(port, "POST", "/health", {}).status == 403
    assert ask(port, "GET", "/health?x=1", {}).status == 403
    assert app.called == [("http", "/health")]


@pytest.mark.parametrize("server", SERVERS)
def test_a_body_whose_last_piece_comes_too_late_is_not_executed(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service begins with the last piece; the head alone in time is not enough."""
    key_file, app = write_key(tmp_path / "fence.key"), App()
    with running(serve(server, Fence(app, key_file))) as port:
        assert ask(port, "POST", "/x", fenced("POST", "/x"), body=b"hello").status == 200
        permit = fenced("POST", "/x")
        late_after(1, monkeypatch)
        answer = ask(port, "POST", "/x", permit, body=b"hello")
    assert (answer.status, answer.kind) == (503, "late")
    assert app.executed == 1


def test_slow_bodies_are_let_pass_where_the_service_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file, app = write_key(tmp_path / "fence.key"), App()
    fence = Fence(app, key_file, slow_bodies=True)
    with running(serve("uvicorn with h11", fence)) as port:
        permit = fenced("POST", "/x")
        late_after(1, monkeypatch)
        assert ask(port, "POST", "/x", permit, body=b"hello").status == 200
        assert ask(port, "POST", "/x", permit, body=b"hello").kind == "late"
    assert app.executed == 1


PIECES: list[Message] = [
    {"type": "http.request", "body": b"hel", "more_body": True},
    {"type": "http.request", "body": b"lo", "more_body": False},
    {"type": "http.request", "body": b"", "more_body": False},
    {"type": "http.disconnect"},
]


async def called_with(app: AsgiApp, tmp_path: Path, pieces: list[Message]) -> list[Message]:
    """What is sent when the body comes in these pieces."""
    sent: list[Message] = []
    left = iter(pieces)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return next(left)

    headers = [(name.encode(), value.encode()) for name, value in fenced("POST", "/x").items()]
    scope = {
        "type": "http", "method": "POST", "path": "/x", "raw_path": b"/x", "query_string": b"",
        "headers": headers,
    }  # fmt: skip
    await Fence(app, write_key(tmp_path / "fence.key"))(scope, receive, send)
    return sent


async def late_body(app: AsgiApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What is sent when an application is called in time and the rest of its body is late."""
    with monkeypatch.context() as patch:
        late_after(3, patch)  # for the permit that is made here, the head, and the first piece
        return await called_with(app, tmp_path, PIECES)


async def test_a_body_in_pieces_reaches_the_application_as_it_came(tmp_path: Path) -> None:
    app = App()
    sent = await called_with(app, tmp_path, PIECES)
    assert sent[-1]["body"] == b"executed hello"


async def test_an_application_that_reads_on_after_the_body_is_not_disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frameworks do, to notice that the client has left; by then the permit may have ended."""

    async def streams(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        late_after(0, monkeypatch)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b"done"})

    sent = await called_with(streams, tmp_path, PIECES)
    assert [message.get("body") for message in sent] == [None, b"done"]


async def test_an_application_that_never_asked_for_its_body_is_not_disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def streams(scope: Message, receive: Receive, send: Send) -> None:
        late_after(0, monkeypatch)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.body", "body": b"done"})

    sent = await called_with(streams, tmp_path, PIECES[2:])
    assert [message.get("body") for message in sent] == [None, b"done"]


@pytest.mark.parametrize("pieces", [PIECES, PIECES[3:]])
async def test_an_application_that_ignores_its_body_does_not_begin_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[Message]
) -> None:
    async def ignores(scope: Message, receive: Receive, send: Send) -> None:
        raise AssertionError("begun")

    late_after(2, monkeypatch)
    assert (await called_with(ignores, tmp_path, pieces))[0]["status"] == 503


async def test_an_application_that_hides_the_error_is_answered_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frameworks turn any error while reading a body into an answer of their own."""

    async def hides(scope: Message, receive: Receive, send: Send) -> None:
        assert (await receive())["more_body"]
        for _ in range(2):
            with pytest.raises(TooLate):
                await receive()
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"bad request"})

    start, body = await late_body(hides, tmp_path, monkeypatch)
    assert start["status"] == 503
    assert b"fence:late" in body["body"]


async def test_a_handler_that_goes_on_after_any_error_does_not_begin_with_half_a_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bytes] = []

    async def shrugs(receive: Receive) -> None:
        with contextlib.suppress(Exception):
            assert (await receive())["more_body"]
            await receive()
        begun.append(b"hel")

    async def in_a_task(scope: Message, receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(shrugs(receive))

    assert (await late_body(in_a_task, tmp_path, monkeypatch))[0]["status"] == 503
    assert begun == []


async def test_an_answer_that_had_begun_is_left_without_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def eager(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        with contextlib.suppress(TooLate):
            await receive()
        await send({"type": "http.response.body", "body": b"done"})

    assert [message["type"] for message in await late_body(eager, tmp_path, monkeypatch)] == [
        "http.response.start"
    ]


def test_lifespan_passes(tmp_path: Path, app: App) -> None:
    fence = Fence(app, write_key(tmp_path / "fence.key"))
    with running(serve("uvicorn with h11", fence)) as port:
        ask(port, "GET", "/", {})
    assert app.lifespan == ["startup", "shutdown"]
    assert app.called == []


def handshake(port: int, permit: dict[str, str]) -> int:
    """A WebSocket handshake: the status of its answer; then the client leaves."""
    lines = [f"{name}: {value}\r\n" for name, value in {**HANDSHAKE, **permit}.items()]
    head = f"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n{''.join(lines)}\r\n"
    with socket.create_connection((HOST, port), timeout=LIMIT_S) as client:
        client.sendall(head.encode())
        return int(client.recv(65536).split()[1])


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("left_ms", "status", "called"), [(FAR_MS, 101, [("websocket", "/ws")]), (0, 503, [])]
)
def test_a_websocket_is_judged_like_a_request(
    tmp_path: Path, app: App, server: str, left_ms: int, status: int, called: list[object]
) -> None:
    fence = Fence(app, write_key(tmp_path / "fence.key"))
    with running(serve(server, fence)) as port:
        assert handshake(port, fenced("GET", "/ws", left_ms=left_ms)) == status
        assert handshake(port, {}) == 403
    assert app.called == called


async def test_a_websocket_is_closed_where_the_server_cannot_send_an_answer(
    tmp_path: Path, app: App
) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "raw_path": b"/ws", "query_string": b"", "headers": []}
    await Fence(app, write_key(tmp_path / "fence.key"))(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert app.called == []


async def test_a_kind_of_connection_that_nobody_can_judge_is_an_error(
    tmp_path: Path, app: App
) -> None:
    async def never(*_: object) -> Any: ...

    with pytest.raises(RuntimeError, match="webtransport"):
        await Fence(app, tmp_path / "fence.key")({"type": "webtransport"}, never, never)
    assert app.called == []


async def test_a_server_without_raw_path_is_told_apart_from_a_bad_permit(
    tmp_path: Path, app: App
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    headers = [(name.encode(), value.encode()) for name, value in fenced("GET", "/x").items()]
    scope = {"type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": headers}
    await Fence(app, write_key(tmp_path / "fence.key"))(scope, receive, send)
    assert sent[0]["status"] == 403
    assert "exact request target" in json.loads(sent[1]["body"])["title"]
    assert app.called == []


@pytest.mark.parametrize("server", SERVERS)
def test_a_root_path_set_at_the_server_changes_nothing(
    tmp_path: Path, app: App, server: str
) -> None:
    fence = Fence(app, write_key(tmp_path / "fence.key"))
    with running(serve(server, fence, "/api")) as port:
        for target in ("/x?y=1", "/x", "/api/x", "/api"):
            assert ask(port, "GET", target, fenced("GET", target)).status == 200, target
        assert ask(port, "GET", "/x", fenced("GET", "/y")).status == 403


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"raw_path": b"/a", "query_string": b""}, [b"/a", b"/a?"]),
        ({"raw_path": b"/a", "query_string": b"x"}, [b"/a?x"]),
        ({"raw_path": b"/r/a", "root_path": "/r", "query_string": b"x"}, [b"/r/a?x", b"/a?x"]),
        ({"raw_path": b"/ra", "root_path": "/r", "query_string": b"x"}, [b"/ra?x"]),
        ({"raw_path": None, "query_string": b"x"}, []),
        ({"query_string": b"x"}, []),
    ],
)
def test_targets_that_a_scope_may_stand_for(scope: Message, expected: list[bytes]) -> None:
    assert targets(scope) == expected
