"""The data plane between a client and a service, all in one loop, with every byte kept."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import SupportsIndex, cast

from sidecar.config import sections
from tests.proxy.world import Service, World

QUIET_TURNS = 12  # of the loop that everything runs in; a whole exchange takes about six


class Disagreement(AssertionError):  # noqa: N818 (no error of ours: what the run is for)
    """Two readers of the same bytes saw different requests."""


class Kept(asyncio.StreamReader):
    """Keeps every byte beside handing it on."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = bytearray()
        self.ended = False

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        self.raw.extend(data)
        super().feed_data(data)


class Tap(Service):
    """The service behind, which keeps the bytes of each connection as they came."""

    def __init__(self) -> None:
        super().__init__()
        self.open = 0
        self._kept: list[Kept] = []

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def take(self) -> list[bytes]:
        """What came on each connection since the last time."""
        taken = [bytes(kept.raw) for kept in self._kept if kept.raw]
        self._kept = [kept for kept in self._kept if not kept.ended]
        for kept in self._kept:
            kept.raw.clear()
        return taken

    @property
    def waiting(self) -> int:
        """How many bytes came since the last time."""
        return sum(len(kept.raw) for kept in self._kept)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        kept = Kept()
        self._kept.append(kept)
        return asyncio.StreamReaderProtocol(kept, self._counted)

    async def _counted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            await self._serve(reader, writer)
        finally:
            self.open -= 1
            cast("Kept", reader).ended = True


async def settled(world: World) -> None:
    """Give the loop turns until nothing moves any more."""
    tap, last, quiet = cast("Tap", world.service), (-1, -1, -1), 0
    while quiet < QUIET_TURNS:
        await asyncio.sleep(0)
        now = (len(world.recorder.decisions), tap.waiting, world.server.in_flight)
        quiet = quiet + 1 if now == last else 0
        last = now


def cut_up(rng: random.Random, data: bytes) -> list[bytes]:
    """In one piece, or in two to four."""
    edges = sorted(rng.randint(0, len(data)) for _ in range(rng.choice((0, 0, 1, 3))))
    return [data[a:b] for a, b in zip([0, *edges], [*edges, len(data)], strict=True) if a < b]


@asynccontextmanager
async def tapped() -> AsyncIterator[tuple[World, Tap]]:
    """A running data plane in front of a service that keeps what it is sent."""
    settings = sections.Proxy(inbound=sections.Address("127.0.0.1", 0), warm_connections=1)
    world, tap = World(settings), Tap()
    world.service = tap
    await world.start()
    try:
        yield world, tap
    finally:
        await world.close()
    assert (world.server.in_flight, world.server.upstream_connections) == (0, 0)
