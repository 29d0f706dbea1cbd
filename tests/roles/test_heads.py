"""What peers remember of the logs, on real peers: told, asked for, believed when signed."""

import asyncio
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.audit import checkpoints
from sidecar.config.sections import PeerAddress
from sidecar.core import layout
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.roles.heads import Heads
from sidecar.signer import FileSigner
from sidecar.sync.peer import Peer
from sidecar.telemetry import logs
from tests.audit.journals import ORIGIN, SIGNER, make_journal, make_pruned
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]
KEY = layout.heads_key("test")


class Rig:
    """Heads of one log, and the holds that they place."""

    def __init__(self, folder: Path, servers: Three) -> None:
        self.holds: list[Hold] = []
        self.said = io.StringIO()
        peers = {
            PeerId(f"p{index}"): Peer(PeerAddress(f"p{index}", "127.0.0.1", server.port), 500)
            for index, server in enumerate(servers)
        }
        self.heads = Heads(
            {ORIGIN: folder}, SIGNER.public, "test", peers,
            place=self.holds.append, log=logs.setup("info", self.said, lambda _: None),
            draw=os.urandom, period_s=0.01,
        )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_journal(tmp_path / "audit", 20, 10)
    return tmp_path / "audit"


@pytest.fixture
async def rig(folder: Path, valkeys: Three) -> AsyncIterator[Rig]:
    made = Rig(folder, valkeys)
    yield made
    made.heads.close()
    await asyncio.sleep(0)  # what was aborted is closed in the next turn of the loop


def held(server: ValkeyServer) -> object:
    return server.do("HGET", KEY, ORIGIN)


def put(server: ValkeyServer, size: int, root: bytes, signer: FileSigner = SIGNER) -> bytes:
    raw = checkpoints.seal(Checkpoint(ORIGIN, size, root), signer).encode()
    server.do("HSET", KEY, ORIGIN, raw)
    return raw


def move(folder: Path, to: Path) -> None:
    folder.rename(to)


async def told(rig: Rig, servers: Three, raw: bytes | None) -> None:
    """Run until every peer holds these bytes."""
    task = asyncio.get_running_loop().create_task(rig.heads.run())
    try:
        async with asyncio.timeout(10):
            while any(held(server) != raw for server in servers):
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_every_peer_is_told_the_newest_checkpoint(
    rig: Rig, folder: Path, valkeys: Three
) -> None:
    await told(rig, valkeys, checkpoints.held(folder))
    assert rig.holds == []


async def test_nobody_is_told_before_it_was_asked(rig: Rig, valkeys: Three) -> None:
    await rig.heads.recall()
    assert [held(server) for server in valkeys] == [None] * 3


@pytest.mark.parametrize(
    ("size", "root", "reason"),
    [(21, bytes(32), Reason.AUDIT_TRUNCATED), (15, bytes(32), Reason.AUDIT_INCONSISTENT)],
)
async def test_one_peer_that_knows_better_is_enough_and_keeps_what_it_knows(
    rig: Rig, valkeys: Three, size: int, root: bytes, reason: Reason
) -> None:
    raw = put(valkeys[1], size, root)
    await rig.heads.recall()
    assert rig.holds == [Hold(reason, HoldKind.LATCHED)]
    assert "p1 remembers" in rig.said.getvalue()
    async with asyncio.timeout(5):
        await rig.heads.run()  # has nothing more to do
    assert [held(server) for server in valkeys] == [None, raw, None]


async def test_what_another_key_signed_changes_nothing(
    rig: Rig, folder: Path, valkeys: Three
) -> None:
    """Whoever may write to a peer must not be able to close a gate, nor to stop the telling."""
    put(valkeys[0], 99, bytes(32), FileSigner(bytes(32)))
    valkeys[1].do("HSET", KEY, ORIGIN, b"\xff rubbish")
    await rig.heads.recall()
    assert rig.holds == []
    await told(rig, valkeys, checkpoints.held(folder))


async def test_a_peer_that_comes_back_is_asked_before_it_is_told(
    rig: Rig, folder: Path, valkeys: Three
) -> None:
    valkeys[2].stop()
    await rig.heads.recall()
    await told(rig, (*valkeys[:2], valkeys[0]), checkpoints.held(folder))
    assert rig.holds == []
    valkeys[2].start()
    raw = put(valkeys[2], 21, bytes(32))
    async with asyncio.timeout(10):
        await rig.heads.run()
    assert rig.holds == [Hold(Reason.AUDIT_TRUNCATED, HoldKind.LATCHED)]
    assert held(valkeys[2]) == raw


async def test_a_log_that_cannot_be_read_is_said_and_asked_for_again(
    rig: Rig, folder: Path, valkeys: Three
) -> None:
    put(valkeys[0], 5, bytes(32))
    away = folder.with_name("away")
    move(folder, away)
    await rig.heads.recall()
    await rig.heads.recall()
    assert rig.said.getvalue().count("audit log") == 1, "said once"
    assert rig.holds == []
    move(away, folder)
    async with asyncio.timeout(10):
        await rig.heads.run()
    assert rig.holds == [Hold(Reason.AUDIT_INCONSISTENT, HoldKind.LATCHED)]


async def test_what_was_remembered_before_a_prune_is_said_and_holds_nothing(
    tmp_path: Path, valkeys: Three
) -> None:
    """Nobody can tell any more; but a log that is shorter than that is found all the same."""
    lines, begins = make_pruned(tmp_path / "pruned")
    rig = Rig(tmp_path / "pruned", valkeys)
    put(valkeys[0], begins.pruned - 1, bytes(32))
    await rig.heads.recall()
    assert rig.holds == []
    assert f'"records": {begins.pruned - 1}' in rig.said.getvalue()
    put(valkeys[1], len(lines) + 1, bytes(32))
    rig.heads._told.clear()
    await rig.heads.recall()
    assert rig.holds == [Hold(Reason.AUDIT_TRUNCATED, HoldKind.LATCHED)]
    rig.heads.close()
    await asyncio.sleep(0)
