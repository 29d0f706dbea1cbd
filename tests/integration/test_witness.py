"""An epoch says how far the audit log may lag, through the real sidecar and a real witness."""

import asyncio
from pathlib import Path

import pytest

from sidecar.audit import checkpoints
from sidecar.core.log import checkpoint, cosignature
from sidecar.core.objects import report
from sidecar.core.objects.epoch import Audit
from sidecar.core.objects.trust import Role
from sidecar.core.reason import Reason
from sidecar.roles.logbook import INSTANCE_KEY
from tests import builders, witnesses
from tests.integration.harness import LIMIT_S, World
from tests.integration.reasons import produces

WITNESSED = {**builders.ROLES, Role.WITNESS: (1, 1)}


def demands(checkpoint_ms: int = 0, unacked_ms: int = 0) -> Audit:
    return Audit(max_checkpoint_age_ms=checkpoint_ms, max_unacked_ms=unacked_ms, overflow="contain")


@produces(Reason.CHECKPOINT_STALE)
@pytest.mark.sidecar(audit__checkpointPeriod="1h")
async def test_a_record_that_nobody_signs_in_time_holds_the_gate(world: World) -> None:
    world.hand.put_epoch(routes=world.routes, audit=demands(checkpoint_ms=200))
    world.hand.start()
    await world.sidecar.start()
    await world.until(503, Reason.CHECKPOINT_STALE.code)
    world.hand.put_epoch(routes=world.routes)
    await world.until(200)


@produces(Reason.CHECKPOINT_UNACKED)
@pytest.mark.trust(roles=WITNESSED)
@pytest.mark.sidecar(workers=2, audit__checkpointPeriod="50ms")
async def test_a_log_that_no_witness_acknowledges_holds_the_gate_until_one_does(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process has its log, and its own hold; denials go on being recorded meanwhile."""
    key = builders.instance_key()
    key.save(world.sidecar.folder / "state" / INSTANCE_KEY)
    name = report.instance_name("chat", key.key_id)
    names = [
        checkpoint.origin("test", f"{name}-{which}")
        for which in ("follower", "worker-0", "worker-1")
    ]
    async with witnesses.serving(tmp_path / "witness") as server:
        monkeypatch.setenv("EPOCHGATE_AUDIT__WITNESSES", f"[{{url: '{server.url}'}}]")
        world.hand.put_epoch(routes=world.routes, audit=demands(unacked_ms=3000))
        world.hand.start()
        await world.sidecar.start()
        await world.until(503, Reason.CHECKPOINT_UNACKED.code)
        server.known |= dict.fromkeys(names, key.public)  # an authority learns it from a report
        await world.until(200)
        async with asyncio.timeout(LIMIT_S):
            while len(server.witness._held) < len(names):
                await asyncio.sleep(0.02)
        assert (await world.state())["audit"]["acked"] > 0
        world.sidecar.end()
    for folder in world.sidecar.journal.iterdir():
        found, log = checkpoints.held_cosigned(folder), checkpoints.read_vkey(folder)
        assert found is not None
        assert log is not None
        assert checkpoints.opened(found, log).size > 0
        _, by = cosignature.find(found, [builders.signer(Role.WITNESS).public])
        assert len(by) == 1
