"""One trust document after another: stored before it is used, and nothing leans on what it took."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sidecar.core import canonical, layout, marks
from sidecar.core import events as ev
from sidecar.core.objects import trust
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import Halts
from sidecar.core.objects.trust import Floors, Mark, Revoked, Role, Trust
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.snapshot import State
from sidecar.signer import sign
from tests import builders, rotation
from tests.builders import ROLES, now
from tests.core.test_follower import (
    FIRST,
    FIRST_RAW,
    HALT,
    IMMEDIATE,
    NEXT,
    PEERS,
    TRUST,
    A,
    B,
    C,
    Rig,
    beat,
    fetchable,
    only,
    outcome,
    shown,
)


def body_after(before: Trust, **changes: Any) -> trust.Body:
    link = {"version": before.version + 1, "prev_sha256": before.sha256}
    return builders.trust_body(**{**link, **changes})


def after(before: Trust, **changes: Any) -> Trust:
    """The next document; the same keys unless told otherwise."""
    body = body_after(before, **changes)
    raw = sign(trust.PAYLOAD_TYPE, canonical.dump(body), *builders.signers(Role.ROOT, 2))
    return before.rotate(raw, builders.NOW)


def without_beat_key(before: Trust, number: int, **changes: Any) -> Trust:
    """The next document, in which one beat key is revoked."""
    key = builders.signer(Role.BEAT, number).key_id
    return after(before, revoked=(Revoked(keyid=key, reason="stolen", at=builders.NOW),), **changes)


def without_epoch_key(before: Trust, floor: Mark | None, **changes: Any) -> Trust:
    """The next document, in which one epoch key is revoked."""
    key = builders.signer(Role.EPOCH, 3).key_id
    floors = Floors(epoch=floor, beat={}, halt=0)
    revoked = (Revoked(keyid=key, reason="stolen", at=builders.NOW),)
    return after(before, revoked=revoked, floors=floors, **changes)


def epoch_under(under: Trust, prev: Epoch | None = FIRST, **changes: Any) -> tuple[bytes, Epoch]:
    raw = builders.epoch_bytes(under, prev, **changes)
    return raw, builders.open_epoch(raw, under)


def beat_under(
    under: Trust, epoch: Epoch, seq: int, at_ms: int, number: int = 1, **changes: Any
) -> bytes:
    return builders.beat_bytes(
        under, epoch, number=number, seq=seq, issued_at=now(at_ms).wall, **changes
    )


class Rotating(Rig):
    """A rig whose peers serve trust documents too."""

    def show(
        self, peer: PeerId, ms: int, *beats: bytes, trusts: Iterable[Trust] = ()
    ) -> list[ev.Command]:
        """One peer answers with beats, and with trust documents under their versions."""
        found = shown(*beats)
        for one in trusts:
            found[layout.trust_key("test", one.version)] = (one.raw,)
        return self.feed(ev.PeerReplied(peer, self.round, found), now(ms))

    def round_of(
        self, ms: int, *beats: bytes, trusts: Iterable[Trust] = (), peers: int = 3
    ) -> list[ev.Command]:
        commands = self.begin(ms)
        for number, peer in enumerate(PEERS):
            if number < peers:
                commands += self.show(peer, ms, *beats, trusts=trusts)
            else:
                commands += self.fail(peer, ms)
        return commands

    def crashed(self) -> "Rotating":
        """A new process, started as `roles/following` does: from what is on the disk."""
        assert self.disk is not None
        stored = marks.decode(self.disk, "test")
        in_force = marks.in_force(stored, self.trust, builders.NOW)
        return replace(
            self, trust=in_force, stored=self.disk, stores=True, pending=[], told=[], round=0
        )

    @property
    def version(self) -> int:
        return self.gate.trust_version


@pytest.fixture
def serving() -> Rotating:
    rig = Rotating()
    rig.whole(0, beat(FIRST, 1))
    assert rig.lease is not None
    return rig


# -- stored before used


def test_a_successor_is_stored_before_it_is_used(serving: Rotating) -> None:
    second = after(TRUST)
    serving.stores = False
    serving.round_of(300, trusts=[second], peers=1)
    (store,) = serving.pending
    kept = marks.decode(store.body, "test")
    assert (kept.trust.version, serving.version) == (2, 1)
    assert kept.trust_envelope == second.raw.decode()
    told = serving.feed(ev.Stored(store.generation), now(310))
    assert serving.version == 2
    adopted = ev.TrustAdopted(2, second.sha256, TRUST.sha256, second.raw)
    assert only(told, ev.TrustAdopted) == [adopted]


def test_a_successor_on_one_peer_is_enough(serving: Rotating) -> None:
    """It is signed; a quorum could only withhold it."""
    serving.round_of(300, trusts=[after(TRUST)], peers=1)
    assert serving.version == 2


def test_no_lease_is_granted_while_a_successor_is_being_stored(serving: Rotating) -> None:
    before = serving.lease
    serving.stores = False
    serving.round_of(300, beat(FIRST, 2, 250), trusts=[after(TRUST)])
    serving.round_of(600, beat(FIRST, 3, 550), trusts=[after(TRUST)])
    assert serving.lease == before
    assert len(serving.pending) == 1


def test_a_lease_that_was_being_stored_when_a_successor_came_is_not_published(
    serving: Rotating,
) -> None:
    before = serving.lease
    serving.stores = False
    serving.begin(300)
    serving.show(A, 300, beat(FIRST, 2, 250))
    serving.show(B, 300, beat(FIRST, 2, 250))
    serving.show(C, 300, beat(FIRST, 2, 250), trusts=[after(TRUST)])
    lease_store, *none = serving.pending
    assert none == []
    serving.feed(ev.Stored(lease_store.generation), now(310))
    assert serving.lease == before
    assert len(serving.pending) == 2, "the successor"


def test_a_successor_that_cannot_be_stored_is_not_used_and_is_tried_again(
    serving: Rotating,
) -> None:
    serving.stores = False
    serving.round_of(300, trusts=[after(TRUST)])
    serving.feed(ev.StoreFailed(serving.pending[0].generation), now(310))
    assert (serving.version, Reason.STATE_UNWRITABLE in serving.gate.unmet) == (1, True)
    before = serving.lease
    serving.stores = True
    serving.round_of(600, beat(FIRST, 2, 590))
    assert (serving.version, serving.lease) == (2, before), "nothing is granted before it is stored"
    assert serving.disk is not None
    (mark,) = marks.decode(serving.disk, "test").beats.values()
    assert mark.seq == 1, "nor used up"


def test_a_crash_after_the_store_goes_on_under_the_successor(serving: Rotating) -> None:
    serving.stores = False
    second = after(TRUST)
    serving.round_of(300, trusts=[second], peers=1)
    serving.disk = serving.pending[0].body
    rig = serving.crashed()
    assert rig.follower.snapshot.trust_version == 2
    raw, epoch = epoch_under(second)
    rig.objects = {**fetchable(FIRST_RAW), layout.epoch_key("test", epoch.sha256): raw}
    rig.round_of(600, beat_under(second, epoch, 2, 550))
    assert rig.lease is not None


@pytest.mark.parametrize(
    ("repinned", "issued_at", "orders"),
    [
        (False, TRUST.body.issued_at, 1),
        (True, TRUST.body.issued_at, 1),
        (False, builders.NOW + 1, 0),  # signed when the key was no halt key any more
    ],
)
def test_a_halt_of_a_retired_key_is_read_after_a_restart(
    *, repinned: bool, issued_at: int, orders: int
) -> None:
    second = rotation.successor(TRUST, {Role.HALT: rotation.others(Role.HALT)})
    rig = Rotating()
    rig.round_of(0, trusts=[second])
    if repinned:
        rig.trust = trust.parse(second.raw, builders.NOW)
    rig = rig.crashed()
    halt_key = layout.halts_key("test")
    order = builders.order_bytes(TRUST, issued_at=issued_at)
    rig.begin(300)
    rig.feed(ev.PeerReplied(A, rig.round, {halt_key: (order,)}), now(300))
    assert (rig.version, rig.gate.halts.seq) == (2, orders)


def test_a_crash_before_the_store_goes_on_under_the_document_before(serving: Rotating) -> None:
    serving.stores = False
    serving.round_of(300, trusts=[after(TRUST)], peers=1)
    assert serving.crashed().follower.snapshot.trust_version == 1


def test_documents_are_walked_one_by_one(serving: Rotating) -> None:
    chain = [second := after(TRUST), third := after(second), after(third)]
    versions = []
    for number in range(1, 5):
        serving.round_of(300 * number, trusts=chain, peers=1)
        versions.append(serving.version)
    assert versions == [2, 3, 4, 4]
    told = only(serving.told, ev.TrustAdopted)
    assert [one.version for one in told] == [2, 3, 4]
    assert [one.before for one in told[1:]] == [one.sha256 for one in told[:-1]]


def test_the_next_document_is_looked_for_at_once(serving: Rotating) -> None:
    commands = serving.round_of(300, trusts=[after(TRUST)])
    assert only(commands, ev.WakeAfter)[-1] == ev.WakeAfter(0)


def test_a_document_that_skips_one_is_not_used(serving: Rotating) -> None:
    third = after(after(TRUST))
    found = {layout.trust_key("test", 2): (third.raw,)}
    serving.begin(300)
    serving.feed(ev.PeerReplied(A, serving.round, found), now(300))
    assert serving.version == 1
    serving.fail(B, 300)
    serving.fail(C, 300)
    assert Reason.TRUST_CHAIN_BREAK in serving.gate.faults


def test_a_document_that_root_did_not_sign_is_not_used(serving: Rotating) -> None:
    raw = sign(trust.PAYLOAD_TYPE, canonical.dump(body_after(TRUST)), builders.signer(Role.ROOT))
    serving.begin(300)
    serving.feed(ev.PeerReplied(A, serving.round, {layout.trust_key("test", 2): (raw,)}), now(300))
    serving.fail(B, 300)
    assert serving.version == 1
    assert Reason.THRESHOLD_NOT_MET in outcome(serving.fail(C, 300)).faults


def test_two_successors_with_one_version_latch_with_both_as_evidence(serving: Rotating) -> None:
    """Root contradicts itself: nobody can say which of them holds."""
    one, other = after(TRUST), after(TRUST, issued_at=builders.NOW)
    serving.stores = False
    serving.begin(300)
    serving.show(A, 300, trusts=[one])
    (conflict,) = only(serving.show(B, 310, trusts=[other]), ev.Conflict)
    assert conflict.reason is Reason.EQUIVOCATION
    assert set(conflict.envelopes) == {one.raw, other.raw}
    assert serving.gate.state(now(310)) is State.QUARANTINED


def test_the_same_successor_from_two_peers_is_no_conflict(serving: Rotating) -> None:
    serving.stores = False
    assert not only(serving.round_of(300, trusts=[after(TRUST)]), ev.Conflict)


# -- what it takes away


def test_a_successor_without_the_issuer_of_our_beat_ends_the_lease_at_once(
    serving: Rotating,
) -> None:
    serving.round_of(300, trusts=[without_beat_key(TRUST, 1)], peers=1)
    assert serving.gate.closed is Reason.KEY_REVOKED


def test_a_successor_that_keeps_the_issuer_keeps_the_lease(serving: Rotating) -> None:
    before = serving.lease
    serving.round_of(300, trusts=[without_beat_key(TRUST, 2)], peers=1)
    assert (serving.lease, serving.version) == (before, 2)


def test_a_lease_on_two_issuers_ends_when_either_loses_its_role() -> None:
    """Also the one whose beat would have lasted longer."""
    for number in (1, 2):
        two = builders.make_trust(roles={**ROLES, Role.BEAT: (2, 2)})
        raw, epoch = epoch_under(two, None)
        objects = {**fetchable(), layout.epoch_key("test", epoch.sha256): raw}
        rig = Rotating(trust=two, objects=objects)
        rig.round_of(0, *(beat_under(two, epoch, 1, -n, number=n) for n in (1, 2)))
        assert rig.lease is not None
        rig.round_of(300, trusts=[without_beat_key(two, number)], peers=1)
        assert rig.gate.closed is Reason.KEY_REVOKED, number


def test_votes_from_before_a_successor_grant_nothing_after_it(serving: Rotating) -> None:
    """A stolen key may vouch for what comes; its role must be over once it is taken."""
    second = without_beat_key(TRUST, 1)
    raw, epoch = epoch_under(second)
    serving.objects = {**fetchable(), layout.epoch_key("test", epoch.sha256): raw}
    serving.begin(300)
    serving.show(A, 300, beat_under(TRUST, epoch, 2, 290), trusts=[second])
    assert serving.version == 2
    serving.show(B, 300, beat_under(second, epoch, 1, 280, number=2))
    serving.show(C, 300, beat_under(second, epoch, 1, 280, number=2))
    assert serving.gate.closed is Reason.KEY_REVOKED
    serving.round_of(600, beat_under(second, epoch, 2, 580, number=2))
    assert serving.lease is not None
    assert serving.lease.issuers == (builders.signer(Role.BEAT, 2).key_id,)


def test_marks_of_issuers_that_lost_their_role_are_forgotten(serving: Rotating) -> None:
    serving.round_of(300, trusts=[without_beat_key(TRUST, 1)], peers=1)
    assert serving.disk is not None
    assert marks.decode(serving.disk, "test").beats == {}


def test_marks_of_issuers_that_stay_are_kept(serving: Rotating) -> None:
    serving.round_of(300, trusts=[without_beat_key(TRUST, 2)], peers=1)
    assert serving.disk is not None
    assert marks.decode(serving.disk, "test").beats.keys() == {builders.signer(Role.BEAT, 1).key_id}


def test_what_a_removed_issuer_named_ahead_forbids_nothing_any_more(serving: Rotating) -> None:
    """A stolen beat key names an epoch that nobody signed, and so holds up every renewal."""
    ahead = msgspec.structs.replace(NEXT.says, seq=99)
    invented = Epoch("9" * 64, ahead)
    second = without_beat_key(TRUST, 2)
    raw, epoch = epoch_under(second)
    serving.objects = {**fetchable(), layout.epoch_key("test", epoch.sha256): raw}
    serving.round_of(300, beat(invented, 1, 290, number=2), trusts=[second], peers=1)
    serving.round_of(600, beat_under(second, epoch, 2, 590))
    assert serving.lease is not None
    assert serving.lease.epoch_sha256 == epoch.sha256


def test_a_demand_of_an_issuer_that_stays_outlives_a_rotation(serving: Rotating) -> None:
    """Else whoever withholds the halt would be rid of it by the rotation."""
    serving.round_of(300, beat(FIRST, 2, 290, halts=Halts((HALT,))), peers=1)
    assert serving.gate.closed is Reason.HALT_WITHHELD
    second = after(TRUST)
    serving.round_of(600, trusts=[second], peers=1)
    assert serving.version == 2
    serving.round_of(900, beat_under(second, FIRST, 1, 890, number=2))
    assert serving.gate.closed is Reason.HALT_WITHHELD


# -- fast-forward


def driven_ahead() -> tuple[Rotating, Epoch]:
    """Two epoch keys were stolen, and signed an epoch that nothing can follow."""
    raw = builders.epoch_bytes(TRUST, FIRST, seq=2**52)
    far = builders.open_epoch(raw, TRUST)
    rig = Rotating(objects=fetchable(FIRST_RAW, raw))
    rig.whole(0, beat(far, 1))
    assert rig.lease is not None
    return rig, far


FLOOR = Mark(seq=1, sha256=FIRST.sha256)


def recovers(rig: Rotating, under: Trust) -> bool:
    raw, epoch = epoch_under(under, FIRST)
    rig.objects = {**fetchable(FIRST_RAW), layout.epoch_key("test", epoch.sha256): raw}
    for ms in (600, 900):
        rig.round_of(ms, beat_under(under, epoch, 2 + ms, ms - 10))
    return rig.lease is not None and rig.lease.epoch_sha256 == epoch.sha256


def test_new_epoch_keys_bring_a_mark_that_was_driven_ahead_back_to_the_floor() -> None:
    rig, _ = driven_ahead()
    second = without_epoch_key(TRUST, FLOOR)
    rig.round_of(300, trusts=[second], peers=1)
    assert recovers(rig, second)


def test_they_do_so_although_the_process_was_killed_before_it_used_them() -> None:
    rig, _ = driven_ahead()
    second = without_epoch_key(TRUST, FLOOR)
    rig.stores = False
    rig.round_of(300, trusts=[second], peers=1)
    rig.disk = rig.pending[0].body
    assert recovers(rig.crashed(), second)


def test_with_the_same_epoch_keys_no_mark_falls() -> None:
    rig, _ = driven_ahead()
    second = after(TRUST, floors=Floors(epoch=FLOOR, beat={}, halt=0))
    rig.round_of(300, trusts=[second], peers=1)
    assert not recovers(rig, second)
    assert Reason.ROLLBACK in rig.gate.faults


def test_without_a_floor_no_mark_falls() -> None:
    rig, _ = driven_ahead()
    second = without_epoch_key(TRUST, None)
    rig.round_of(300, trusts=[second], peers=1)
    assert not recovers(rig, second)


def test_a_floor_above_the_mark_ends_what_is_below_it(serving: Rotating) -> None:
    second = after(TRUST, floors=Floors(epoch=Mark(seq=2, sha256=NEXT.sha256), beat={}, halt=0))
    serving.round_of(300, trusts=[second], peers=1)
    assert serving.gate.closed is Reason.EPOCH_SUPERSEDED


@pytest.mark.parametrize("repinned", [False, True])
def test_a_floor_that_means_another_epoch_by_the_marked_number_is_followed(
    *, repinned: bool
) -> None:
    forged_raw = builders.epoch_bytes(TRUST, FIRST, activation=IMMEDIATE)
    forged = builders.open_epoch(forged_raw, TRUST)
    meant_raw, meant = epoch_under(TRUST)
    rig = Rotating(objects=fetchable(FIRST_RAW, forged_raw))
    rig.whole(0, beat(forged, 1))
    assert rig.lease is not None
    second = after(TRUST, floors=Floors(epoch=Mark(seq=2, sha256=meant.sha256), beat={}, halt=0))
    if repinned:
        rig.trust = trust.parse(second.raw, builders.NOW)
        rig = rig.crashed()
    else:
        rig.round_of(300, trusts=[second])
        assert rig.gate.closed is Reason.EPOCH_SUPERSEDED
    rig.objects = fetchable(FIRST_RAW, meant_raw)
    rig.round_of(600, beat_under(second, meant, 2, 590))
    assert rig.lease is not None
    assert rig.lease.epoch_sha256 == meant.sha256


def test_an_immediate_epoch_of_stolen_keys_ends_nothing_for_good() -> None:
    """It ended the leases below it, until the keys that signed it lost their role."""
    raw = builders.epoch_bytes(TRUST, FIRST, activation=IMMEDIATE)
    rig = Rotating(objects=fetchable(FIRST_RAW, raw))
    rig.whole(0, beat(FIRST, 1))
    rig.whole(300, beat(builders.open_epoch(raw, TRUST), 1, 290, number=2), peers=1)
    assert rig.gate.closed is Reason.EPOCH_SUPERSEDED
    second = without_epoch_key(TRUST, FLOOR)
    rig.round_of(400, trusts=[second], peers=1)
    assert recovers(rig, second)


# -- a threshold of role beat


@pytest.fixture
def pair() -> tuple[Rotating, Trust, Epoch]:
    """Two issuers are needed."""
    two = builders.make_trust(roles={**ROLES, Role.BEAT: (2, 2)})
    raw, epoch = epoch_under(two, None)
    objects = {**fetchable(), layout.epoch_key("test", epoch.sha256): raw}
    return Rotating(trust=two, objects=objects), two, epoch


def test_one_issuer_is_not_enough_where_two_are_needed(
    pair: tuple[Rotating, Trust, Epoch],
) -> None:
    rig, two, epoch = pair
    for seq in range(1, 4):
        ended = outcome(rig.round_of(300 * seq, beat_under(two, epoch, seq, 300 * seq)))
        assert rig.lease is None
        assert ended.faults == (Reason.THRESHOLD_NOT_MET,)


def test_two_issuers_on_different_peers_are_enough(pair: tuple[Rotating, Trust, Epoch]) -> None:
    rig, two, epoch = pair
    rig.begin(0)
    rig.show(A, 0, beat_under(two, epoch, 1, 0))
    rig.show(B, 0, beat_under(two, epoch, 7, 0, number=2))
    assert rig.lease is not None
    assert rig.gate.unmet == ()


def test_a_stolen_key_extends_nothing_alone(pair: tuple[Rotating, Trust, Epoch]) -> None:
    rig, two, epoch = pair
    rig.round_of(0, *(beat_under(two, epoch, 1, 0, number=n) for n in (1, 2)))
    before = rig.lease
    assert before is not None
    for seq in range(2, 14):
        ms = 300 * seq
        rig.round_of(ms, beat_under(two, epoch, seq, ms), beat_under(two, epoch, 1, 0, number=2))
    assert rig.lease == before
    assert rig.gate.unmet == (Reason.THRESHOLD_NOT_MET,)


def test_an_extension_needs_a_newer_beat_of_each(pair: tuple[Rotating, Trust, Epoch]) -> None:
    rig, two, epoch = pair
    rig.round_of(0, *(beat_under(two, epoch, 1, 0, number=n) for n in (1, 2)))
    before = rig.lease
    rig.round_of(300, beat_under(two, epoch, 2, 290))
    assert rig.lease == before
    rig.round_of(600, beat_under(two, epoch, 2, 590, number=2))
    assert before is not None
    assert rig.lease is not None
    assert rig.lease.deadline > before.deadline
    assert rig.lease.beat.says.issued_at == now(290).wall, "the older of the two"


def test_what_one_issuer_gave_under_the_document_before_completes_no_lease(
    pair: tuple[Rotating, Trust, Epoch],
) -> None:
    rig, two, epoch = pair
    rig.round_of(0, *(beat_under(two, epoch, 1, 0, number=n) for n in (1, 2)))
    rig.round_of(300, beat_under(two, epoch, 2, 290))
    second = after(two, roles={**ROLES, Role.BEAT: (2, 2)})
    rig.round_of(600, trusts=[second])
    before = rig.lease
    rig.round_of(900, beat_under(second, epoch, 2, 890, number=2))
    assert rig.lease == before
    rig.round_of(1200, beat_under(second, epoch, 3, 1190))
    assert rig.lease is not None
    assert rig.lease.beat.says.issued_at == now(890).wall


def test_a_successor_with_a_higher_threshold_needs_more_issuers(serving: Rotating) -> None:
    second = after(TRUST, roles={**ROLES, Role.BEAT: (2, 2)})
    raw, epoch = epoch_under(second)
    serving.objects = {**fetchable(), layout.epoch_key("test", epoch.sha256): raw}
    serving.round_of(300, trusts=[second])
    before = serving.lease
    serving.round_of(600, beat_under(second, epoch, 2, 590))
    assert serving.lease == before
    serving.round_of(900, beat_under(second, epoch, 1, 890, number=2))
    assert serving.lease is not None
    assert serving.lease.epoch_sha256 == epoch.sha256


def test_a_successor_with_a_wider_quorum_needs_more_peers(serving: Rotating) -> None:
    second = after(TRUST, quorum=trust.Quorum(n=3, r=3, w=2))
    raw, epoch = epoch_under(second)
    serving.objects = {**fetchable(), layout.epoch_key("test", epoch.sha256): raw}
    serving.round_of(300, trusts=[second])
    before = serving.lease
    serving.round_of(600, beat_under(second, epoch, 2, 590), peers=2)
    assert serving.lease == before
