"""The public port of an authority: where its witness and its governance log answer.

Apart from the status port, because it faces other people: sidecars that have heads cosigned, and
whoever wants to check what was signed. What is served is handed in as routes; nothing here is a
secret, and nothing that is asked for changes what the fleet may do.

Source: C2SP tlog-witness and tlog-tiles; protocol b.13.
"""

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

BODY_MAX_BYTES = 64 * 1024  # of a request: a checkpoint and 63 lines of proof are a few KiB

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(routes: Iterable[web.RouteDef]) -> web.Application:
    """The application behind the public port; errors are one line of text."""
    app = web.Application(middlewares=[_errors_as_text], client_max_size=BODY_MAX_BYTES)
    app.router.add_routes(routes)
    app.on_response_prepare.append(_plain_headers)
    return app


@web.middleware
async def _errors_as_text(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return web.Response(text=f"{error.reason}\n", status=error.status, headers=headers)


async def _plain_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "epochgate"  # aiohttp would name its version and Python's
