"""Other people's servers, each of which says in its answer what it took a request for.

    python -m tests.fuzz.servers NAME      prints its port, serves until its input ends

Every answer is `200` without a body and carries one header, `x-seen`: base64 of JSON with method,
target, header lines, size and SHA-256 of the body. So a HEAD can be answered, too.

| name | parser |
|---|---|
| aiohttp | llhttp |
| uvicorn | h11 |
| uvicorn-httptools | llhttp |
| hypercorn | h11 |
| tornado | its own |
| waitress | its own |
| node | llhttp, as node builds it (only where `node` is installed) |
| nginx | its own, in C (only where `nginx` is installed) |
"""

import asyncio
import base64
import hashlib
import importlib
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

HERE = "127.0.0.1"
Lines = Iterable[tuple[bytes, bytes]]

NODE = """
const http = require('http'), crypto = require('crypto');
const server = http.createServer((req, res) => {
  const body = [];
  req.on('data', (piece) => body.push(piece));
  req.on('end', () => {
    const whole = Buffer.concat(body), lines = [];
    for (let i = 0; i < req.rawHeaders.length; i += 2)
      lines.push([req.rawHeaders[i].toLowerCase(), req.rawHeaders[i + 1]]);
    const seen = {method: req.method, target: req.url, headers: lines, size: whole.length,
      sha256: crypto.createHash('sha256').update(whole).digest('hex')};
    const said = Buffer.from(JSON.stringify(seen)).toString('base64');
    res.writeHead(200, {'content-length': 0, 'x-seen': said});
    res.end();
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
"""

# nginx shows a method, a target and single headers, and throws the body away.
NGINX = """
daemon off; master_process off; pid %(folder)s/pid; error_log stderr crit;
events { worker_connections 256; }
http {
  access_log off; client_max_body_size 0; keepalive_requests 100000; underscores_in_headers on;
  client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy;
  fastcgi_temp_path %(folder)s/f; uwsgi_temp_path %(folder)s/u; scgi_temp_path %(folder)s/s;
  server {
    listen 127.0.0.1:%(port)d;
    add_header x-nginx "$request_method $request_uri $http_host";
    location / { return 200; }
  }
}
"""


def seen(method: str, target: str, lines: Lines | None, body: bytes) -> str:
    """The value of `x-seen`. Without `lines`: this server does not show them as they came."""
    headers = None
    if lines is not None:
        headers = [
            [name.lower().decode("latin-1"), value.decode("latin-1")] for name, value in lines
        ]
    said = {
        "method": method, "target": target, "headers": headers, "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }  # fmt: skip
    return base64.b64encode(json.dumps(said).encode()).decode()


async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application of uvicorn and hypercorn."""
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    target = scope["raw_path"].decode("latin-1")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    said = seen(scope["method"], target, scope["headers"], body)
    headers = [(b"content-length", b"0"), (b"x-seen", said.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def say(port: int) -> None:
    """Tell the port to whoever started this."""
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def listening() -> socket.socket:
    """A listening socket, its port already told."""
    sock = socket.create_server((HERE, 0))
    say(sock.getsockname()[1])
    return sock


def run_uvicorn(http: str) -> None:
    """uvicorn with one of its two parsers."""
    import uvicorn  # noqa: PLC0415 (one process, one server)

    settings = uvicorn.Config(application, http=http, log_level="critical", ws="none")
    uvicorn.Server(settings).run(sockets=[listening()])


def run_hypercorn() -> None:
    """hypercorn."""
    from hypercorn.asyncio import serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415

    settings = Config()
    sock = listening()
    settings.bind = [f"fd://{sock.fileno()}"]
    settings.errorlog = None
    settings.keep_alive_max_requests = 100_000
    asyncio.run(serve(application, settings))  # type: ignore[arg-type]


def run_aiohttp() -> None:
    """aiohttp's low-level server."""
    from aiohttp import web  # noqa: PLC0415

    async def answer(request: web.BaseRequest) -> web.Response:
        said = seen(request.method, request.raw_path, request.raw_headers, await request.read())
        return web.Response(headers={"x-seen": said})

    async def serve() -> None:
        server = web.Server(answer, auto_decompress=False, access_log=None)
        await asyncio.get_running_loop().create_server(server, sock=listening())
        await asyncio.Event().wait()

    asyncio.run(serve())


def run_tornado() -> None:
    """tornado's server without its framework."""
    from tornado.httpserver import HTTPServer  # noqa: PLC0415
    from tornado.httputil import (  # noqa: PLC0415
        HTTPHeaders,
        HTTPServerRequest,
        ResponseStartLine,
    )

    def answer(request: HTTPServerRequest) -> None:
        lines = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in request.headers.get_all()
        ]
        said = seen(str(request.method), str(request.uri), lines, request.body)
        connection = request.connection
        assert connection is not None
        headers = HTTPHeaders({"Content-Length": "0", "X-Seen": said})
        _ = connection.write_headers(ResponseStartLine("HTTP/1.1", 200, "OK"), headers)
        connection.finish()

    async def serve() -> None:
        server = HTTPServer(answer)
        sock = listening()
        sock.setblocking(False)  # noqa: FBT003 (not ours)
        server.add_sockets([sock])
        await asyncio.Event().wait()

    asyncio.run(serve())


def run_waitress() -> None:
    """waitress: WSGI, so names are folded and lines joined before anybody sees them."""
    waitress = importlib.import_module("waitress")  # has no types

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        body = environ["wsgi.input"].read()
        said = seen(environ["REQUEST_METHOD"], environ["REQUEST_URI"], None, body)
        start("200 OK", [("Content-Length", "0"), ("X-Seen", said)])
        return []

    server = waitress.create_server(answer, host=HERE, port=0, threads=1)
    say(server.effective_port)
    server.run()


def run_node() -> None:
    """Becomes node."""
    os.execvp("node", ["node", "-e", NODE])


def run_nginx() -> None:
    """nginx, in a folder of its own that ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="nginx-"))
    with socket.create_server((HERE, 0)) as sock:
        port = sock.getsockname()[1]  # free a moment ago: nginx takes no socket from outside
    (folder / "nginx.conf").write_text(NGINX % {"folder": folder, "port": port})
    command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command) as process:
        _until_open(port)
        say(port)
        sys.stdin.read()
        process.terminate()
    shutil.rmtree(folder, ignore_errors=True)


def _until_open(port: int) -> None:
    for _ in range(1000):
        try:
            socket.create_connection((HERE, port), 5).close()
        except OSError:
            threading.Event().wait(0.01)
        else:
            return
    sys.exit("nginx does not listen")


RUN: dict[str, Callable[[], None]] = {
    "aiohttp": run_aiohttp,
    "uvicorn": lambda: run_uvicorn("h11"),
    "uvicorn-httptools": lambda: run_uvicorn("httptools"),
    "hypercorn": run_hypercorn,
    "tornado": run_tornado,
    "waitress": run_waitress,
    "node": run_node,
    "nginx": run_nginx,
}
PROGRAMS = ("node", "nginx")


def missing() -> tuple[str, ...]:
    """The servers that this machine does not have."""
    return tuple(name for name in PROGRAMS if shutil.which(name) is None)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    logging.disable()  # of refusals, which the other side counts
    if sys.argv[1] not in PROGRAMS:
        threading.Thread(target=_end_with_input, daemon=True).start()
    RUN[sys.argv[1]]()
