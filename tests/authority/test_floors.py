"""Floors from what peers hold: only what was verified, and what can still be read. Real peers."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from sidecar.authority import edits, floors, rollout
from sidecar.authority.floors import Present
from sidecar.authority.rollout import OK, TooFewPeersError
from sidecar.core import layout
from sidecar.core.objects import trust
from sidecar.core.objects.trust import Mark, Role, Trust
from sidecar.sync.peer import Peer
from tests import builders
from tests.builders import NOW, signer, signers
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]
UNDER = builders.make_trust()
FIRST = builders.make_epoch(UNDER)
NONE = trust.Floors(epoch=None, beat={}, halt=0)


def without(role: Role, number: int = 1) -> Trust:
    """The document that follows, with one key revoked."""
    body = edits.revoke_key(UNDER.body, signer(role, number).key_id, "x", NOW)
    return trust.unsigned(msgspec.structs.replace(body, version=2, prev_sha256=UNDER.sha256))


@pytest.fixture
async def peers(valkeys: Three) -> AsyncIterator[list[Peer]]:
    made = [Peer(server.address(f"p{index}"), 500) for index, server in enumerate(valkeys)]
    yield made
    for peer in made:
        peer.close()


async def put_beat(peers: list[Peer], number: int, raw: bytes) -> None:
    name = layout.beat_key(UNDER.domain, signer(Role.BEAT, number).key_id)
    assert set((await rollout.publish(peers, [("SET", name, raw)])).values()) == {OK}


async def filled(peers: list[Peer]) -> Present:
    """Peers with an epoch, a halt, and beats that differ from peer to peer."""
    raw = builders.epoch_bytes(UNDER)
    blobs = (builders.POLICY, builders.ROUTES)
    await rollout.publish(peers, rollout.epoch_commands(UNDER, FIRST, raw, blobs))
    await rollout.publish(peers[:1], rollout.order_commands(UNDER, builders.make_order(UNDER)))
    await put_beat(peers, 1, builders.beat_bytes(UNDER, FIRST, seq=40))
    await put_beat(peers[2:], 1, builders.beat_bytes(UNDER, FIRST, seq=42))
    await put_beat(peers, 2, builders.beat_bytes(UNDER, FIRST, number=2, seq=7))
    return await floors.survey(peers, UNDER, NOW)


async def test_floors_are_the_highest_that_the_peers_hold(peers: list[Peer]) -> None:
    found = floors.floors(await filled(peers), NONE, UNDER, NOW)
    assert found.epoch == Mark(seq=1, sha256=FIRST.sha256)
    assert found.beat == {signer(Role.BEAT, 1).key_id: 42, signer(Role.BEAT, 2).key_id: 7}
    assert found.halt == 1


async def test_forged_beat_raises_no_floor(peers: list[Peer]) -> None:
    await filled(peers)
    body = builders.beat_bytes(UNDER, FIRST, seq=10**9, domain="other")
    await put_beat(peers[:1], 1, body)
    await put_beat(peers[1:2], 2, b"junk")
    found = floors.floors(await floors.survey(peers, UNDER, NOW), NONE, UNDER, NOW)
    assert found.beat[signer(Role.BEAT, 1).key_id] == 42
    assert found.beat[signer(Role.BEAT, 2).key_id] == 7


async def test_empty_peers_give_empty_floors(peers: list[Peer]) -> None:
    found = floors.floors(await floors.survey(peers, UNDER, NOW), NONE, UNDER, NOW)
    assert found == NONE


async def test_too_few_peers_give_none(peers: list[Peer], valkeys: Three) -> None:
    for server in valkeys[:2]:
        server.stop()
    with pytest.raises(TooFewPeersError):
        await floors.survey(peers, UNDER, NOW)


async def test_number_that_a_stolen_key_ran_up_is_no_floor(peers: list[Peer]) -> None:
    """Fast-forward recovery: the marks of the role fall back to this."""
    await filled(peers)
    await put_beat(peers, 1, builders.beat_bytes(UNDER, FIRST, seq=2**53 - 1))
    found = floors.floors(await floors.survey(peers, UNDER, NOW), NONE, without(Role.BEAT), NOW)
    assert found.beat == {signer(Role.BEAT, 2).key_id: 7}


async def test_halt_that_the_next_document_cannot_read_is_not_waited_for(
    peers: list[Peer],
) -> None:
    present = await filled(peers)
    after = without(Role.HALT)
    assert floors.floors(present, NONE, after, NOW).halt == 0
    (said,) = floors.cautions(present, after, NOW)
    assert "1 halts or clears" in said


async def test_epoch_that_the_next_document_cannot_read_is_said(peers: list[Peer]) -> None:
    present = await filled(peers)
    assert floors.cautions(present, UNDER, NOW) == []
    assert floors.cautions(present, without(Role.EPOCH, 3), NOW) == []
    assert signers(Role.EPOCH, 2)[0].key_id in UNDER.keys[Role.EPOCH]
    (said,) = floors.cautions(present, without(Role.EPOCH, 1), NOW)
    assert "epoch 1 is not signed by enough epoch keys of version 2" in said


async def test_peers_that_forgot_lower_no_floor(peers: list[Peer]) -> None:
    key = signer(Role.BEAT).key_id
    before = trust.Floors(epoch=Mark(seq=9, sha256="0" * 64), beat={key: 99}, halt=4)
    assert floors.floors(await floors.survey(peers, UNDER, NOW), before, UNDER, NOW) == before
    found = floors.floors(await filled(peers), before, UNDER, NOW)
    assert (found.epoch, found.beat[key], found.halt) == (before.epoch, 99, 4)
    assert found.beat[signer(Role.BEAT, 2).key_id] == 7


async def test_floor_of_halts_sinks_by_those_that_cannot_be_read_any_more(
    peers: list[Peer],
) -> None:
    before = trust.Floors(epoch=None, beat={}, halt=3)
    assert floors.floors(await filled(peers), before, without(Role.HALT), NOW).halt == 2
