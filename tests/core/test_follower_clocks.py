"""Clocks that step, stand still or go back: what leaned on them is given up."""

import pytest

from sidecar.core import events as ev
from sidecar.core import marks
from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.core.objects.trust import Role
from sidecar.core.reason import Reason
from sidecar.core.snapshot import State
from tests import builders, covering
from tests.builders import now
from tests.core.test_follower import FIRST, TRUST, A, B, C, Rig, beat, only, outcome, shown

STEP_MS = 1000


def stepped(ms: int, by_ms: int = STEP_MS) -> Now:
    """Both clocks at that time, the wall clock set by so much."""
    return Now(now(ms).boot, WallMs(now(ms).wall + by_ms))


@pytest.fixture
def serving() -> Rig:
    rig = Rig()
    rig.feed(ev.Ticked(), now(0))
    rig.whole(0, beat(FIRST, 1))
    assert rig.lease is not None
    return rig


def whole_at(rig: Rig, at: Now, *beats: bytes) -> list[ev.Command]:
    """A round at that instant."""
    rig.round += 1
    commands = rig.feed(ev.RoundDue(0.5), at)
    for peer in (A, B, C):
        commands += rig.feed(ev.PeerReplied(peer, rig.round, shown(*beats)), at)
    return commands


def test_clocks_that_go_on_together_say_nothing(serving: Rig) -> None:
    for ms in range(100, 2000, 100):
        assert serving.feed(ev.Ticked(), now(ms)) == []


@pytest.mark.parametrize("by_ms", [-STEP_MS, STEP_MS, -251, 251])
def test_a_step_of_the_wall_clock_ends_the_lease_at_once(serving: Rig, by_ms: int) -> None:
    commands = serving.feed(ev.Ticked(), stepped(100, by_ms))
    assert serving.gate.closed is Reason.CLOCK_STEP
    assert only(commands, ev.WakeAfter) == [ev.WakeAfter(0)], "a fresh round, now"


@pytest.mark.parametrize("by_ms", [-250, 250])
def test_a_difference_within_the_tolerance_is_no_step(serving: Rig, by_ms: int) -> None:
    assert serving.feed(ev.Ticked(), stepped(100, by_ms)) == []


def test_after_a_step_the_beat_that_was_used_gives_nothing(serving: Rig) -> None:
    serving.feed(ev.Ticked(), stepped(100))
    whole_at(serving, stepped(110), beat(FIRST, 1))
    assert serving.gate.closed is Reason.CLOCK_STEP
    whole_at(serving, stepped(300), beat(FIRST, 2, 250 + STEP_MS))
    assert serving.gate.state(stepped(300)) is State.RUNNING


def test_a_round_that_was_under_way_grants_nothing(serving: Rig) -> None:
    """Its send was read from the clock that has just proved wrong."""
    serving.begin(90)
    serving.reply(A, 95, beat(FIRST, 2, 80))
    serving.feed(ev.Ticked(), stepped(100))
    serving.reply(B, 105, beat(FIRST, 2, 80))
    serving.reply(C, 105, beat(FIRST, 2, 80))
    assert serving.gate.closed is Reason.CLOCK_STEP
    assert Reason.CLOCK_STEP in serving.gate.unmet
    whole_at(serving, stepped(200), beat(FIRST, 2, 80))
    assert serving.lease is not None, "it was not used, and is newer"


def test_a_lease_that_was_being_stored_is_not_published() -> None:
    rig = Rig(stores=False)
    rig.feed(ev.Ticked(), now(0))
    rig.whole(90, beat(FIRST, 1))
    rig.feed(ev.Ticked(), stepped(100))
    rig.feed(ev.Stored(rig.pending[0].generation), stepped(110))
    assert rig.lease is None
    assert rig.gate.closed is Reason.CLOCK_STEP


def test_a_step_takes_what_one_of_two_issuers_gave(serving: Rig) -> None:
    """What waits for a second issuer leaned on the clock before the step as well."""
    two = builders.make_trust(roles={**builders.ROLES, Role.BEAT: (2, 2)})
    raw = builders.epoch_bytes(two)
    epoch = builders.open_epoch(raw, two)
    objects = {**serving.objects, f"eg:{{test}}:epoch:{epoch.sha256}": raw}
    rig = Rig(trust=two, objects=objects)
    rig.feed(ev.Ticked(), now(0))
    one, other = (
        builders.beat_bytes(two, epoch, number=number, issued_at=builders.NOW) for number in (1, 2)
    )
    rig.whole(0, one)
    rig.feed(ev.Ticked(), stepped(100, -400))
    whole_at(rig, stepped(110, -400), other)
    assert rig.gate.unmet == (Reason.THRESHOLD_NOT_MET,)
    whole_at(rig, stepped(120, -400), one, other)
    assert rig.lease is not None


def test_before_any_lease_a_step_leaves_the_reason_as_it_is() -> None:
    rig = Rig()
    rig.feed(ev.Ticked(), now(0))
    rig.feed(ev.Ticked(), stepped(100))
    assert rig.gate.closed is Reason.STARTING


# -- standing still


@pytest.mark.parametrize(("late_ms", "ends"), [(2100, False), (2101, True)])
def test_a_tick_that_is_late_by_more_than_half_a_ttl_ends_the_lease(
    serving: Rig, *, late_ms: int, ends: bool
) -> None:
    serving.feed(ev.Ticked(), now(late_ms))
    assert (serving.gate.closed is Reason.SUSPEND_GAP) == ends


def test_standing_still_counts_where_only_a_nonce_does_too() -> None:
    rig = Rig(freshness="nonce", identity=covering.identity())
    rig.feed(ev.Ticked(), now(0))
    (wake,) = only(rig.feed(ev.Ticked(), now(5000)), ev.WakeAfter)
    assert wake == ev.WakeAfter(0)


def test_the_first_look_compares_with_nothing() -> None:
    assert Rig().feed(ev.Ticked(), now(10**9)) == []


# -- going back


def test_a_wall_clock_behind_what_was_stored_gives_no_lease(serving: Rig) -> None:
    assert serving.disk is not None
    kept = marks.decode(serving.disk, "test")
    assert kept.last_wall == now(0).wall
    after = serving.restarted()
    back = WallMs(builders.NOW - 501)
    ended = outcome(whole_at(after, Now(now(0).boot, back), beat(FIRST, 2, -501)))
    assert after.lease is None
    assert ended.faults == (Reason.CLOCK_REGRESSION,)


def test_a_wall_clock_behind_it_by_no_more_than_the_skew_is_believed(serving: Rig) -> None:
    after = serving.restarted()
    whole_at(after, Now(now(0).boot, WallMs(builders.NOW - 500)), beat(FIRST, 2, -500))
    assert after.lease is not None


def test_a_wall_clock_set_back_renews_nothing_with_beats_that_were_held_back(serving: Rig) -> None:
    """In small steps that no look sees: they are fresh by that clock, and by no other."""
    for number in range(2, 200):
        boot = BootNs(now().boot + number * 100 * NS_PER_MS)
        at = Now(boot, WallMs(builders.NOW + number))  # a hundredth of the time that passes
        whole_at(serving, at, beat(FIRST, number, number))
    assert serving.lease is not None
    # The first beat came when it was issued, and each after it later and later.
    bound_ms = 4000 + 2 * TRUST.body.limits.skew_max_ms
    assert serving.lease.deadline <= BootNs(now(bound_ms + 200).boot)
