"""Reports, the fleet and clocks, through the real sidecar: what it says when they fail it."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar import clock
from sidecar.audit import checkpoints, segments
from sidecar.core import accepted, marks
from sidecar.core.log.merkle import Tree, leaf_hash
from sidecar.core.objects.epoch import Telemetry
from sidecar.core.objects.report import Report
from sidecar.core.reason import Reason
from tests import builders
from tests.integration.covering import Covering, forged, latest
from tests.integration.harness import TTL_MS, World
from tests.integration.reasons import produces

NONCE = {"sync__freshness": "nonce"}
BOTH = {"sync__freshness": "both"}


def covered(world: World, **changes: Any) -> Covering:
    """An epoch with these fields, and an authority that covers reports."""
    world.hand.covering = Covering()
    world.hand.put_epoch(routes=world.routes, **changes)
    return world.hand.covering


def demands(max_unacked_ms: int = 0, max_diverged: int | None = None) -> dict[str, Any]:
    return {"telemetry": Telemetry(max_unacked_ms=max_unacked_ms, max_diverged=max_diverged)}


async def until_renewed(world: World) -> None:
    """Wait until the lease leans on the beat that was signed last."""
    async with asyncio.timeout(15):
        while True:
            lease = (await world.state())["lease"]
            if lease is not None and lease["beat"]["seq"] == world.hand.seq:
                return
            await asyncio.sleep(0.01)


# -- what a report holds


async def test_a_report_names_the_head_of_the_audit_log(world: World) -> None:
    """Who reads reports then knows what the log held, whatever becomes of its folder."""
    await world.open()
    covering = Covering()
    async with asyncio.timeout(15):
        while True:
            covering.look(world.hand.clients, world.hand.trust.domain)
            heads = [one.says.audit for made in covering.made.values() for one in made]
            if heads and heads[-1] is not None and heads[-1].size > 0:
                break
            await asyncio.sleep(0.01)
    said = heads[-1]
    key = checkpoints.read_vkey(world.sidecar.journal)
    assert key is not None
    assert said.origin == key.name
    lines = [line for path in segments.find(world.sidecar.journal)
             for line in path.read_bytes().splitlines()]  # fmt: skip
    tree = Tree()
    for line in lines[: said.size]:
        tree.append(leaf_hash(line))
    assert (tree.size, tree.root().hex()) == (said.size, said.root)


# -- nonces


@pytest.mark.sidecar(**NONCE)
async def test_serves_on_nonces_alone_although_the_clock_of_the_authority_is_years_off(
    world: World,
) -> None:
    covered(world)
    world.hand.changes = {"issued_at": 1_000_000}
    await world.open()
    state = await world.state()
    assert (state["lease"]["anchor"], state["state"]) == ("nonce", "running")
    await until_renewed(world)
    assert (await world.ask())[0] == 200


@pytest.mark.sidecar(**BOTH)
async def test_serves_on_both(world: World) -> None:
    covered(world)
    await world.open()
    assert (await world.state())["lease"]["anchor"] == "both"


@produces(Reason.NONCE_MISSING)
@pytest.mark.parametrize("freshness", ["nonce", "both"])
async def test_a_sidecar_that_is_left_out_of_the_tree_is_contained_within_ttl(
    world: World, freshness: str
) -> None:
    path = world.sidecar.folder / "sidecar.yaml"
    path.write_text(path.read_text().replace("quorum: 2", f"quorum: 2\n    freshness: {freshness}"))
    cover = covered(world)
    await world.open()
    cover.choose = lambda *_: None
    last = clock.now().wall
    body = await world.until(503)
    assert body["reason"] in ("EG102", "EG108")
    await world.until_cause("EG108")
    permitted = [line["ts"] for line in world.sidecar.records() if line.get("decision") == "permit"]
    assert max(permitted) < last + TTL_MS
    cover.choose = latest
    await world.until(200)


@produces(Reason.NONCE_PROOF_INVALID)
@pytest.mark.sidecar(**NONCE)
async def test_proofs_that_lead_nowhere_give_no_lease(world: World) -> None:
    covered(world).lie = forged
    world.hand.start()
    await world.sidecar.start()
    state = await world.until_cause("EG611")
    assert state["state"] != "running"
    assert (await world.ask())[0] == 503
    assert not world.service.seen


@pytest.mark.sidecar(**NONCE)
async def test_one_peer_that_forges_proofs_denies_nobody(world: World) -> None:
    cover = covered(world)
    cover.lie = lambda peer, proof: forged(peer, proof) if peer == 0 else proof
    await world.open()
    await world.until_cause("EG611")
    seen = len(world.service.seen)
    until = clock.now().wall + TTL_MS
    while clock.now().wall < until:
        assert (await world.ask())[0] == 200
    assert len(world.service.seen) > seen


# -- reports


@produces(Reason.TELEMETRY_UNACKED)
async def test_an_epoch_that_wants_reports_acknowledged_gives_no_lease_before(world: World) -> None:
    world.hand.put_epoch(routes=world.routes, **demands(max_unacked_ms=1000))
    world.hand.start()
    await world.sidecar.start()
    state = await world.until_cause("EG501")
    broken = [found["number"] for found in state["validations"] if not found["holds"]]
    assert 5 in broken
    assert (await world.ask())[0] == 503
    world.hand.covering = Covering()
    await world.until(200)


def back_and_forth(_name: str, made: list[Report]) -> str:
    """Every second time an authority that has forgotten the latest reports."""
    back_and_forth_turn[0] = not back_and_forth_turn[0]
    return made[-1 if back_and_forth_turn[0] else max(0, len(made) - 4)].sha256


back_and_forth_turn = [False]


@produces(Reason.TELEMETRY_GAP)
async def test_an_authority_that_goes_back_to_older_reports_is_told(world: World) -> None:
    cover = covered(world)
    await world.open()
    cover.choose = back_and_forth
    await world.until_cause("EG502")
    assert (await world.ask())[0] == 200


@pytest.fixture
def unwritable(world: World) -> Iterator[World]:
    """Peers that take no reports."""
    for valkey in world.hand.valkeys:
        valkey.do("ACL", "SETUSER", "default", "-hset")
    yield world
    for valkey in world.hand.valkeys:
        valkey.do("ACL", "SETUSER", "default", "+hset")


@produces(Reason.TELEMETRY_BACKPRESSURE)
async def test_an_epoch_that_wants_reports_gives_no_lease_where_peers_take_none(
    unwritable: World,
) -> None:
    world = unwritable
    world.hand.put_epoch(routes=world.routes, **demands(max_unacked_ms=1000))
    world.hand.start()
    await world.sidecar.start()
    await world.until_cause("EG503")
    assert (await world.ask())[0] == 503
    assert not world.service.seen


@produces(Reason.REPORT_MISMATCH)
async def test_a_report_that_this_process_never_made_in_its_place_is_told(world: World) -> None:
    """Two processes with one key, or an authority that lies."""
    cover = covered(world)
    await world.open()
    async with asyncio.timeout(15):
        while not any(cover.made.values()):
            await asyncio.sleep(0.01)
    await until_renewed(world)
    cover.choose = lambda *_: builders.make_report(2).sha256
    await world.until_cause("EG504")


# -- the fleet


@produces(Reason.FLEET_DIVERGENCE)
async def test_a_fleet_that_stays_divided_contains_whoever_was_told_a_limit(world: World) -> None:
    cover = covered(world, **demands(max_diverged=0))
    cover.said = {"diverged": 3}
    await world.open()
    await world.until_cause("EG807")
    assert "EG807" in (await world.until(503, "EG102"))["causes"]
    cover.said = {}
    await world.until(200)


@produces(Reason.PEER_DIVERGENCE)
async def test_peers_that_are_of_two_epochs_and_too_few_for_either_give_no_lease(
    world: World,
) -> None:
    first = world.hand.put_epoch(routes=world.routes)
    world.hand.put_epoch(routes=world.routes)
    world.hand.mutate = lambda peer, raw: (raw, world.hand.beat(first), None)[peer]
    world.hand.start()
    await world.sidecar.start()
    state = await world.until_cause("EG805")
    assert "EG801" in state["causes"]
    assert (await world.ask())[0] == 503


@produces(Reason.FAST_FORWARD)
async def test_a_beat_whose_number_no_stream_can_have_reached_gives_no_lease(world: World) -> None:
    """A stolen key must not be able to use up a stream for ever."""
    await world.open()
    world.hand.seq += accepted.JUMP_MAX + 1000
    await world.until_cause("EG806")
    assert "EG806" in (await world.until(503, "EG102"))["causes"]


@produces(Reason.QUARANTINED)
async def test_nothing_is_granted_while_a_contradiction_is_not_cleared(world: World) -> None:
    await world.open()
    seq = world.hand.seq + 1000
    world.hand.put(world.hand.beat_key, world.hand.beat(seq=seq, interval_ms=1), 0)
    world.hand.changes = {"seq": seq}
    state = await world.until_cause("EG903")
    assert (state["state"], state["reason"]) == ("quarantined", "EG803")
    assert (await world.ask())[:2] == (503, "EG803")


# -- clocks


@pytest.fixture
def stepping(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sidecar whose wall clock is off by as many milliseconds as this file says."""
    path = tmp_path / "off"
    monkeypatch.setenv("STEPPING", str(path))
    world.sidecar.program = ("-m", "tests.integration.stepping")
    return path


