"""Two clocks that count the same time, until one does not."""

import pytest

from sidecar.core.clockwatch import PERIOD_MS, ClockWatch
from sidecar.core.instant import Now, WallMs
from sidecar.core.lease import Freshness, Terms
from sidecar.core.reason import Reason
from tests.builders import NOW, now

STEP_MS = 250
TERMS = Terms(ttl_ms=4000, skew_ms=500, drift_ppm=2000)


def terms(freshness: Freshness) -> Terms:
    return Terms(4000, 500, 2000, freshness)


def looked(*looks: tuple[int, int], freshness: Freshness = "clock") -> list[Reason | None]:
    """What each look says; a look: boot and wall milliseconds."""
    watch = ClockWatch(STEP_MS, 0)
    return [
        watch.look(Now(now(boot_ms).boot, now(wall_ms).wall), terms(freshness))
        for boot_ms, wall_ms in looks
    ]


def test_the_first_look_has_nothing_to_compare_with() -> None:
    assert looked((5, -(10**9))) == [None]


@pytest.mark.parametrize(
    ("wall_ms", "found"),
    [(100, None), (350, None), (351, Reason.CLOCK_STEP), (-150, None), (-151, Reason.CLOCK_STEP)],
)
def test_a_step_is_told_where_it_is_larger_than_the_tolerance(
    wall_ms: int, found: Reason | None
) -> None:
    assert looked((0, 0), (100, wall_ms)) == [None, found]


def test_a_step_is_told_once() -> None:
    assert looked((0, 0), (100, 9100), (200, 9200)) == [None, Reason.CLOCK_STEP, None]


def test_drift_below_the_tolerance_never_adds_up() -> None:
    looks = [(number * 100, number * 140) for number in range(50)]
    assert set(looked(*looks)) == {None}


@pytest.mark.parametrize(
    ("late_ms", "found"),
    [(PERIOD_MS + 2000, None), (PERIOD_MS + 2001, Reason.SUSPEND_GAP), (-1, Reason.SUSPEND_GAP)],
)
def test_a_look_that_is_late_by_more_than_half_a_ttl_is_told(
    late_ms: int, found: Reason | None
) -> None:
    assert looked((0, 0), (late_ms, late_ms)) == [None, found]


@pytest.mark.parametrize(("freshness", "told"), [("clock", True), ("both", True), ("nonce", False)])
def test_where_only_a_nonce_counts_the_wall_clock_may_do_what_it_likes(
    *, freshness: Freshness, told: bool
) -> None:
    assert (looked((0, 0), (100, 9_000), freshness=freshness)[1] is not None) == told
    watch = ClockWatch(STEP_MS, NOW)
    assert watch.regressed(WallMs(NOW - 501), terms(freshness)) == told


def test_standing_still_counts_whatever_freshness_leans_on() -> None:
    assert looked((0, 0), (9_000, 0), freshness="nonce")[1] is Reason.SUSPEND_GAP


def test_a_wall_clock_may_be_behind_its_past_by_the_skew() -> None:
    watch = ClockWatch(STEP_MS, NOW)
    assert not watch.regressed(WallMs(NOW - 500), TERMS)
    assert watch.regressed(WallMs(NOW - 501), TERMS)


def test_without_a_past_nothing_is_behind_it() -> None:
    assert not ClockWatch(STEP_MS, 0).regressed(WallMs(0), TERMS)
