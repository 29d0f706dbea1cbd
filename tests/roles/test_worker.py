"""What a worker takes from memory, and what it makes of silence."""

import asyncio
import io
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from sidecar import shared
from sidecar.core import share
from sidecar.core.gate import Gate
from sidecar.core.snapshot import CLOSED, Snapshot
from sidecar.roles.worker import EXIT_UNAVAILABLE, Feed, main
from sidecar.telemetry import logs
from tests.core.test_share import OPEN

LIMIT_S = 10


@dataclass
class Sides:
    """Both ends of one worker's feed."""

    channel: socket.socket
    board: shared.Writer
    gate: Gate
    feed: Feed
    log: io.StringIO


@pytest.fixture
async def sides() -> AsyncIterator[Sides]:
    memory = shared.create("test", share.MAX_BYTES)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # noqa: FBT003
    board, reader = shared.Writer(memory, alone=True), shared.Reader(memory)
    log, gate = io.StringIO(), Gate()
    feed = Feed(theirs, reader, gate, logs.setup("info", log, lambda _: None))
    yield Sides(ours, board, gate, feed, log)
    if not feed.alone:
        asyncio.get_running_loop().remove_reader(theirs.fileno())
    ours.close()
    theirs.close()
    os.close(memory)


def same(sides: Sides, snapshot: Snapshot) -> bool:
    return share.encode(sides.gate.snapshot) == share.encode(snapshot)


async def until(sides: Sides, generation: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while sides.feed.generation != generation:
            await asyncio.sleep(0)


async def test_a_snapshot_that_was_there_before_is_taken_at_once(sides: Sides) -> None:
    assert sides.gate.snapshot == CLOSED
    sides.board.publish(share.encode(OPEN))
    sides.feed.start()
    assert same(sides, OPEN)


async def test_one_byte_brings_the_newest(sides: Sides) -> None:
    sides.feed.start()
    sides.board.publish(share.encode(OPEN))
    sides.board.publish(share.encode(replace(OPEN, lease=None)))
    sides.channel.send(b"\0")
    await until(sides, 2)
    assert sides.gate.snapshot.lease is None


async def test_nobody_has_to_say_anything(sides: Sides) -> None:
    sides.feed.start()
    sides.board.publish(share.encode(OPEN))
    sides.feed.look()
    assert same(sides, OPEN)


async def test_what_cannot_be_decoded_leaves_what_was_there(sides: Sides) -> None:
    sides.board.publish(share.encode(OPEN))
    sides.feed.start()
    sides.board.publish(b"{}\n")
    sides.feed.look()
    assert same(sides, OPEN)
    assert "shared snapshot" in sides.log.getvalue()
    sides.board.publish(share.encode(replace(OPEN, lease=None)))
    sides.feed.look()
    assert sides.gate.snapshot.lease is None


async def test_left_alone_it_keeps_its_lease_and_knows(sides: Sides) -> None:
    sides.feed.start()
    sides.board.publish(share.encode(OPEN))
    sides.channel.close()
    async with asyncio.timeout(LIMIT_S):
        while not sides.feed.alone:
            await asyncio.sleep(0)
    assert same(sides, OPEN)
    assert logs.ALONE in sides.log.getvalue()


def test_without_a_brief_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    assert main(theirs.detach()) == EXIT_UNAVAILABLE
    assert capsys.readouterr().err.startswith("error: worker: ")
