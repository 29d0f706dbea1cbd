"""What somebody with some peers, or one stolen online key, does to a follower that serves."""

from typing import Any

import msgspec
import pytest

from sidecar.core import envelope, layout
from sidecar.core import events as ev
from sidecar.core.instant import NS_PER_MS, Now, WallMs
from sidecar.core.objects import beat as beats
from sidecar.core.objects.halt import Halts
from sidecar.core.objects.trust import Floors, Mark, Role, Trust
from sidecar.core.reason import Reason
from sidecar.core.snapshot import State
from tests import builders, rotation
from tests.builders import now
from tests.core.test_follower import (
    FIRST,
    FIRST_RAW,
    HALT,
    NEXT,
    NEXT_NOW,
    NEXT_NOW_RAW,
    PEERS,
    TRUST,
    Rig,
    beat,
    fetchable,
    only,
    outcome,
)


@pytest.fixture
def serving() -> Rig:
    """Serves under the first epoch since 0 ms, on beat 1."""
    rig = Rig()
    rig.whole(0, beat(FIRST, 1))
    assert rig.lease is not None
    return rig


def rewrapped(raw: bytes, name: str) -> bytes:
    """The same signed bytes in another envelope, as any peer can make it."""
    sealed = envelope.parse(raw, beats.MAX_BYTES)
    signatures = dict(sealed.signatures) | {envelope.KeyId(name): b""}
    return envelope.seal(sealed.payload_type, sealed.unverified_payload, signatures)


# -- older answers after newer ones


@pytest.mark.parametrize(
    ("says", "reason"),
    [({"halts": Halts((HALT,))}, Reason.HALT_WITHHELD), ({"state": "halt"}, Reason.HALT_GLOBAL)],
)
def test_an_older_live_beat_does_not_lift_what_a_newer_one_demands(
    serving: Rig, says: dict[str, Any], reason: Reason
) -> None:
    """The one honest peer is cut off after it told; the others repeat what was before."""
    serving.whole(300, beat(FIRST, 2, 250, **says), peers=1)
    assert serving.gate.closed is reason
    serving.whole(600, beat(FIRST, 1))
    assert serving.gate.closed is reason


def test_a_demand_that_nobody_repeats_ends_with_its_beat(serving: Rig) -> None:
    """An authority that is gone, with an order that nobody else has, stops for one ttl."""
    serving.whole(300, beat(FIRST, 2, 250, halts=Halts((HALT,))), peers=1)
    serving.whole(3700, beat(FIRST, 1, 3650, number=2))
    assert serving.gate.closed is Reason.HALT_WITHHELD
    serving.whole(3800, beat(FIRST, 2, 3750, number=2))
    assert serving.gate.state(now(3800)) is State.RUNNING


def test_an_epoch_that_was_ended_at_once_stays_ended_when_the_newer_one_is_withheld() -> None:
    """Another authority, which has not seen the newer epoch yet, outlives the beat that told."""
    rig = Rig(objects=fetchable(FIRST_RAW, NEXT_NOW_RAW))
    rig.whole(0, beat(FIRST, 1))
    rig.whole(300, beat(NEXT_NOW, 2, 250), peers=1)
    assert rig.gate.closed is Reason.EPOCH_SUPERSEDED
    rig.whole(3800, beat(FIRST, 1, 3000, number=2))
    assert rig.gate.closed is Reason.EPOCH_SUPERSEDED


# -- clears, and ids that somebody chose


def test_a_clear_of_a_halt_does_not_clear_evidence_whose_id_the_halt_took(serving: Rig) -> None:
    """A stolen halt key names its halt like the evidence that quarantines the fleet."""
    (conflict,) = only(serving.whole(300, beat(FIRST, 1, interval_ms=501), peers=1), ev.Conflict)
    bait = builders.make_order(TRUST, halt_id=conflict.evidence)
    clear = builders.make_order(TRUST, number=2, clears=conflict.evidence)
    both = Halts(tuple(sorted((bait, clear), key=lambda order: order.sha256)))
    serving.whole(600, beat(FIRST, 2, 500, halts=both), orders=[bait, clear])
    assert serving.gate.state(now(600)) is State.QUARANTINED
    assert serving.gate.closed is Reason.EQUIVOCATION


def test_a_contradiction_that_was_cleared_does_not_latch_again_in_another_envelope(
    serving: Rig,
) -> None:
    """Without any key a peer could else keep a fleet in quarantine for ever."""
    twin = beat(FIRST, 1, interval_ms=501)
    (conflict,) = only(serving.whole(300, twin, peers=1), ev.Conflict)
    clear = builders.make_order(TRUST, clears=conflict.evidence)
    known = Halts((clear,))
    serving.whole(600, beat(FIRST, 2, 500, halts=known), orders=[clear])
    assert serving.gate.state(now(600)) is State.RUNNING
    assert only(serving.whole(900, rewrapped(twin, "x"), peers=1), ev.Conflict) == []
    assert serving.gate.state(now(900)) is State.RUNNING


