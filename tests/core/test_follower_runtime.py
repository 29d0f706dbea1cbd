"""The follower and what was measured: no lease under an epoch that demands something else."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sidecar.core import events as ev
from sidecar.core.gate import lapsed
from sidecar.core.objects import epoch
from sidecar.core.reason import Reason
from sidecar.core.runtime import Measurement
from sidecar.core.snapshot import State
from tests import builders
from tests.builders import now
from tests.core.test_follower import TRUST, A, B, C, Rig, beat, fetchable, only

ONE, TWO = "1" * 64, "2" * 64
GOOD = Measurement(ONE, ONE, None, {"weights": ONE}, now(0), 1)
BAD = replace(GOOD, models={"weights": TWO})


def demanding(**changes: Any) -> bytes:
    runtime = msgspec.structs.replace(epoch.NO_DEMANDS, **changes)
    return builders.epoch_bytes(TRUST, runtime=runtime)


RAW = demanding(model_digests={"weights": ONE})
EPOCH = builders.open_epoch(RAW, TRUST)


@pytest.fixture
def rig() -> Rig:
    return Rig(objects=fetchable(RAW))


@pytest.fixture
def serving(rig: Rig) -> Rig:
    """Serves under an epoch that demands what was measured."""
    rig.feed(ev.Measured(GOOD), now(0))
    rig.whole(0, beat(EPOCH, 1))
    assert rig.gate.state(now(1)) is State.RUNNING
    return rig


@pytest.mark.parametrize(
    ("found", "reason"),
    [(None, Reason.INTEGRITY_STALE), (BAD, Reason.MODEL_DIGEST_MISMATCH)],
)
def test_no_lease_under_an_epoch_that_demands_something_else(
    rig: Rig, found: Measurement | None, reason: Reason
) -> None:
    if found is not None:
        rig.feed(ev.Measured(found), now(0))
    rig.whole(0, beat(EPOCH, 1))
    assert rig.lease is None
    assert rig.gate.faults == (reason,)
    assert rig.disk is None, "an epoch that was not entered leaves no mark"


def test_every_mismatch_is_told() -> None:
    raw = demanding(code_sha256=(TWO,), config_sha256=(TWO,), model_digests={"weights": TWO})
    rig = Rig(objects=fetchable(raw))
    rig.feed(ev.Measured(GOOD), now(0))
    rig.whole(0, beat(builders.open_epoch(raw, TRUST), 1))
    assert [reason.code for reason in rig.gate.faults] == ["EG401", "EG402", "EG403"]


def test_a_change_holds_a_running_lease_at_once_and_its_end_lifts_the_hold(serving: Rig) -> None:
    published = only(serving.feed(ev.Measured(BAD), now(100)), ev.Publish)
    assert len(published) == 1
    assert lapsed(serving.gate, now(100)) is Reason.MODEL_DIGEST_MISMATCH
    assert serving.gate.state(now(100)) is State.CONTAINED
    serving.feed(ev.Measured(replace(GOOD, measured=now(200))), now(200))
    assert serving.gate.state(now(200)) is State.RUNNING


def test_a_lease_that_is_held_is_not_renewed(serving: Rig) -> None:
    before = serving.lease
    serving.feed(ev.Measured(BAD), now(100))
    serving.whole(250, beat(EPOCH, 2, 250))
    assert serving.lease is before
    assert serving.gate.faults == (Reason.MODEL_DIGEST_MISMATCH,)
    assert [hold.reason for hold in serving.gate.holds] == [Reason.MODEL_DIGEST_MISMATCH]


def test_what_was_measured_once_grows_old_without_any_event_of_the_measurer() -> None:
    rig = Rig(objects=fetchable(RAW))
    rig.follower._granting.integrity._max_age_ms = 200
    rig.feed(ev.Measured(GOOD), now(0))
    rig.whole(0, beat(EPOCH, 1))
    rig.whole(200, beat(EPOCH, 2, 200))
    assert rig.gate.state(now(200)) is State.RUNNING
    rig.whole(450, beat(EPOCH, 3, 450))
    assert rig.gate.closed is Reason.INTEGRITY_STALE


def test_a_change_while_the_marks_are_stored_holds_the_lease_that_comes_of_it(rig: Rig) -> None:
    rig.feed(ev.Measured(GOOD), now(0))
    rig.stores = False
    rig.whole(0, beat(EPOCH, 1))
    [store] = rig.pending
    rig.feed(ev.Measured(BAD), now(10))
    rig.feed(ev.Stored(store.generation), now(20))
    assert rig.lease is not None
    assert rig.gate.closed is Reason.MODEL_DIGEST_MISMATCH


def test_a_measurement_that_says_the_same_publishes_nothing(serving: Rig) -> None:
    assert serving.feed(ev.Measured(replace(GOOD, measured=now(50))), now(50)) == []


def test_a_halt_of_the_same_round_is_the_harder_reason(serving: Rig) -> None:
    serving.feed(ev.Measured(BAD), now(100))
    serving.begin(250)
    serving.reply(A, 250, beat(EPOCH, 2, 250), orders=[builders.make_order(TRUST)])
    assert serving.gate.closed is Reason.HALT_GLOBAL
    serving.fail(B, 260)
    serving.fail(C, 260)
    assert serving.gate.closed is Reason.HALT_GLOBAL
