"""The loop around the follower: real follower, real peers, real signatures."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sidecar import clock
from sidecar.core import canonical, layout, marks
from sidecar.core.events import (
    Measured,
    ReadPeer,
    RoundEnded,
    Standing,
    Told,
    WriteCommand,
)
from sidecar.core.fault import Fault, PeerError
from sidecar.core.follower import Follower, Setting
from sidecar.core.instant import Now, WallMs
from sidecar.core.lease import Terms
from sidecar.core.objects import report
from sidecar.core.objects.epoch import NO_DEMANDS, Telemetry
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.runtime import Measurement
from sidecar.core.snapshot import CLOSED, Snapshot
from sidecar.sync.driver import Driver
from tests import builders, covering

PEERS = (PeerId("a"), PeerId("b"), PeerId("c"))


class Shelf:
    """Stored values that three peers serve; a peer can be made to fail or to be silent."""

    def __init__(self) -> None:
        now = clock.now().wall
        self.trust = builders.trust.parse(
            builders.trust_bytes(issued_at=now - 1, expires=now + builders.DAY_MS), now
        )
        self.vouch()

    def vouch(self, **changes: Any) -> None:
        now = clock.now().wall
        raw = builders.epoch_bytes(
            self.trust,
            issued_at=now,
            not_before=now - 1,
            not_after=now + builders.DAY_MS,
            **changes,
        )
        epoch = builders.open_epoch(raw, self.trust, now)
        domain = self.trust.domain
        issuer = builders.signer(builders.Role.BEAT, 1).key_id
        self.values = {
            layout.epoch_key(domain, epoch.sha256): raw,
            layout.beat_key(domain, issuer): builders.beat_bytes(self.trust, epoch, issued_at=now),
        }
        for blob in (builders.POLICY, builders.ROUTES):
            self.values[layout.blob_key(domain, canonical.digest(blob))] = blob


class Peer:
    """One peer in memory."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.fails = False
        self.reads = 0
        self.takes = True
        self.written: list[WriteCommand] = []
        self.hinted = asyncio.Event()

    async def ask(self, want: ReadPeer, tag: bytes) -> tuple[Mapping[str, tuple[bytes, ...]], bool]:
        self.reads += 1
        if self.fails:
            raise PeerError(Fault.TIMEOUT, "silent")
        self.written += want.writes
        kept = self.shelf.values
        found = {
            key: (raw,)
            for key in (*want.strings, *want.hashes)
            if (raw := kept.get(key)) is not None
        }
        return {**dict.fromkeys((*want.strings, *want.hashes), ()), **found}, self.takes

    async def hints(self, channel: str) -> AsyncIterator[None]:
        while True:
            await self.hinted.wait()
            self.hinted.clear()
            yield


class Saver:
    """Keeps marks in memory, or fails."""

    def __init__(self) -> None:
        self.saved: list[bytes] = []
        self.fails = False
        self.slow: threading.Event | None = None  # what the next write waits for

    def save(self, body: bytes) -> None:
        slow, self.slow = self.slow, None
        if slow is not None:
            slow.wait()
        if self.fails:
            raise OSError("disk full")
        self.saved.append(body)


