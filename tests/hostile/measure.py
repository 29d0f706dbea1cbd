"""What an attack costs, counted and not timed; and how a good client fares meanwhile."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import sidecar
from tests.proxy.world import World, request

OURS = str(Path(sidecar.__file__).parent)
READ_BYTES = 256 * 1024  # what an event loop reads from a socket at once


@dataclass
class Work:
    """Calls of functions of the sidecar: the same on every machine."""

    calls: int = 0


@contextmanager
def counted() -> Iterator[Work]:
    """Count the work that the block causes."""
    work = Work()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            work.calls += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield work
    finally:
        sys.setprofile(before)


class Buffers:
    """The most bytes that any client connection has kept, looked at with each request below."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.most = 0

    def look(self) -> None:
        for one in self._world.server._connections:
            self.most = max(self.most, len(one.buffer) + one._unread)


async def served(world: World, times: int = 3) -> None:
    """A good client, on a connection of its own, is answered."""
    client = await world.connect()
    for _ in range(times):
        client.send(request(body=b"good"))
        assert (await client.response()).status == 200
    await client.close()
