"""What the peers remember of an audit log, through the real sidecar and restarts of it."""

import asyncio
import shutil

import pytest

from sidecar.audit import checkpoints
from sidecar.core import layout
from sidecar.core.log import checkpoint, note
from sidecar.core.reason import Reason
from tests.integration.harness import LIMIT_S, World
from tests.integration.reasons import produces

OFTEN = {"audit__checkpointPeriod": "50ms"}
pytestmark = pytest.mark.sidecar(**OFTEN)

Remembered = dict[bytes, bytes]


def remembered(world: World, peer: int) -> Remembered:
    found = world.hand.clients[peer].hgetall(layout.heads_key(world.hand.trust.domain))
    return dict(found)  # type: ignore[arg-type]


def size(heads: Remembered) -> int:
    """The smallest of the logs."""
    said = [checkpoint.parse(note.unverified(raw)) for raw in heads.values()]
    return min((one.size for one in said), default=0)


async def told(world: World, least: int = 1, logs: int = 1) -> Remembered:
    """Wait until every peer remembers so many records of so many logs."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            heads = [remembered(world, peer) for peer in range(3)]
            if all(len(one) == logs and size(one) >= least for one in heads):
                return heads[0]
            await asyncio.sleep(0.02)


def spoilt(world: World) -> None:
    """The log was changed on purpose: what reached the service before is not in it any more."""
    world.service.seen = list(world.sidecar.permits().elements())


async def latched(world: World, reason: Reason) -> None:
    """It starts, and says why it serves nobody."""
    await world.sidecar.start()
    state = await world.until_cause(reason.code)
    assert {"reason": reason.code, "kind": "latched", "evidence": ""} in state["holds"]
    assert (await world.ask())[:2] == (503, reason.code)
    world.sidecar.end()


async def test_every_peer_remembers_the_head_of_the_log(world: World) -> None:
    await world.open()
    heads = await told(world)
    key = checkpoints.read_vkey(world.sidecar.journal)
    assert key is not None
    assert list(heads) == [key.name.encode()]
    assert checkpoints.opened(heads[key.name.encode()], key).size > 0


@pytest.mark.sidecar(workers=2, **OFTEN)
async def test_it_remembers_the_log_of_each_process(world: World) -> None:
    await world.open()
    heads = await told(world, logs=3)
    endings = {name.rpartition(b"-")[0].rpartition(b"/")[2][-6:] for name in heads}
    assert len(endings) == 2, "of workers and of who follows"


async def test_the_last_checkpoint_is_remembered_when_it_ends(world: World) -> None:
    await world.open()
    await told(world)
    world.sidecar.end()
    held = checkpoints.held(world.sidecar.journal)
    assert [list(remembered(world, peer).values()) for peer in range(3)] == [[held]] * 3


async def test_a_restart_goes_on_from_what_they_remember(world: World) -> None:
    await world.open()
    before = size(await told(world))
    world.sidecar.end()
    await world.sidecar.start()
    await world.until(200)
    await told(world, before + 1)


@produces(Reason.AUDIT_TRUNCATED)
async def test_a_log_that_lost_records_serves_nobody(world: World) -> None:
    """An older copy of the folder was put back: it is whole, signed, and too short."""
    await world.open()
    await told(world)
    world.sidecar.end()
    backup = world.sidecar.folder / "backup"
    shutil.copytree(world.sidecar.journal, backup)
    await world.sidecar.start()
    await world.until(200)
    held = checkpoints.held(world.sidecar.journal)
    assert held is not None
    await told(world, checkpoint.parse(note.unverified(held)).size + 1)
    world.sidecar.end(9)
    shutil.rmtree(world.sidecar.journal)
    shutil.copytree(backup, world.sidecar.journal)
    spoilt(world)
    before = remembered(world, 0)
    await latched(world, Reason.AUDIT_TRUNCATED)
    assert remembered(world, 0) == before, "what they remember is the evidence"


@produces(Reason.AUDIT_INCONSISTENT)
async def test_a_log_with_another_past_serves_nobody(world: World) -> None:
    """One peer was away while the records were written once more."""
    await world.open()
    before = await told(world)
    world.sidecar.end()
    shutil.rmtree(world.sidecar.journal)
    spoilt(world)
    key = layout.heads_key(world.hand.trust.domain)
    for client in world.hand.clients:
        client.delete(key)
    await world.sidecar.start()
    await world.until(200)
    await told(world, size(before) + 1)
    world.sidecar.end()
    world.hand.clients[1].hset(key, mapping=before)  # type: ignore[arg-type]
    await latched(world, Reason.AUDIT_INCONSISTENT)
