"""Real WSGI servers, a client that sends its request line byte for byte."""

import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from sidecar.fence.wsgi import (
    MEMORY_BYTES,
    Environ,
    Fence,
    StartResponse,
    take_body,
    targets,
)
from tests.fence.caller import TARGETS, ask, fenced, late_after, write_key
from tests.fence.servers import running, waitress_with, wsgiref_with


class App:
    """Writes down what it was called with, and says so."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.bodies: list[bytes] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.called.append(environ["PATH_INFO"])
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.bodies.append(body)
        start_response("200 OK", [("content-type", "text/plain")])
        return [b"executed " + body]


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def port(app: App, tmp_path: Path) -> Iterator[int]:
    fence = Fence(app, write_key(tmp_path / "fence.key"), exempt=["/health"])
    with running(waitress_with(fence)) as port:
        yield port


def test_a_permitted_request_is_executed_with_its_body(port: int, app: App) -> None:
    answer = ask(port, "POST", "/v1/chat", fenced("POST", "/v1/chat"), body=b"hello")
    assert (answer.status, answer.body) == (200, b"executed hello")
    assert app.called == ["/v1/chat"]


def test_the_exact_target_is_recovered_whatever_its_spelling(port: int, app: App) -> None:
    for target in TARGETS:
        assert ask(port, "GET", target, fenced("GET", target)).status == 200, target
    assert len(app.called) == len(TARGETS)


def test_a_permit_for_another_spelling_of_the_target_is_refused(port: int, app: App) -> None:
    for asked, permitted in [("/a/b", "/a%2Fb"), ("/a%2Fb", "/a/b"), ("/a?", "/a"), ("/a", "/b")]:
        assert ask(port, "GET", asked, fenced("GET", permitted)).kind == "invalid", asked
    assert app.called == []


def test_a_late_request_is_refused_and_not_executed(port: int, app: App) -> None:
    answer = ask(port, "POST", "/x", fenced("POST", "/x", left_ms=0), body=b"hello")
    assert (answer.status, answer.kind) == (503, "late")
    assert app.called == []


def test_a_request_that_did_not_come_through_the_gate_is_refused(port: int, app: App) -> None:
    answer = ask(port, "POST", "/x", {}, body=b"hello")
    assert (answer.status, answer.kind) == (403, "missing")
    assert ask(port, "HEAD", "/x", {}).body == b""
    assert app.called == []


@pytest.mark.parametrize("name", sorted(fenced()))
def test_a_field_that_comes_twice_is_refused(port: int, app: App, name: str) -> None:
    headers = fenced("POST", "/x")
    answer = ask(port, "POST", "/x", headers, f"{name}: {headers[name]}")
    assert (answer.status, answer.kind) == (403, "invalid")
    assert app.called == []


def test_an_exempt_target_passes_and_its_neighbours_do_not(port: int, app: App) -> None:
    assert ask(port, "GET", "/health", {}).status == 200
    assert ask(port, "POST", "/health", {}).status == 403
    assert ask(port, "GET", "/health?x=1", {}).status == 403
    assert app.called == ["/health"]


def test_a_body_whose_last_piece_comes_too_late_is_not_executed(
    port: int, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service begins with the last piece; the head alone in time is not enough."""
    permit = fenced("POST", "/x")
    late_after(1, monkeypatch)
    answer = ask(port, "POST", "/x", permit, body=b"hello")
    assert (answer.status, answer.kind) == (503, "late")
    assert app.called == []


def test_slow_bodies_are_let_pass_where_the_service_says_so(
    tmp_path: Path, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = Fence(app, write_key(tmp_path / "fence.key"), slow_bodies=True)
    with running(waitress_with(fence)) as port:
        permit = fenced("POST", "/x")
        late_after(1, monkeypatch)
        assert ask(port, "POST", "/x", permit, body=b"hello").status == 200
        assert ask(port, "POST", "/x", permit, body=b"hello").kind == "late"
    assert app.called == ["/x"]


@pytest.mark.parametrize("size", [0, 1, MEMORY_BYTES, MEMORY_BYTES + 1, 3 * MEMORY_BYTES])
def test_the_application_gets_the_body_whole(port: int, app: App, size: int) -> None:
    body = bytes(index % 251 for index in range(1021)) * (size // 1021 + 1)
    answer = ask(port, "POST", "/x", fenced("POST", "/x"), body=body[:size])
    assert answer.status == 200
    assert app.bodies == [body[:size]]


def environment(source: bytes, **more: Any) -> Environ:
    permit = {name.upper().replace("-", "_"): value for name, value in fenced("POST", "/x").items()}
    return {
        "REQUEST_METHOD": "POST", "RAW_URI": "/x", "PATH_INFO": "/x", "wsgi.input": BytesIO(source),
        **{f"HTTP_{name}": value for name, value in permit.items()}, **more,
    }  # fmt: skip


def test_a_body_that_was_cut_short_is_not_executed(tmp_path: Path, app: App) -> None:
    """A sidecar that cuts an upload leaves half a body behind; servers hand it on as it is."""
    told: list[str] = []
    fence = Fence(app, write_key(tmp_path / "fence.key"))
    environ = environment(b"hel", CONTENT_LENGTH="5")
    [body] = fence(environ, lambda status, _: told.append(status))
    assert told == ["403 Forbidden"]
    assert b"ended before" in body
    assert app.called == []


def test_a_body_without_length_is_taken_only_from_a_server_that_knows_its_end() -> None:
    for more, expected in [({}, b""), ({"wsgi.input_terminated": True}, b"hello")]:
        body, complete = take_body(environment(b"hello", **more))
        assert (body.read(), complete) == (expected, True)


def test_a_large_body_is_closed_with_the_answer(tmp_path: Path) -> None:
    kept: list[Any] = []

    class Chunks(list[bytes]):
        def close(self) -> None:
            kept.append("closed")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        kept.append(environ["wsgi.input"])
        return Chunks([b"ok"])

    size = MEMORY_BYTES + 1
    fence = Fence(app, write_key(tmp_path / "fence.key"))
    answer: Any = fence(environment(bytes(size), CONTENT_LENGTH=str(size)), lambda *_: None)
    assert list(answer) == [b"ok"]
    assert not kept[0].closed
    answer.close()
    assert kept[0].closed
    assert kept[1] == "closed"


def test_a_server_that_does_not_tell_the_raw_target_gets_nothing_executed(
    tmp_path: Path, app: App
) -> None:
    fence = Fence(app, write_key(tmp_path / "fence.key"), exempt=["/health"])
    with running(wsgiref_with(fence)) as port:
        answer = ask(port, "GET", "/x", fenced("GET", "/x"))
        assert ask(port, "GET", "/health", {}).status == 403
    assert (answer.status, answer.kind) == (403, "invalid")
    assert "exact request target" in json.loads(answer.body)["title"]
    assert app.called == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"RAW_URI": "/a%2Fb?x"}, [b"/a%2Fb?x"]),
        ({"REQUEST_URI": "/a%2Fb?x"}, [b"/a%2Fb?x"]),
        ({"RAW_URI": "", "PATH_INFO": "/a"}, []),
        ({"HTTP_RAW_URI": "/a", "PATH_INFO": "/a"}, []),
    ],
)
def test_the_target_comes_from_the_server_and_never_from_the_client(
    environ: dict[str, Any], expected: list[bytes]
) -> None:
    assert targets(environ) == expected
