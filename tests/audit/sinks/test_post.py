"""What an answer means, with a real server; and what is sent to it."""

from pathlib import Path

import pytest
from aiohttp import web

from sidecar.audit.sinks.outlet import RefusedError, SinkError, TooLargeError
from sidecar.audit.sinks.post import ANSWER_BYTES, Post
from sidecar.roles.sinks import in_thread
from tests.audit.sinks.parts import Receiver, settings


def post(receiver: Receiver, **changes: object) -> Post:
    return Post(settings("http", receiver.url, **changes), "application/json", in_thread("test"))


async def test_a_batch_is_compressed_and_bears_the_token(receiver: Receiver) -> None:
    made = post(receiver, secret="hunter2")
    receiver.body = b"thanks"
    assert await made.send(lambda: b"[1]") == b"thanks"
    await made.close()
    [request] = receiver.requests
    assert receiver.bodies == [b"[1]"]
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == "Bearer hunter2"
    assert request.headers["User-Agent"].startswith("epochgate/")


@pytest.mark.parametrize(
    ("status", "retry", "kind", "wait_s"),
    [
        (408, None, SinkError, 0), (425, None, SinkError, 0), (429, "7", SinkError, 7),
        (500, None, SinkError, 0), (503, "120", SinkError, 120), (502, "soon", SinkError, 0),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", SinkError, 0), (413, None, TooLargeError, 0),
        (400, "5", RefusedError, 0), (401, None, RefusedError, 0), (404, None, RefusedError, 0),
        (307, None, RefusedError, 0), (304, None, RefusedError, 0),
    ],
)  # fmt: skip
async def test_an_answer_that_is_no_2xx_is_no_acknowledgement(
    receiver: Receiver, status: int, retry: str | None, kind: type[SinkError], wait_s: float
) -> None:
    headers = {"Location": receiver.url} | ({} if retry is None else {"Retry-After": retry})
    receiver.answers = [web.Response(status=status, headers=headers)]
    made = post(receiver)
    with pytest.raises(SinkError) as failed:
        await made.send(lambda: b"[]")
    await made.close()
    assert type(failed.value) is kind
    assert (str(failed.value), failed.value.wait_s) == (f"answered {status}", wait_s)
    assert len(receiver.requests) == 1, "redirections are not followed"


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_every_2xx_is_one(receiver: Receiver, status: int) -> None:
    receiver.answers = [web.Response(status=status)]
    made = post(receiver)
    assert await made.send(lambda: b"[]") == b""
    await made.close()


async def test_no_more_of_an_answer_is_read_than_can_matter(receiver: Receiver) -> None:
    receiver.body = b"x" * (3 * ANSWER_BYTES)
    made = post(receiver)
    assert len(await made.send(lambda: b"[]")) == ANSWER_BYTES
    receiver.body = b"ok"
    assert await made.send(lambda: b"[]") == b"ok", "what was left unread is not the next answer"
    await made.close()


async def test_a_receiver_without_tls_where_tls_is_wanted(receiver: Receiver) -> None:
    url = receiver.url.replace("http://", "https://")
    made = Post(settings("http", url), "application/json", in_thread("test"))
    with pytest.raises(SinkError, match="TLS failed"):
        await made.send(lambda: b"[]")
    await made.close()


def test_certificates_that_cannot_be_read_are_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Post(settings("http", "https://h/", ca_file=tmp_path / "none"), "x", in_thread("test"))
