"""Reasons that need a slow disk, or a bug."""

import asyncio

import aiohttp
import pytest

from sidecar import clock
from sidecar.config import sections
from sidecar.core.gate import Gate, Permit
from sidecar.core.instant import BootNs, WallMs
from sidecar.core.lease import Lease
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Snapshot
from sidecar.proxy.server import Server
from tests import builders
from tests.integration.harness import HOST, World
from tests.integration.reasons import produces


@produces(Reason.AUDIT_BACKPRESSURE)
@pytest.mark.sidecar(audit={"syncPeriod": "1ms", "unsyncedMax": "1ms"})
async def test_records_that_wait_too_long_for_the_disk_hold_the_gate(world: World) -> None:
    """No disk flushes within a millisecond of every write, so under load the bound is broken."""
    world.hand.put_epoch(routes=world.routes)
    world.hand.start()
    await world.sidecar.start()
    await world.until(200)
    told: set[str] = set()

    async def ask() -> None:
        while "EG703" not in told:
            told.add((await world.ask())[1])

    async with asyncio.timeout(15), asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(ask())
    await world.until(200)


class _Broken:
    """A recorder with a bug in the path of a permit."""

    def decision(self, decision: object, *_: object) -> str:
        if isinstance(decision, Permit):
            raise RuntimeError("a bug")  # noqa: TRY004 - the kind does not matter
        return "denied-1"

    def receipt(self, _: str) -> bytes:
        return b""

    def when_durable(self, _: object) -> None: ...

    def outcome(self, *_: object, **__: object) -> None: ...


class _Silent:
    """Counts nothing."""

    def finished(self, *_: object, observed: object = None) -> None: ...

    def stream_cut(self, *_: object) -> None: ...

    def malformed(self, *_: object) -> None: ...


@produces(Reason.INTERNAL_ERROR)
async def test_a_bug_in_the_hot_path_denies_and_forwards_nothing(world: World) -> None:
    """The real data plane with a broken part: no configuration can provoke a bug."""
    epoch = world.hand.put_epoch(routes=world.routes)
    beat = builders.open_beat(world.hand.beat(), world.hand.trust, clock.now().wall)
    far = 2**62
    lease = Lease(epoch.seq, epoch.sha256, beat, (), BootNs(far), WallMs(far), "clock")
    routes = builders.routes.parse(world.routes)
    policy = builders.policy.parse(builders.POLICY)
    gate = Gate()
    gate.publish(Snapshot(lease=lease, routes=routes, policy=policy))
    proxy = sections.Proxy(sections.Address(HOST, 0))
    server = Server(proxy, gate, clock.now, _Broken(), _Silent())
    _, port = await server.start()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://{HOST}:{port}/v1/chat/completions", json={}) as response,
        ):
            assert response.status == 503
            assert response.headers["x-epochgate-reason"] == "EG906"
    finally:
        await server.close()
    assert not world.service.requests