def set_off(path: Path, off_ms: int) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(str(off_ms))
    fresh.replace(path)


@produces(Reason.CLOCK_STEP)
async def test_a_step_of_the_wall_clock_ends_the_lease(world: World, stepping: Path) -> None:
    await world.open()
    await world.hand.stop()
    await until_renewed(world)
    set_off(stepping, -400)  # by that clock the lease would have become longer
    await world.until(503, "EG105")
    world.hand.start()
    set_off(stepping, 0)
    await world.until(200)


@pytest.mark.sidecar(**NONCE)
async def test_a_step_takes_nothing_from_a_sidecar_that_leans_on_nonces(
    world: World, stepping: Path
) -> None:
    covered(world)
    await world.open()
    set_off(stepping, -50_000)  # the epoch is not valid before that
    until = clock.now().wall + TTL_MS
    while clock.now().wall < until:
        assert (await world.ask())[0] == 200


@produces(Reason.CLOCK_REGRESSION)
async def test_a_wall_clock_behind_what_was_stored_gives_no_lease(world: World) -> None:
    await world.open()
    world.sidecar.end()
    path = world.sidecar.folder / "state" / "marks.json"
    kept = marks.decode(path.read_bytes(), "test")
    path.write_bytes(marks.encode(msgspec.structs.replace(kept, last_wall=kept.last_wall + 60_000)))
    await world.sidecar.start()
    state = await world.until_cause("EG106")
    assert state["state"] != "running"
    assert (await world.ask())[0] == 503


@produces(Reason.SUSPEND_GAP)
async def test_a_process_that_stood_still_gives_its_lease_up(world: World) -> None:
    await world.open()
    await world.hand.stop()
    world.hand.pulse()
    await until_renewed(world)
    os.kill(world.sidecar.pid, signal.SIGSTOP)
    until = clock.now().boot + (TTL_MS // 2 + 150) * 1_000_000
    while clock.now().boot < until:
        await asyncio.sleep(0.01)
    os.kill(world.sidecar.pid, signal.SIGCONT)
    await world.until(503, "EG107")
    world.hand.start()
    await world.until(200)
