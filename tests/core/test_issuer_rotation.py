"""A running authority and the next trust document."""

import pytest

from sidecar.core import issuing, layout
from sidecar.core.events import PeerFailed, ReadPeer, Store, StoreFailed
from sidecar.core.issuer import Issuer
from sidecar.core.issuing import Fact, Sign
from sidecar.core.objects import trust
from sidecar.core.objects.trust import Mark, Role
from sidecar.core.reason import ProtocolError
from sidecar.core.vouch import LAST_BEATS
from sidecar.signer import sign
from tests import builders, rotation
from tests.builders import NOW
from tests.core.issuer_world import (
    DOMAIN,
    FIRST,
    HEAD,
    KEY,
    PEERS,
    RAW,
    SECOND,
    SETTING,
    TRUST,
    World,
)  # fmt: skip

NEXT = rotation.successor(TRUST)
AFTER = rotation.successor(NEXT)
RIVAL = rotation.successor(TRUST, expires=TRUST.body.expires + 1)
NEW_EPOCH_KEYS = {Role.EPOCH: rotation.others(Role.EPOCH)}


def test_rotation_on_one_peer_is_stored_then_named_by_the_very_beat_and_given_to_all() -> None:
    world = World()
    world.must_beat()
    world.put_trust(NEXT, PEERS[2])
    start = len(world.log)
    made = world.must_beat()
    assert (made.says.trust.version, made.says.trust.sha256) == (2, NEXT.sha256)
    assert made.says.epoch.sha256 == FIRST.sha256
    kinds = [type(command) for command in world.log[start:]]
    assert kinds.index(Store) < kinds.index(Sign)
    assert Fact.TRUST_ADOPTED in world.told()
    world.ms += 60_000
    world.must_beat()
    for peer in world.peers.values():
        assert peer.strings[layout.trust_key(DOMAIN, 2)] == NEXT.raw
        assert peer.strings[layout.trust_key(DOMAIN, 1)] == TRUST.raw


def test_several_versions_are_walked_within_one_beat() -> None:
    world = World()
    world.put_trust(AFTER, PEERS[0])
    world.put_trust(NEXT, PEERS[1])
    assert world.must_beat().says.trust.version == 3


def test_version_that_is_missing_is_not_skipped() -> None:
    world = World()
    world.put_trust(AFTER)
    assert world.must_beat().says.trust.version == 1
    world.put_trust(NEXT)
    assert world.must_beat().says.trust.version == 3


def test_nothing_is_signed_under_either_document_while_the_newer_one_is_not_stored() -> None:
    world = World()
    world.must_beat()
    world.put_trust(NEXT, PEERS[0])
    world.disk_full = True
    assert world.beat() is None
    for peer in world.peers.values():
        peer.strings.pop(layout.trust_key(DOMAIN, 2), None)
    assert world.beat() is None, "it knows of it, whoever hides it now"
    world.disk_full = False
    assert world.must_beat().says.trust.version == 2


def test_stored_document_is_in_force_after_a_restart_with_empty_peers() -> None:
    world = World()
    world.put_trust(NEXT)
    world.must_beat()
    for peer in world.peers.values():
        peer.strings.clear()
    world.restart()
    assert world.must_beat().says.trust.sha256 == NEXT.sha256
    assert all(
        peer.strings[layout.trust_key(DOMAIN, 2)] == NEXT.raw for peer in world.peers.values()
    )


def test_two_successors_stop_the_beats() -> None:
    world = World()
    world.must_beat()
    world.put_trust(NEXT, PEERS[0])
    world.put_trust(RIVAL, PEERS[1])
    assert world.beat() is None
    world.put_trust(NEXT)
    assert world.beat() is None
    assert world.told().count(Fact.TRUST_CONFLICT) == 1


def test_retired_key_stops_vouching_and_says_so_but_still_spreads_halts() -> None:
    world = World()
    world.must_beat()
    world.put_trust(rotation.successor(TRUST, {Role.BEAT: rotation.others(Role.BEAT, 2)}))
    world.put_order(PEERS[0], builders.order_bytes(TRUST))
    assert world.beat() is None
    assert world.beat() is None
    assert world.told().count(Fact.KEY_RETIRED) == 1
    assert all(len(peer.hashes[layout.halts_key(DOMAIN)]) == 1 for peer in world.peers.values())


def test_halt_of_a_retired_key_is_read_and_named_also_after_a_restart() -> None:
    world = World()
    world.put_trust(rotation.successor(TRUST, {Role.HALT: rotation.others(Role.HALT)}))
    world.must_beat()
    world.restart()
    world.put_order(PEERS[0], builders.order_bytes(TRUST, issued_at=TRUST.body.issued_at))
    world.put_order(PEERS[0], builders.order_bytes(TRUST, issued_at=NOW + 1, number=2), "y")
    said = world.must_beat().says
    assert (said.trust.version, said.halts.seq, said.state) == (2, 1, "halt")


