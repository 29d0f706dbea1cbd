"""The files of a governance log, handed out by strict paths."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from sidecar.authority import public, tiles

FULL = "tile/0/x001/234"
PART = "tile/entries/000.p/7"


@pytest.fixture
async def ask(tmp_path: Path) -> AsyncIterator[object]:
    folder = tmp_path / "tiles"
    for path, body in (("checkpoint", b"c\n"), (FULL, b"f" * 8192), (PART, b"p")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)
    (tmp_path / "secret").write_bytes(b"s")
    (folder / "tile" / "0" / "secret").write_bytes(b"s")
    app = public.build(tiles.routes(folder))
    async with TestClient(TestServer(app)) as client:

        async def get(path: str, method: str = "GET") -> ClientResponse:
            url = URL(f"http://127.0.0.1:{client.port}{path}", encoded=True)
            return await client.session.request(method, url)

        yield get


async def test_the_checkpoint_is_text_that_nobody_keeps(ask) -> None:  # type: ignore[no-untyped-def]
    answer = await ask("/log/checkpoint")
    assert (answer.status, await answer.read()) == (200, b"c\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_full_tile_may_be_kept_for_ever_and_a_part_for_a_while(ask) -> None:  # type: ignore[no-untyped-def]
    full, part = await ask(f"/log/{FULL}"), await ask(f"/log/{PART}")
    assert (full.status, await full.read()) == (200, b"f" * 8192)
    assert full.headers["Content-Type"] == "application/octet-stream"
    assert full.headers["Cache-Control"].endswith("immutable")
    assert (part.status, await part.read()) == (200, b"p")
    assert part.headers["Cache-Control"] == "public, max-age=3600"


@pytest.mark.parametrize(
    "path",
    [
        "/log/", "/log/tile/", "/log/tile/0/000", "/log/tile/0/secret", "/log/tile/0/x001/234/",
        "/log/tile/0/x1/234", "/log/tile/00/x001/234", "/log/tile/0/x001/234.p/256",
        "/log/tile/entries/000.p/07", "/log/tile/entries/000.p/0", "/log/tile/../../secret",
        "/log/tile/%2e%2e/%2e%2e/secret", "/log/tile/0/%2e%2e/0/x001/234", "/log//tile/0/x001/234",
        "/log/tile/64/000", "/log/checkpoint/", "/log/tile/0/x001%2f234", "/tile/0/x001/234",
    ],
)  # fmt: skip
async def test_any_other_path_is_nothing(ask, path: str) -> None:  # type: ignore[no-untyped-def]
    answer = await ask(path)
    assert answer.status == 404
    assert await answer.read() == b"Not Found\n"


async def test_nothing_can_be_written(ask) -> None:  # type: ignore[no-untyped-def]
    assert (await ask("/log/checkpoint", "PUT")).status == 405
    assert (await ask(f"/log/{FULL}", "HEAD")).status == 200
