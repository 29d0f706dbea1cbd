"""Real peers, beats, a service and its clients around real sidecars; each request has an id.

The service writes down which ids reached it, the clients what they were told: what a sidecar
promised, and what it did, known to others than itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from sidecar import clock
from tests import builders
from tests.integration.harness import Hand, Sidecar
from tests.valkey import HOST, ValkeyServer

CLIENTS = 4  # of one sidecar
SERVED_S = 30.0


class Upstream:
    """The service.

    Attributes:
        seen: Path -> decision ids under which it came.
        last_ms: When the last one came.
    """

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {}
        self.last_ms = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen while the block lasts."""
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.last_ms = clock.now().wall
        known = self.seen.setdefault(request.path, [])
        known.append(request.headers.get("x-epochgate-decision-id", "none"))
        return web.Response(text="ok")


class Clients:
    """Ask one sidecar, as fast as it answers, until told to stop.

    Args:
        sidecar: That is asked; it may be gone, or listen elsewhere.
        name: First segment of the paths.

    Attributes:
        prefix: Of all its paths.
        told: Decision ids in answers: what was acknowledged.
        reasons: Of each denial, in order.
        permitted: Answers of the service that came back whole.
        served: Set at each of these.
    """

    def __init__(self, sidecar: Sidecar, name: str) -> None:
        self._sidecar, self.prefix = sidecar, f"/v1/{name}/"
        self._number = 0
        self.told: list[str] = []
        self.reasons: list[str] = []
        self.permitted = 0
        self.served = asyncio.Event()

    @asynccontextmanager
    async def asking(self, count: int = CLIENTS) -> AsyncIterator[None]:
        """So many of them while the block lasts."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._ask_on(session)) for _ in range(count)]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()

    async def until_served(self) -> None:
        """Wait for the next answer of the service.

        Raises:
            TimeoutError: none comes.
        """
        self.served.clear()
        async with asyncio.timeout(SERVED_S):
            await self.served.wait()

    async def ask(self, session: aiohttp.ClientSession) -> str:
        """One request; the reason of its denial, or nothing."""
        self._number += 1
        url = f"{self._sidecar.url}{self.prefix}{self._number}"
        async with session.post(url, json={"model": "m"}) as response:
            decision_id = response.headers.get("x-epochgate-decision-id")
            reason = response.headers.get("x-epochgate-reason", "")
            if decision_id is not None:
                self.told.append(decision_id)
            await response.read()
        if response.status == 200:
            self.permitted += 1
            self.served.set()
        else:
            self.reasons.append(reason)
        return reason

    async def _ask_on(self, session: aiohttp.ClientSession) -> None:
        while True:
            try:
                denied = await self.ask(session)
            except aiohttp.ClientError:
                denied = "nobody listens"
            if denied:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[tuple[Hand, Upstream]]:
    """Three peers, a service, and an epoch for it that is vouched for while the block lasts."""
    servers = tuple(ValkeyServer(folder / f"peer-{index}") for index in range(3))
    upstream = Upstream()
    try:
        for server in servers:
            server.start()
        async with upstream.running():
            hand = Hand(servers)
            hand.put_epoch(routes=builders.routes_bytes(upstream.port))
            hand.pulse()
            hand.start()
            try:
                yield hand, upstream
            finally:
                await hand.stop()
                hand.close()
    finally:
        for server in servers:
            server.stop()
