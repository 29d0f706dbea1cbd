"""What the tests of sinks share: a real journal, a real receiver over HTTP, a pump in between."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from sidecar.audit.sinks import feed
from sidecar.audit.sinks.cursor import Cursor
from sidecar.audit.sinks.feed import Entry
from sidecar.audit.sinks.outlet import Outlet
from sidecar.audit.sinks.pump import Pump
from sidecar.audit.sinks.sealed import Sealed
from sidecar.config import sections
from sidecar.core.instant import Now
from sidecar.core.log.record import FIRST_PREV
from sidecar.roles.sinks import in_thread
from tests import builders
from tests.audit.journals import KEY, ORIGIN

HOST = "127.0.0.1"
START = Cursor(log=ORIGIN, number=0, offset=0, prev=FIRST_PREV, seq=0)


class Clock:
    """Stands still until moved."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> Now:
        return builders.now(self.ms)


def entries(folder: Path, signed: int) -> tuple[Entry, ...]:
    """All records of a journal that are signed."""
    return feed.read(folder, START, signed, signed).entries


def invented(count: int) -> tuple[Entry, ...]:
    """Entries that no journal holds, of a usual size."""
    return tuple(Entry(seq, 0, b'{"seq":%d,"x":"%s"}' % (seq, b"x" * 600)) for seq in range(count))


def settings(kind: str, url: str | None = None, **changes: Any) -> sections.Sink:
    """A sink of the configuration."""
    return sections.Sink(**{"name": "s", "kind": kind, "url": url, **changes})


class Receiver:
    """A real HTTP server that keeps what it acknowledged.

    Attributes:
        answers: What to say to the next requests, instead of 200.
        bodies: Acknowledged, decompressed.
        requests: All that came.
    """

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.always: Callable[[bytes], int] = lambda _: 200
        self.body = b""
        self.bodies: list[bytes] = []
        self.requests: list[web.Request] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/logs"

    async def start(self) -> None:
        """Listen; on the same port again after a stop."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/logs", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        raw = await request.read()  # aiohttp decompresses, as Content-Encoding says
        self.requests.append(request)
        if self.answers:
            return self.answers.pop(0)
        status = self.always(raw)
        if status == 200:
            self.bodies.append(raw)
        return web.Response(status=status, body=self.body)


class Kept(Outlet):
    """An outlet that keeps what it was sent, and fails when told to.

    Attributes:
        fail: Raised instead of taking the next batches, one after the other.
        always: Raised for every batch, once there is nothing left in `fail`.
        hang_at: Not to answer any more, once it has so many.
        lose: How many of each batch it says that it throws away.
    """

    def __init__(self) -> None:
        self.fail: list[Exception] = []
        self.always: Exception | None = None
        self.hang_at = -1
        self.lose = 0
        self.seqs: list[int] = []
        self.sizes: list[int] = []
        self.tries = 0

    async def send(self, log: str, entries: Sequence[Entry]) -> int:
        self.tries += 1
        if len(self.seqs) == self.hang_at:
            await asyncio.Event().wait()
        if self.fail:
            raise self.fail.pop(0)
        if self.always is not None:
            raise self.always
        self.seqs += [entry.seq for entry in entries]
        self.sizes.append(len(entries))
        return self.lose

    async def close(self) -> None: ...


class Line:
    """A pump from a journal to an outlet, and what it told people."""

    def __init__(self, folder: Path, outlet: Outlet, clock: Clock, timeout_ms: int = 5000) -> None:
        self.told: list[tuple[str, dict[str, object]]] = []
        self.sealed = Sealed(folder, KEY, clock)
        self.path = folder.parent / "cursor.json"
        self.pump = Pump(
            self.sealed, outlet, self.path, timeout_ms=timeout_ms, thread=in_thread("test"),
            clock=clock, draw=os.urandom, told=self._tell,
        )  # fmt: skip
        self.look()
        self.pump.open()

    def _tell(self, what: str, _: str, fields: dict[str, object]) -> None:
        self.told.append((what, fields))

    def look(self) -> None:
        """See how far the log is signed."""
        self.sealed.begin()
        self.sealed.take(self.sealed.look())

    async def run(self, until: Callable[[], bool] | None = None) -> None:
        """Run until nothing waits, or until something holds; then store where it is."""
        task = asyncio.get_running_loop().create_task(self.pump.run())
        try:
            async with asyncio.timeout(10):
                if until is None:
                    await self.pump.idle.wait()
                else:
                    while not until():
                        await asyncio.sleep(0.002)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.pump.close()
