"""The services behind: uvicorn, with or without the fence, writing down when each request came.

    python -m tests.late.service LOG '[{"lane": "a", "http": "h11", "key_file": null}]'

The kernel stamps each segment when it is handed over, so the log says when a request was *written*,
however late this process gets round to reading it. A fenced lane has its own server with the
middleware around the application; outside of both is what writes the log.
"""

import asyncio
import contextlib
import json
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

import uvicorn

from sidecar.fence.asgi import Fence

HOST = "127.0.0.1"
SO_TIMESTAMPNS = 35  # the module `socket` does not name it; the number is Linux's on all we run on
LENGTH = [(b"content-length", b"8")]
TIMESPEC = struct.Struct("@qq")
SINCE_DATA = struct.Struct("@52xI")  # tcpi_last_data_recv of struct tcp_info, ms
TICKS_MS = 20  # two ticks of the slowest kernel


class StampedSocket(socket.socket):
    """Remembers for each client port when the kernel got the latest bytes; ns since 1970. Where
    that is not known exactly, it is earlier: nothing is called late that may have been in time."""

    stamps: dict[int, int]

    def accept(self) -> tuple["StampedSocket", Any]:
        number, address = self._accept()  # type: ignore[attr-defined]
        accepted = StampedSocket(self.family, self.type, self.proto, fileno=number)
        accepted.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        accepted.stamps = self.stamps
        return accepted, address

    def recv(self, size: int, flags: int = 0) -> bytes:
        data, ancillary, _, _ = self.recvmsg(size, socket.CMSG_SPACE(TIMESPEC.size), flags)
        for level, kind, value in ancillary:
            if data and (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = TIMESPEC.unpack(value[: TIMESPEC.size])
                stamp = seconds * 1_000_000_000 + nanoseconds
                self.stamps[self.getpeername()[1]] = min(stamp, self._surely())
        return data

    def _surely(self) -> int:
        """When the latest bytes came at the latest, or earlier.

        An end of the connection that comes before its bytes were read is merged with them, and the
        stamp is then its own. The kernel also counts time since the last bytes, in whole ticks.
        """
        watch = select.poll()
        watch.register(self, select.POLLRDHUP)
        if not watch.poll(0):
            return sys.maxsize
        info = self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SINCE_DATA.size)
        since_ms = int(SINCE_DATA.unpack(info)[0])
        return time.time_ns() - (since_ms + TICKS_MS) * 1_000_000


def listen() -> StampedSocket:
    listener = StampedSocket()
    listener.stamps = {}
    listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    listener.bind((HOST, 0))
    listener.listen(128)
    return listener


async def execute(scope: Any, receive: Any, send: Any) -> None:
    """The application: what must not run late."""
    while (await receive()).get("more_body"):
        pass
    scope["entry"]["executed"] = True
    await send({"type": "http.response.start", "status": 200, "headers": LENGTH})
    await send({"type": "http.response.body", "body": b"executed"})


class Logged:
    """Around fence and application: one line for each request."""

    def __init__(self, lane: str, app: Any, stamps: dict[int, int], log: TextIO) -> None:
        self._lane, self._app, self._stamps, self._log = lane, app, stamps, log

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        boot, wall = (
            time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            time.time_ns(),
        )  # in this order
        fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        entry = scope["entry"] = {
            "lane": self._lane, "id": fields.get("x-epochgate-decision-id"),
            "not_after": fields.get("x-epochgate-not-after"), "point": fields.get("x-point", ""),
            "number": fields.get("x-number", ""),
            "arrived_boot_ns": boot, "arrived_wall_ns": wall,
            "executed": False, "status": 0,
        }  # fmt: skip

        async def noted(message: Any) -> None:
            entry["status"] = message.get("status", entry["status"])
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            # Of the latest segment: a request is written when its last piece is.
            entry["written_wall_ns"] = self._stamps.get(scope["client"][1])
            self._log.write(json.dumps(entry) + "\n")


class Server(uvicorn.Server):
    """One of several in a process: signals are for all of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def main(log: TextIO, lanes: list[dict[str, Any]]) -> None:
    serving: list[Any] = []
    servers: list[Server] = []
    ports: dict[str, int] = {}
    for lane in lanes:
        listener = listen()
        app = Fence(execute, lane["key_file"]) if lane["key_file"] else execute
        logged = Logged(lane["lane"], app, listener.stamps, log)
        config = uvicorn.Config(
            logged, http=lane["http"], log_config=None, lifespan="off", timeout_keep_alive=600,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = Server(config)
        ports[lane["lane"]] = listener.getsockname()[1]
        servers.append(server)
        serving.append(server.serve(sockets=[listener]))

    def end() -> None:
        for server in servers:
            server.should_exit = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    print(json.dumps(ports), flush=True)  # noqa: T201
    await asyncio.gather(*serving)


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as file:  # noqa: PTH123
        asyncio.run(main(file, json.loads(sys.argv[2])))
