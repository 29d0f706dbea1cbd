"""The snapshot: its state is computed from lease and holds, and a new one is closed."""

from dataclasses import FrozenInstanceError, replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.lease import Lease
from sidecar.core.policy import DENY_ALL
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.routes import NO_ROUTES
from sidecar.core.snapshot import CLOSED, Hold, HoldKind, Snapshot, State
from tests.builders import make_beat, make_epoch, make_trust

TRUST = make_trust()
EPOCH = make_epoch(TRUST)
LEASE = Lease(
    1, EPOCH.sha256, make_beat(TRUST, EPOCH), (PeerId("a"),), BootNs(100), WallMs(100), "clock"
)
LIVE = Snapshot(lease=LEASE, epoch=EPOCH)
IN_TIME = Now(BootNs(99), WallMs(99))

PASSING = Hold(Reason.QUORUM_LOST, HoldKind.PASSING)
DRAINING = Hold(Reason.DRAINING, HoldKind.PASSING)
STICKY = Hold(Reason.HALT_GLOBAL, HoldKind.STICKY, "aa")
LATCHED = Hold(Reason.EQUIVOCATION, HoldKind.LATCHED, "bb")
HOLDS = (PASSING, DRAINING, STICKY, LATCHED)


def test_a_new_process_is_closed() -> None:
    assert (CLOSED.lease, CLOSED.policy, CLOSED.routes) == (None, DENY_ALL, NO_ROUTES)
    assert (CLOSED.closed, CLOSED.state(IN_TIME)) == (Reason.STARTING, State.STARTING)


def test_a_live_lease_without_holds_runs() -> None:
    assert (LIVE.closed, LIVE.state(IN_TIME)) == (None, State.RUNNING)


@pytest.mark.parametrize(("boot", "wall"), [(100, 99), (99, 100), (100, 100), (10**9, 0)])
def test_a_lease_past_either_deadline_is_contained(boot: int, wall: int) -> None:
    assert LIVE.state(Now(BootNs(boot), WallMs(wall))) is State.CONTAINED


def test_without_a_lease_the_reason_is_why_there_is_none() -> None:
    lost = Snapshot(absent=Reason.BEAT_STALE)
    assert (lost.closed, lost.state(IN_TIME)) == (Reason.BEAT_STALE, State.CONTAINED)


@pytest.mark.parametrize(
    ("hold", "state"),
    [
        (PASSING, State.CONTAINED), (DRAINING, State.DRAINING), (STICKY, State.HALTED),
        (LATCHED, State.QUARANTINED),
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", [CLOSED, LIVE])
def test_a_hold_decides_the_state_and_the_reason(start: Snapshot, hold: Hold, state: State) -> None:
    held = start.held(hold)
    assert (held.closed, held.state(IN_TIME)) == (hold.reason, state)


@pytest.mark.parametrize("order", [*permutations(HOLDS)])
def test_the_hardest_hold_speaks_whatever_the_order_of_arrival(order: tuple[Hold, ...]) -> None:
    held = LIVE
    for hold in order:
        held = held.held(hold)
    assert held.holds == (LATCHED, STICKY, PASSING, DRAINING)
    assert held == LIVE.held(*order)


def test_holds_of_one_kind_come_by_code_and_then_by_evidence() -> None:
    second = replace(LATCHED, evidence="cc")
    first_code = Hold(Reason.SIG_INVALID, HoldKind.LATCHED, "zz")
    assert LIVE.held(second, LATCHED, first_code).holds == (first_code, LATCHED, second)


def test_the_same_hold_twice_is_one_hold() -> None:
    assert LIVE.held(STICKY).held(STICKY).holds == (STICKY,)


def test_a_hold_never_replaces_another() -> None:
    assert set(LIVE.held(STICKY).held(PASSING, LATCHED).holds) == {STICKY, PASSING, LATCHED}


def test_holding_leaves_the_original_alone() -> None:
    LIVE.held(*HOLDS)
    assert LIVE.holds == ()


def test_a_snapshot_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        LIVE.lease = None  # type: ignore[misc]


@given(
    st.sets(st.sampled_from(HOLDS)),
    st.booleans(),
    st.integers(0, 200),
    st.integers(0, 200),
    st.sampled_from([Reason.STARTING, Reason.QUORUM_LOST]),
)
def test_only_a_live_lease_without_holds_runs(
    holds: set[Hold],
    leased: bool,  # noqa: FBT001
    boot: int,
    wall: int,
    absent: Reason,
) -> None:
    at = Now(BootNs(boot), WallMs(wall))
    snapshot = Snapshot(lease=LEASE if leased else None, absent=absent).held(*holds)
    runs = snapshot.state(at) is State.RUNNING
    assert runs == (leased and not holds and boot < 100 and wall < 100)
    assert not runs or snapshot.closed is None
