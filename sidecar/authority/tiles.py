"""Hands out the governance log: the static files of C2SP tlog-tiles, below /log.

Rules:

* Only a path that names a checkpoint, a tile or a bundle in its one canonical form leads to a file;
  it is put together anew from what was read of it, so nothing of a request reaches the disk.
* What a path names never changes, but for the checkpoint, which nobody may keep.

Source: C2SP tlog-tiles v1.0.0.
"""

import asyncio
from pathlib import Path

from aiohttp import web

from sidecar.core.log import tiles

PREFIX = "/log/"
CHECKPOINT = "checkpoint"
# A part may be asked for until it is full, and is not worth keeping after that.
_KEEP = {"Cache-Control": "public, max-age=31536000, immutable"}
_KEEP_PART = {"Cache-Control": "public, max-age=3600"}
_NEVER_KEEP = {"Cache-Control": "no-store"}


def routes(folder: Path) -> list[web.RouteDef]:
    """What answers below /log.

    Args:
        folder: Where the files lie; need not exist yet.
    """

    async def checkpoint(_: web.Request) -> web.Response:
        body = await asyncio.to_thread(_read, folder / CHECKPOINT)
        return web.Response(
            body=body, content_type="text/plain", charset="utf-8", headers=_NEVER_KEEP
        )

    async def tile(request: web.Request) -> web.Response:
        asked = tiles.parse(request.rel_url.raw_path.removeprefix(PREFIX))
        if asked is None:
            raise web.HTTPNotFound
        body = await asyncio.to_thread(_read, folder / tiles.path(*asked))
        keep = _KEEP if asked.width == tiles.WIDTH else _KEEP_PART
        return web.Response(body=body, content_type="application/octet-stream", headers=keep)

    return [
        web.get(PREFIX + CHECKPOINT, checkpoint),
        web.get(PREFIX + "tile/{path:.+}", tile),
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise web.HTTPNotFound from None