def test_key_is_warned_of_and_then_stops_before_its_end() -> None:
    ends = NOW + 20_000
    world = World()
    world.put_trust(
        rotation.successor(TRUST, {Role.BEAT: [KEY]}, not_after=ends, issued_at=NOW - 5_000)
    )
    world.must_beat()
    assert Fact.KEY_EXPIRING not in world.told()
    world.ms = 18_000 - 1_000
    while world.beat() is not None:
        pass
    left_ms = ends - (NOW + world.ms)
    assert 0 < left_ms <= LAST_BEATS * SETTING.interval_ms
    told = world.told()
    assert told.index(Fact.KEY_EXPIRING) < told.index(Fact.KEY_EXPIRED)


def test_quorum_follows_the_document_in_force() -> None:
    world = World()
    world.down = {PEERS[0]}
    world.must_beat()
    world.put_trust(rotation.successor(TRUST, quorum=trust.Quorum(n=3, r=3, w=1)), PEERS[1])
    assert world.beat() is None
    assert Fact.TOO_FEW_PEERS in world.told()


def test_orders_of_revoked_keys_stay_and_new_ones_do_not_count() -> None:
    world = World()
    world.put_order(PEERS[0], builders.order_bytes(TRUST))
    world.must_beat()
    key = builders.signer(Role.HALT)
    gone = trust.Revoked(keyid=key.key_id, reason="stolen", at=NOW)
    world.put_trust(rotation.successor(TRUST, revoked=(gone,)))
    world.put_order(PEERS[0], builders.order_bytes(TRUST, number=2), "y")
    said = world.must_beat().says
    assert (said.trust.version, said.halts.seq, said.state) == (2, 1, "halt")


def test_epoch_after_a_rotation_is_signed_by_the_new_keys_and_follows_the_old_one() -> None:
    world = World()
    world.put_epoch(SECOND)
    world.must_beat()
    rotated = rotation.successor(
        TRUST, NEW_EPOCH_KEYS, floors=rotation.floors(Mark(seq=2, sha256=SECOND.sha256))
    )
    world.put_trust(rotated)
    assert world.must_beat().says.epoch.sha256 == SECOND.sha256
    said = builders.predicate(rotated, SECOND)
    raw = sign(
        builders.epoch.PAYLOAD_TYPE,
        builders.epoch.statement(said),
        *NEW_EPOCH_KEYS[Role.EPOCH][:2],
    )
    third = builders.open_epoch(raw, rotated)
    RAW[third.sha256] = raw
    world.put_epoch(third, PEERS[:2])
    assert world.must_beat().says.epoch.sha256 == third.sha256
    world.must_beat()
    assert world.peers[PEERS[2]].strings[HEAD] == third.sha256.encode(), "it slept through it all"


def test_fast_forwarded_epoch_of_stolen_keys_is_left_for_the_floor() -> None:
    world = World()
    world.must_beat()
    world.put_epoch(SECOND)  # what the thief signed
    assert world.must_beat().says.epoch.seq == 2
    floors = rotation.floors(Mark(seq=1, sha256=FIRST.sha256))
    world.put_trust(rotation.successor(TRUST, NEW_EPOCH_KEYS, floors=floors))
    made = world.must_beat()
    assert (made.says.epoch.seq, made.says.epoch.sha256) == (1, FIRST.sha256)
    world.restart()
    assert world.must_beat().says.epoch.sha256 == FIRST.sha256


def test_without_a_floor_the_epoch_in_force_outlives_the_keys_that_signed_it() -> None:
    world = World()
    world.must_beat()
    world.put_trust(rotation.successor(TRUST, NEW_EPOCH_KEYS))
    assert world.must_beat().says.epoch.sha256 == FIRST.sha256
    world.restart()
    assert world.must_beat().says.epoch.sha256 == FIRST.sha256


def test_floor_above_everything_stops_the_beats_until_its_epoch_is_there() -> None:
    world = World()
    world.must_beat()
    floors = rotation.floors(Mark(seq=2, sha256=SECOND.sha256))
    world.put_trust(rotation.successor(TRUST, floors=floors))
    assert world.beat() is None
    assert Fact.NO_EPOCH in world.told()
    world.put_epoch(SECOND, PEERS[:1])
    assert world.must_beat().says.epoch.sha256 == SECOND.sha256


@pytest.mark.parametrize("cut", [ReadPeer, Store])
def test_rotation_that_is_interrupted_anywhere_goes_on_with_the_next_beat(cut: type) -> None:
    world = World()
    world.must_beat()
    world.put_trust(NEXT)
    honest, cuts = world.answer, [True, True]

    def interrupted(command: issuing.Command) -> issuing.Event | None:
        if isinstance(command, cut) and cuts:
            cuts.pop()
            if isinstance(command, Store):
                return StoreFailed(command.generation)
            assert isinstance(command, ReadPeer)
            return PeerFailed(command.peer, command.round, "timeout")
        return honest(command)

    world.answer = interrupted  # type: ignore[method-assign]
    seen = {made.says.trust.version for _ in range(4) if (made := world.beat()) is not None}
    assert seen == {2}


def test_start_under_a_document_that_gives_the_key_no_role_is_refused() -> None:
    rotated = rotation.successor(TRUST, {Role.BEAT: rotation.others(Role.BEAT, 2)})
    with pytest.raises(ProtocolError, match="no role beat"):
        Issuer(rotated, SETTING, None)
