"""The arithmetic of the guarantee: at the deadline, true time is at most issued_at + ttl."""

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core import lease
from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.core.lease import PPM, Lease, Terms
from sidecar.core.objects.beat import Beat
from sidecar.core.quorum import Agreement, PeerId
from sidecar.core.reason import Reason
from tests import builders
from tests.builders import BOOT, NOW

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
TERMS = Terms(ttl_ms=4000, skew_ms=500, drift_ppm=0)


def beat(**changes: Any) -> Beat:
    return builders.make_beat(TRUST, EPOCH, **changes)


def grant(one: Beat, sent: Now, terms: Terms = TERMS) -> Lease | Reason:
    peers = (PeerId("a"), PeerId("b"))
    return lease.grant(Agreement(1, EPOCH.sha256, peers, (one,)), one, sent, terms)


def granted(one: Beat, sent: Now, terms: Terms = TERMS) -> Lease:
    found = grant(one, sent, terms)
    assert isinstance(found, Lease)
    return found


def ms_left(one: Beat, sent: Now, terms: Terms = TERMS) -> int:
    return (granted(one, sent, terms).deadline - sent.boot) // NS_PER_MS


def test_lease_lasts_ttl_less_skew_from_the_issue() -> None:
    """Less one millisecond too: the wall clock is read in whole ones, rounded down."""
    assert ms_left(beat(), builders.now()) == 3499
    assert ms_left(beat(), builders.now(1000)) == 2499


def test_lease_is_counted_from_the_send_so_a_slow_reply_only_shortens_it() -> None:
    """Counting from the receipt is the classic bug: a reply held back would buy time."""
    early, late = granted(beat(), builders.now(0)), granted(beat(), builders.now(900))
    assert early.deadline == late.deadline, "the same beat never lasts longer for arriving later"


def test_wall_clock_that_is_behind_buys_no_more_than_ttl() -> None:
    behind = Now(BOOT, WallMs(NOW - 10_000))
    assert ms_left(beat(), behind) == 4000


def test_drift_shortens_the_lease() -> None:
    terms = Terms(ttl_ms=4000, skew_ms=500, drift_ppm=2000)
    assert ms_left(beat(), builders.now(), terms) == 3492


def test_shortest_ttl_of_beat_and_terms_counts() -> None:
    assert ms_left(beat(ttl_ms=1000), builders.now()) == 499
    assert ms_left(beat(ttl_ms=90_000), builders.now()) == 3499


def test_both_clocks_have_to_be_before_their_deadlines() -> None:
    found = granted(beat(), builders.now())
    last = Now(BootNs(found.deadline - 1), WallMs(found.wall_deadline - 1))
    assert found.live(last)
    assert not found.live(Now(found.deadline, last.wall))
    assert not found.live(Now(last.boot, found.wall_deadline))


def test_beat_with_nothing_left_grants_nothing() -> None:
    assert grant(beat(), builders.now(3498)) is not Reason.BEAT_STALE
    assert grant(beat(), builders.now(3499)) is Reason.BEAT_STALE
    assert grant(beat(ttl_ms=500), builders.now()) is Reason.BEAT_STALE


@pytest.mark.parametrize(
    ("issued_at", "reason"),
    [
        (NOW, None),
        (NOW + 500, None),
        (NOW + 501, Reason.BEAT_FROM_FUTURE),
        (NOW - 3499, None),
        (NOW - 3500, Reason.BEAT_STALE),
    ],
)
def test_beat_is_judged_by_its_own_times(issued_at: int, reason: Reason | None) -> None:
    assert lease.judge(beat(issued_at=issued_at), TERMS, NOW) is reason


skews = st.integers(0, 2000)


@given(
    ttl=st.integers(100, 60_000),
    skew_max=skews,
    skew=st.integers(-2000, 2000),
    drift_max=st.integers(0, 5000),
    drift=st.integers(-5000, 5000),
    age_us=st.integers(0, 70_000_000),
)
@example(ttl=4000, skew_max=500, skew=-500, drift_max=2000, drift=-2000, age_us=0)
@example(ttl=4000, skew_max=500, skew=500, drift_max=2000, drift=2000, age_us=3_000_999)
def test_deadline_is_never_later_than_issue_plus_ttl_in_true_time(
    ttl: int, skew_max: int, skew: int, drift_max: int, drift: int, age_us: int
) -> None:
    """Whatever the clocks do within their bounds: skew of the wall, rate of the boot clock.

    True time is the authority's. At the send it is `NOW + age`, our wall clock says `skew` more and
    is read in whole milliseconds, and one true second is `1 + drift` seconds on our boot clock.
    """
    skew = max(-skew_max, min(skew, skew_max))
    drift = max(-drift_max, min(drift, drift_max))
    terms = Terms(ttl, skew_max, drift_max)
    age = Fraction(age_us, 1000)
    sent = Now(BOOT, WallMs(math.floor(NOW + age + skew)))
    found = grant(beat(ttl_ms=ttl), sent, terms)
    if isinstance(found, Reason):
        return
    boot_ms = Fraction(found.deadline - sent.boot, NS_PER_MS)
    true_ms = boot_ms / (1 + Fraction(drift, PPM))
    assert NOW + age + true_ms <= NOW + ttl
    # By the wall clock alone, had the boot clock stood still:
    assert found.wall_deadline - skew <= NOW + ttl


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_newer_beat_never_ends_a_lease_earlier(first: int, second: int) -> None:
    older, newer = sorted((first, second))
    sent = builders.now(second)
    one, two = grant(beat(issued_at=NOW + older), sent), grant(beat(issued_at=NOW + newer), sent)
    if isinstance(one, Lease) and isinstance(two, Lease):
        assert two.deadline >= one.deadline
        assert two.wall_deadline >= one.wall_deadline


def test_best_is_the_longest_lease_of_the_newer_beats() -> None:
    agreement = Agreement(1, EPOCH.sha256, (PeerId("a"),), ())
    old, new = beat(issued_at=NOW - 2000), beat(issued_at=NOW, number=2)
    far = WallMs(NOW + builders.DAY_MS)
    found = lease.best(agreement, [new, old], builders.now(), TERMS, far)
    assert isinstance(found, Lease)
    assert found.beat == new
    assert lease.best(agreement, [], builders.now(), TERMS, far) is None
    stale = beat(issued_at=NOW - 9000)
    assert lease.best(agreement, [stale], builders.now(), TERMS, far) is Reason.BEAT_STALE


def test_no_lease_outlives_its_epoch_or_the_trust_document() -> None:
    agreement = Agreement(1, EPOCH.sha256, (PeerId("a"),), ())
    found = lease.best(agreement, [beat()], builders.now(), TERMS, WallMs(NOW + 100))
    assert isinstance(found, Lease)
    assert found.wall_deadline == NOW + 100