class Rig:
    """A driver and what it published."""

    def __init__(self, poll_ms: int = 20) -> None:
        self.shelf = Shelf()
        self.peers = {peer: Peer(self.shelf) for peer in PEERS}
        self.saver = Saver()
        self.snapshot = CLOSED
        self.saved_at_publish = 0
        self.told: asyncio.Queue[Told] = asyncio.Queue()
        setting = Setting("chat", "here", PEERS, 2, Terms(4000, 500, 2000), poll_ms)
        self.driver = Driver(
            Follower(self.shelf.trust, setting, None), self.peers, self.saver,
            clock=clock.now, publish=self.publish, told=self.told.put_nowait, draw=os.urandom,
            channel="push",
        )  # fmt: skip

    def publish(self, snapshot: Snapshot) -> None:
        if snapshot.lease is not None and self.snapshot.lease is None:
            self.saved_at_publish = len(self.saver.saved)
        self.snapshot = snapshot

    async def rounds(self, count: int) -> list[RoundEnded]:
        ended: list[RoundEnded] = []
        async with asyncio.timeout(10):
            while len(ended) < count:
                event = await self.told.get()
                if isinstance(event, RoundEnded):
                    ended.append(event)
        return ended


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    task = asyncio.get_running_loop().create_task(rig.driver.run())
    yield rig
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_lease_is_published_after_its_marks_are_saved(rig: Rig) -> None:
    async with asyncio.timeout(10):
        while rig.snapshot.lease is None:  # a slow disk may outlast some rounds
            await rig.rounds(1)
    assert rig.saved_at_publish == 1


async def test_a_disk_that_fails_gives_no_lease_and_says_why() -> None:
    rig = Rig()
    rig.saver.fails = True
    task = asyncio.get_running_loop().create_task(rig.driver.run())
    await rig.rounds(3)
    assert rig.snapshot.lease is None
    assert [fault.code for fault in rig.snapshot.faults] == ["EG406"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("busy", [False, True])
async def test_what_stops_is_stored_before_the_process_ends(busy: bool) -> None:  # noqa: FBT001
    """Also when the disk is still busy with what came before; an older state is never the last."""
    rig = Rig()
    task = asyncio.get_running_loop().create_task(rig.driver.run())
    await rig.rounds(2)
    slow = rig.saver.slow = threading.Event()
    orders = layout.halts_key(rig.shelf.trust.domain)
    wanted = [builders.order_bytes(rig.shelf.trust, number=number) for number in range(1, 2 + busy)]
    for order in wanted:
        known = len(rig.snapshot.halts.orders)
        rig.shelf.values[orders] = order
        async with asyncio.timeout(10):
            while len(rig.snapshot.halts.orders) == known:
                await rig.rounds(1)
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, slow.set)
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
    stored = marks.decode(rig.saver.saved[-1], rig.shelf.trust.domain)
    assert {raw.encode() for raw in stored.halts} == set(wanted)


async def test_a_peer_that_fails_is_told_and_the_others_suffice(rig: Rig) -> None:
    rig.peers[PEERS[2]].fails = True
    last = (await rig.rounds(4))[-1]
    assert last.results == {"a": "ok", "b": "ok", "c": "timeout"}
    assert rig.snapshot.lease is not None


async def test_one_round_at_a_time_however_many_hints_come(rig: Rig) -> None:
    await rig.rounds(1)
    before = rig.peers[PEERS[0]].reads
    ended = await rig.rounds(3)
    assert rig.peers[PEERS[0]].reads - before <= 2 * len(ended)


