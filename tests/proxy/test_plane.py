"""What connections share."""

from dataclasses import replace

from sidecar.core.snapshot import CLOSED
from sidecar.proxy.plane import Stamp
from tests.proxy.world import running


async def test_the_stamp_is_made_once_per_snapshot() -> None:
    async with running() as world:
        plane = world.server._plane
        snapshot = world.gate.snapshot
        stamp = plane.stamp_for(snapshot)
        assert plane.stamp_for(snapshot) is stamp
        assert plane.stamp_for(replace(snapshot)) is not stamp
        assert b"x-epochgate-epoch: 1\r\n" in stamp.upstream
        assert stamp.downstream.startswith(b"x-epochgate-decision: permit\r\n")


def test_a_snapshot_without_a_lease_has_epoch_0() -> None:
    assert b"x-epochgate-epoch: 0\r\n" in Stamp(CLOSED).upstream