# -- clocks


def test_a_wall_clock_that_is_set_back_does_not_make_held_back_beats_fresh(serving: Rig) -> None:
    """Beats of ten seconds ago, and a clock that shows ten seconds ago: the boot clock knows."""
    held_back = beat(FIRST, 2, 1000)
    at = Now(now(11_000).boot, now(1000).wall)
    serving.round += 1
    serving.feed(ev.RoundDue(0.5), at)
    found = {layout.beat_key("test", builders.signer(Role.BEAT).key_id): (held_back,)}
    for peer in PEERS:
        serving.feed(ev.PeerReplied(peer, serving.round, found), at)
    assert serving.gate.state(at) is not State.RUNNING
    assert outcome(serving.told).faults == (Reason.BEAT_STALE, Reason.QUORUM_LOST)


@pytest.mark.parametrize("step_ms", [-500, 500])
def test_a_wall_clock_within_its_bound_is_taken_as_it_is(serving: Rig, step_ms: int) -> None:
    """From one end of the bound to the other, and drifting as much as it may."""
    at = Now(now(2000).boot, WallMs(now(1996).wall + step_ms))
    serving.round += 1
    serving.feed(ev.RoundDue(0.5), at)
    found = {layout.beat_key("test", builders.signer(Role.BEAT).key_id): (beat(FIRST, 2, 1900),)}
    for peer in PEERS:
        serving.feed(ev.PeerReplied(peer, serving.round, found), at)
    assert serving.lease is not None
    left_ms = 1900 + 3500 - (1996 + step_ms) - 1
    assert serving.lease.deadline == at.boot + left_ms * NS_PER_MS * 998_000 // 1_000_000


# -- the floors of the trust document, for a sidecar without marks


def floors(**changes: Any) -> Trust:
    nothing = Floors(epoch=None, beat={}, halt=0)
    return builders.make_trust(floors=msgspec.structs.replace(nothing, **changes))


def first_round(trust: Trust, **says: Any) -> Rig:
    """A new sidecar, shown the first epoch by all peers."""
    raw = builders.epoch_bytes(trust)
    first = builders.open_epoch(raw, trust)
    blobs = {key: blob for key, blob in fetchable().items() if ":blob:" in key}
    rig = Rig(trust=trust, objects={**blobs, layout.epoch_key("test", first.sha256): raw})
    rig.begin(0)
    found = {
        layout.beat_key("test", builders.signer(Role.BEAT).key_id): (
            builders.beat_bytes(trust, first, **says),
        )
    }
    for peer in PEERS:
        rig.feed(ev.PeerReplied(peer, rig.round, found), now())
    return rig


@pytest.mark.parametrize(
    "floor",
    [
        {"epoch": Mark(seq=2, sha256="00" * 32)},
        {"epoch": Mark(seq=1, sha256="00" * 32)},
        {"beat": {builders.signer(Role.BEAT).key_id: 6}},
        {"halt": 1},
    ],
)
def test_a_new_sidecar_accepts_nothing_below_the_floors_of_its_trust_document(
    floor: dict[str, Any],
) -> None:
    assert first_round(floors(), seq=5).gate.state(now()) is State.RUNNING
    assert first_round(floors(**floor), seq=5).gate.state(now()) is not State.RUNNING


def test_a_new_sidecar_accepts_what_is_at_the_floor() -> None:
    at_it = floors(beat={builders.signer(Role.BEAT).key_id: 5})
    assert first_round(at_it, seq=5).gate.state(now()) is State.RUNNING


# -- a rotation


def rotated(rig: Rig, at_ms: int, floor: Mark) -> None:
    """A peer shows the next trust document: other epoch keys, and the epoch that was last meant."""
    keys = {Role.EPOCH: rotation.others(Role.EPOCH)}
    raw = rotation.successor_bytes(TRUST, keys, floors=rotation.floors(floor))
    rig.begin(at_ms)
    found = {layout.trust_key("test", 2): (raw,)}
    rig.feed(ev.PeerReplied(PEERS[0], rig.round, found), now(at_ms))


def test_a_lease_ends_with_the_keys_that_made_its_epoch_when_root_names_an_older_one(
    serving: Rig,
) -> None:
    """Whoever stole the epoch keys must not be served for the rest of a ttl."""
    serving.whole(600, beat(NEXT, 2, 500))
    assert serving.gate.state(now(700)) is State.RUNNING
    rotated(serving, 900, Mark(seq=1, sha256=FIRST.sha256))
    assert serving.gate.trust_version == 2
    assert serving.gate.closed is Reason.EPOCH_SUPERSEDED


def test_a_lease_outlives_the_keys_that_made_its_epoch_when_root_names_that(serving: Rig) -> None:
    rotated(serving, 900, Mark(seq=1, sha256=FIRST.sha256))
    assert serving.gate.trust_version == 2
    assert serving.gate.state(now(900)) is State.RUNNING
