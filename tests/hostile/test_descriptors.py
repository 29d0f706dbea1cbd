"""File descriptors run out, in a real process: nobody who is served notices."""

import asyncio
import os
import resource
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from sidecar.proxy.connections import TOLD_MAX
from sidecar.roles import descriptors
from tests.integration.harness import HOST, LIMIT_S, World

WARM = 4  # the default of warmConnections
# Started with other limits, and all it opens is counted; its own loop is what meets the attack.
pytestmark = [pytest.mark.fresh, pytest.mark.asyncio(loop_factories=["uvloop"])]
ROOM = 40  # connections
DESCRIPTORS = descriptors.KEPT + TOLD_MAX + descriptors.UPSTREAMS * WARM + 2 * ROOM
FLOOD = 400
BODY = b'{"model": "m"}'
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\ncontent-type: application/json\r\n"
ASK = POST + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def limited(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The sidecar will be started with few descriptors."""
    real = subprocess.Popen

    def popen(command: list[str], **options: object) -> "subprocess.Popen[bytes]":
        limit = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(DESCRIPTORS)]
        return real([*limit, *command] if "sidecar" in command else command, **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(subprocess, "Popen", popen)
    return world


@asynccontextmanager
async def connected(world: World) -> AsyncIterator[Connected]:
    reader, writer = await asyncio.open_connection(HOST, world.sidecar.inbound)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
def idle(world: World) -> Iterator[Callable[[], None]]:
    """Open one more connection and leave it alone; the kernel takes it, whoever accepts."""
    with ExitStack() as opened:

        def connect() -> None:
            where = HOST, world.sidecar.inbound
            opened.enter_context(closing(socket.create_connection(where, LIMIT_S)))

        yield connect


async def answer(to: Connected) -> bytes:
    """The status line of the answer to one more request on a connection, or nothing."""
    reader, writer = to
    async with asyncio.timeout(LIMIT_S):
        writer.write(ASK)
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
        await reader.readexactly(int(lengths[0].split(b":")[1]))
    return head.split(b"\r\n")[0]


def opened(pid: int) -> list[int]:
    """Its descriptors."""
    return [int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()]


def cpu_ticks(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(stat[11]) + int(stat[12])


async def test_a_flood_never_gets_as_far_as_the_last_descriptor(
    limited: World, idle: Callable[[], None]
) -> None:
    world = limited
    await world.open()
    (lowered,) = [fact for fact in world.sidecar.facts() if fact["event"] == "connections_lowered"]
    assert (lowered["to"], lowered["descriptors"]) == (ROOM, DESCRIPTORS)
    most = 0
    for _ in range(FLOOD):
        idle()
        most = max(most, len(opened(world.sidecar.pid)))
    assert most < DESCRIPTORS - 50
    async with connected(world) as good:
        assert b"200" in await answer(good)
    assert (await world.state())["state"] == "running"
    assert not any("open files" in line for line in world.sidecar.lines())


async def test_without_any_descriptor_it_denies_says_why_and_does_not_spin(
    world: World, idle: Callable[[], None]
) -> None:
    """What the limit on connections cannot see: somebody else took the last ones.

    The audit log cannot go on, so the gate is shut until a restart. Clients never get this far.
    """
    await world.open()
    async with connected(world) as good:
        assert b"200" in await answer(good)
        await world.state()  # its connection stays, too
        pid = world.sidecar.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        async with asyncio.timeout(LIMIT_S):  # what measures the code holds some, too
            while not (await world.state())["runtime"].get("code_sha256"):
                await asyncio.sleep(0.01)
        last = min(max(opened(pid)) for _ in range(20))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (last + 1, before[1]))
        for _ in range(FLOOD):
            idle()
        await world.until_cause("EG702")
        lines, spins = len(world.sidecar.lines()), True
        async with asyncio.timeout(LIMIT_S):
            while spins:  # the flood itself costs something; what spins is never calm
                ticks, began = cpu_ticks(pid), time.monotonic()
                for _ in range(5):
                    assert b"503" in await answer(good)
                    assert (await world.state())["reason"] == "EG702"
                    await asyncio.sleep(0.1)
                spent, took_s = cpu_ticks(pid) - ticks, time.monotonic() - began
                spins = spent >= took_s * TICKS_PER_S / 2
        assert len(world.sidecar.lines()) - lines < 20
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        async with connected(world) as fresh:
            assert b"503" in await answer(fresh)
    world.sidecar.end()
    await world.sidecar.start()
    await world.until(200)
