"""The public port of an authority."""

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sidecar.authority import public


async def _body(request: web.Request) -> web.Response:
    return web.Response(text=str(len(await request.read())))


async def _ask(method: str, path: str, data: bytes = b"") -> tuple[int, str, dict[str, str]]:
    app = public.build([web.post("/size", _body)])
    async with TestClient(TestServer(app)) as client:
        answer = await client.request(method, path, data=data)
        return answer.status, await answer.text(), dict(answer.headers)


async def test_what_is_handed_in_is_served() -> None:
    status, text, headers = await _ask("POST", "/size", b"abc")
    assert (status, text) == (200, "3")
    assert headers["Server"] == "epochgate"
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_anything_else_is_one_line_of_text() -> None:
    status, text, headers = await _ask("GET", "/other")
    assert (status, text) == (404, "Not Found\n")
    assert headers["Server"] == "epochgate"
    assert headers["Content-Type"].startswith("text/plain")


async def test_another_method_is_told_which_one_is_meant() -> None:
    status, _, headers = await _ask("PUT", "/size")
    assert (status, headers["Allow"]) == (405, "POST")


async def test_a_body_that_is_too_long_is_refused() -> None:
    status, _, _ = await _ask("POST", "/size", b"x" * (public.BODY_MAX_BYTES + 1))
    assert status == 413
