"""The status port: GET /livez, /readyz, /metrics, /v1/state. Read-only, no secrets, no switches.

* It is up before the first lease and while the gate is closed: that is when people look.
* /livez answers as long as the event loop turns. It never depends on governance: restarting a pod
  opens nothing.
* Nothing in a request is used but method and path (and Accept, for the form of the metrics). The
  Host header is not looked at, nothing is redirected, and there are no CORS headers.
* What is served is handed in as plain callables; this file knows no other part of the program.

Source: conventions 11-H; Kubernetes probes.
"""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from sidecar.config.sections import Address
from sidecar.core.reason import Reason

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(
    *,
    not_ready: Callable[[], Reason | None],
    state: Callable[[], Mapping[str, object]],
    metrics: Callable[[str], tuple[bytes, str]],
) -> web.Application:
    """The application behind the status port.

    Args:
        not_ready: Why the process has never been able to do its work, or None.
        state: JSON-ready description.
        metrics: Accept header -> exposition and content type.
    """

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        reason = not_ready()
        body: dict[str, object] = {"status": "ok" if reason is None else "not ready"}
        if reason is not None:
            body |= {"reason": reason.code, "title": reason.title}
        if "verbose" in request.query:
            body["state"] = state()
        return web.json_response(body, status=200 if reason is None else 503)

    async def exposition(request: web.Request) -> web.Response:
        body, content_type = metrics(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def describe(_: web.Request) -> web.Response:
        return web.json_response(state())

    app = web.Application(middlewares=[_errors_as_json])
    for path, handler in (
        ("/livez", livez),
        ("/readyz", readyz),
        ("/metrics", exposition),
        ("/v1/state", describe),
    ):
        app.router.add_get(path, handler, allow_head=False)
    app.on_response_prepare.append(_plain_headers)
    return app


async def start(app: web.Application, where: Address) -> tuple[web.AppRunner, int]:
    """Listen.

    Returns:
        What to `await .cleanup()` at the end, and the port in use.

    Raises:
        OSError: when the address cannot be bound.
    """
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, where.host, where.port)
    try:
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    port: int = runner.addresses[0][1]
    return runner, port


@web.middleware
async def _errors_as_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        body = {"status": error.status, "error": error.reason}
        return web.json_response(body, status=error.status, headers=headers)


async def _plain_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "epochgate"  # aiohttp would name its version and Python's
