"""Real servers in threads, each on a socket that listens before the server is started."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import hypercorn.asyncio
import hypercorn.config
import uvicorn
import waitress.server  # type: ignore[import-untyped]

from tests.fence.caller import HOST, LIMIT_S

Running = Callable[[socket.socket], tuple[Callable[[], Any], Callable[[], Any]]]


@contextmanager
def running(make: Running) -> Iterator[int]:
    """Run `make(socket)`, which gives what to run and what ends it; the port."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        run, end = make(listener)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield port
        finally:
            end()
            thread.join(LIMIT_S)
    assert not thread.is_alive()


def uvicorn_with(app: Any, http: str, root_path: str = "") -> Running:
    def make(listener: socket.socket) -> tuple[Callable[[], Any], Callable[[], Any]]:
        config = uvicorn.Config(
            app, http=http, root_path=root_path, log_config=None, lifespan="on", loop="asyncio",
            ws="wsproto", timeout_graceful_shutdown=2,
        )  # fmt: skip
        server = uvicorn.Server(config)
        return lambda: server.run(sockets=[listener]), lambda: setattr(server, "should_exit", True)

    return make


def hypercorn_with(app: Any, root_path: str = "") -> Running:
    def make(listener: socket.socket) -> tuple[Callable[[], Any], Callable[[], Any]]:
        config = hypercorn.config.Config()
        config.bind = [f"fd://{listener.detach()}"]
        config.root_path = root_path
        config.errorlog = None
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()
        serving = hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)

        def run() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serving)

        return run, lambda: loop.call_soon_threadsafe(stop.set)

    return make


def waitress_with(app: Any) -> Running:
    def make(listener: socket.socket) -> tuple[Callable[[], Any], Callable[[], Any]]:
        channels: dict[int, Any] = {}
        ended = threading.Event()
        server = waitress.server.create_server(app, map=channels, sockets=[listener], threads=1)

        def run() -> None:
            while not ended.is_set():
                server.asyncore.loop(timeout=0.02, map=channels, count=1)
            server.task_dispatcher.shutdown()
            for channel in list(channels.values()):
                channel.close()

        return run, ended.set

    return make


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None: ...


def wsgiref_with(app: Any) -> Running:
    """The server of the standard library: it does not tell the raw target."""

    def make(listener: socket.socket) -> tuple[Callable[[], Any], Callable[[], Any]]:
        server = WSGIServer((HOST, 0), _Quiet, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        server.server_name, server.server_port = HOST, listener.getsockname()[1]
        server.setup_environ()
        server.set_app(app)
        return lambda: server.serve_forever(poll_interval=0.02), server.shutdown

    return make