async def test_a_hint_brings_the_next_round_forward() -> None:
    rig = Rig(poll_ms=3_600_000)
    task = asyncio.get_running_loop().create_task(rig.driver.run())
    await rig.rounds(1)
    rig.peers[PEERS[1]].hinted.set()
    await rig.rounds(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_fed_reaches_the_follower_between_two_rounds() -> None:
    """A measurement that is another does not wait for the peers."""
    rig = Rig(poll_ms=3_600_000)
    runtime = msgspec.structs.replace(NO_DEMANDS, image_digests=("one",))
    rig.shelf.vouch(runtime=runtime)
    task = asyncio.get_running_loop().create_task(rig.driver.run())
    right = Measurement(None, None, "one", {}, clock.now(), 1)
    rig.driver.feed(Measured(right))
    async with asyncio.timeout(10):
        while rig.snapshot.lease is None:
            await asyncio.sleep(0.001)
    rig.driver.feed(Measured(replace(right, image_digest="two")))
    async with asyncio.timeout(10):
        while rig.snapshot.closed is not Reason.CODE_DIGEST_MISMATCH:
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_bug_in_the_follower_ends_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease runs out; nothing goes on answering for the gate."""
    rig = Rig()

    def broken(*_: object) -> list[object]:
        raise AssertionError("a bug")

    monkeypatch.setattr(Follower, "handle", broken)
    with pytest.raises(ExceptionGroup) as caught:
        await rig.driver.run()
    assert caught.group_contains(AssertionError, match="a bug")


def reporting(rig: Rig, poll_ms: int = 20, **changes: Any) -> None:
    """The same driver around a follower that reports."""
    setting = Setting(
        "chat", "here", PEERS, 2, Terms(4000, 500, 2000), poll_ms, identity=covering.identity()
    )
    given: dict[str, Any] = {
        "clock": clock.now, "publish": rig.publish, "told": rig.told.put_nowait,
        "draw": os.urandom, "channel": "push", **changes,
    }  # fmt: skip
    follower = Follower(rig.shelf.trust, setting, None)
    rig.driver = Driver(follower, rig.peers, rig.saver, **given)


async def reported(rig: Rig, rounds: int) -> list[report.Body]:
    """Every report that the first peer got in so many rounds, once each."""
    task = asyncio.get_running_loop().create_task(rig.driver.run())
    await rig.rounds(rounds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    raws = dict.fromkeys(line[3] for line in rig.peers[PEERS[0]].written)
    return [report.open_report(raw, "test").says for raw in raws if isinstance(raw, bytes)]


async def test_each_report_has_a_nonce_drawn_when_it_was_due() -> None:
    rig = Rig()
    drawn: list[bytes] = []

    def draw(count: int) -> bytes:
        drawn.append(os.urandom(count))
        return drawn[-1]

    reporting(rig, draw=draw)
    found = await reported(rig, 3)
    nonces = [one.nonce for one in found]
    assert len(set(nonces)) == len(nonces) >= 2
    fresh = [raw.hex() for raw in drawn if len(raw) == 32]
    assert nonces == [nonce for nonce in fresh if nonce in nonces]


async def test_a_nonce_is_not_drawn_while_nothing_is_due() -> None:
    """Drawn ahead it would lie in memory, and count from too early a time if it leaked."""
    rig = Rig()
    drawn: list[int] = []

    def draw(count: int) -> bytes:
        drawn.append(count)
        return os.urandom(count)

    reporting(rig, poll_ms=3_600_000, draw=draw)
    await reported(rig, 1)
    assert drawn.count(32) == 1


async def test_reports_say_how_the_rest_of_the_sidecar_stands() -> None:
    rig = Rig()
    reporting(rig, standing=lambda: Standing({"permitted": 7}))
    (says, *_) = await reported(rig, 1)
    assert says.counters == {"permitted": 7}


async def test_a_peer_that_takes_no_reports_is_told_to_the_follower() -> None:
    rig = Rig()
    rig.shelf.vouch(telemetry=Telemetry(max_unacked_ms=1000, max_diverged=None))
    for peer in rig.peers.values():
        peer.takes = False
    reporting(rig)
    task = asyncio.get_running_loop().create_task(rig.driver.run())
    (ended,) = await rig.rounds(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert Reason.TELEMETRY_BACKPRESSURE in ended.faults


async def test_the_clocks_are_compared_although_no_peer_answers() -> None:
    rig = Rig(poll_ms=3_600_000)
    shift_ms = 0

    def read() -> Now:
        now = clock.now()
        return Now(now.boot, WallMs(now.wall + shift_ms))

    reporting(rig, poll_ms=3_600_000, clock=read)
    task = asyncio.get_running_loop().create_task(rig.driver.run())
    async with asyncio.timeout(10):
        while rig.snapshot.lease is None:
            await asyncio.sleep(0.001)
        for peer in rig.peers.values():
            peer.fails = True
        shift_ms = 5000
        while rig.snapshot.closed is not Reason.CLOCK_STEP:
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
