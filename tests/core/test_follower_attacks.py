"""What somebody with some peers, or one stolen online key, does to a follower that serves."""

from typing import Any

import pytest

from sidecar.core import envelope
from sidecar.core import events as ev
from sidecar.core.objects import beat as beats
from sidecar.core.objects.halt import Halts
from sidecar.core.reason import Reason
from sidecar.core.snapshot import State
from tests import builders
from tests.builders import now
from tests.core.test_follower import (
    FIRST,
    FIRST_RAW,
    HALT,
    NEXT_NOW,
    NEXT_NOW_RAW,
    TRUST,
    Rig,
    beat,
    fetchable,
    only,
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
