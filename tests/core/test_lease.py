"""The arithmetic of the guarantee: at the deadline, true time is at most issued_at + ttl."""

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core import lease
from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.core.lease import PPM, Grants, Lease, Terms
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


AGREED = Agreement(1, EPOCH.sha256, (PeerId("a"),), ())
FAR = WallMs(NOW + builders.DAY_MS)


def offered(*beats: Beat, terms: Terms = TERMS, nonce: Now | None = None) -> Grants:
    """What these beats give, offered in their order."""
    grants = Grants()
    for one in beats:
        found = lease.grant(AGREED, one, builders.now(), terms, nonce)
        assert isinstance(found, Lease)
        grants.offer(found)
    return grants


def test_one_issuer_is_as_good_as_its_newest_beat() -> None:
    old, new = beat(issued_at=NOW - 2000), beat(issued_at=NOW, number=2)
    (found,) = offered(new, old).best(AGREED, 1)
    assert found.beat == new


def test_with_a_threshold_the_worst_of_the_best_counts() -> None:
    """A stolen beat key alone must not keep an epoch alive."""
    old, new = beat(issued_at=NOW - 2000), beat(issued_at=NOW, number=2)
    both = offered(new, old).best(AGREED, 2)
    assert [one.beat for one in both] == [new, old]
    assert lease.together(both, AGREED, FAR).deadline == both[1].deadline
    assert offered(new).best(AGREED, 2) == ()


def test_two_beats_of_one_issuer_are_one() -> None:
    assert offered(beat(seq=1), beat(seq=2)).best(AGREED, 2) == ()


def test_a_beat_that_was_read_before_does_not_stretch_what_it_gave() -> None:
    grants = offered(beat(seq=2))
    slow_wall = Now(builders.now(5).boot, NOW)  # by these clocks the beat would last longer
    later = lease.grant(AGREED, beat(seq=2), slow_wall, TERMS)
    assert isinstance(later, Lease)
    grants.offer(later)
    assert grants.best(AGREED, 1)[0].deadline != later.deadline


def test_what_a_beat_gave_for_another_epoch_counts_for_nothing() -> None:
    other = Agreement(2, "0" * 64, (PeerId("a"),), ())
    assert offered(beat()).best(other, 1) == ()


def test_what_is_forgotten_counts_for_nothing() -> None:
    grants = offered(beat())
    grants.forget()
    assert grants.best(AGREED, 1) == ()


def test_no_lease_outlives_its_epoch_or_the_trust_document() -> None:
    found = lease.together(offered(beat()).best(AGREED, 1), AGREED, WallMs(NOW + 100))
    assert found.wall_deadline == NOW + 100


NONCE = replace(TERMS, drift_ppm=2000, freshness="nonce")
BOTH = replace(NONCE, freshness="both")


def test_a_nonce_lease_counts_from_when_the_report_was_made() -> None:
    made = builders.now(-1000)
    found = lease.grant(AGREED, beat(), builders.now(), NONCE, made)
    assert isinstance(found, Lease)
    assert found.deadline == made.boot + 4000 * NS_PER_MS * 998_000 // 1_000_000
    assert (found.wall_deadline, found.anchor) == (made.wall + 4000, "nonce")


@pytest.mark.parametrize("terms", [NONCE, BOTH])
def test_without_a_covered_report_there_is_no_nonce_lease(terms: Terms) -> None:
    assert lease.grant(AGREED, beat(), builders.now(), terms) is Reason.NONCE_MISSING


def test_with_a_nonce_the_times_of_a_beat_prove_nothing() -> None:
    """A wall clock that is a day off neither opens nor closes."""
    day = beat(issued_at=NOW + builders.DAY_MS)
    assert isinstance(lease.grant(AGREED, day, builders.now(), NONCE, builders.now()), Lease)
    assert lease.judge(day, NONCE, NOW) is None


def test_both_keeps_the_earlier_of_each_deadline() -> None:
    made = builders.now(-3000)
    clock = lease.grant(AGREED, beat(), builders.now(), replace(NONCE, freshness="clock"))
    nonce = lease.grant(AGREED, beat(), builders.now(), NONCE, made)
    both = lease.grant(AGREED, beat(), builders.now(), BOTH, made)
    assert isinstance(clock, Lease)
    assert isinstance(nonce, Lease)
    assert isinstance(both, Lease)
    assert both.deadline == min(clock.deadline, nonce.deadline)
    assert both.wall_deadline == min(clock.wall_deadline, nonce.wall_deadline)


def test_a_report_older_than_a_ttl_gives_nothing() -> None:
    made = builders.now(-4000)
    assert lease.grant(AGREED, beat(), builders.now(), NONCE, made) is Reason.BEAT_STALE
    assert not lease.covers(beat(), made, NONCE, builders.now())
    assert lease.covers(beat(), builders.now(-1000), NONCE, builders.now())


def test_signed_limits_tighten_and_never_loosen() -> None:
    wide = Terms(ttl_ms=9000, skew_ms=1, drift_ppm=1)
    limits = builders.trust.Limits(ttl_max_ms=4000, skew_max_ms=500, drift_ppm=2000)
    assert wide.within(limits) == replace(TERMS, drift_ppm=2000)
    tight = Terms(ttl_ms=1000, skew_ms=900, drift_ppm=5000)
    assert tight.within(limits) == tight


@given(st.integers(0, 5000), st.integers(0, 2000), st.integers(-2000, 2000), st.integers(0, 10**9))
def test_a_nonce_lease_ends_within_ttl_of_the_signature_in_true_time(
    signed_after_ms: int, delay_ms: int, drift_ppm: int, wall_ms: int
) -> None:
    """Whatever the wall clock shows and however late the reply comes."""
    made = Now(builders.BOOT, WallMs(wall_ms))
    rate = 1 + drift_ppm / 1_000_000
    sent = Now(BootNs(int(builders.BOOT + (signed_after_ms + delay_ms) * rate * NS_PER_MS)), NOW)
    found = lease.grant(AGREED, beat(issued_at=1), sent, NONCE, made)
    if isinstance(found, Lease):
        true_ms = (found.deadline - builders.BOOT) / NS_PER_MS / rate
        assert true_ms <= signed_after_ms + 4000
