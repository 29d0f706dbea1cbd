"""What lies ahead forbids what is behind."""

from sidecar.core.horizon import Horizon
from sidecar.core.objects.beat import Beat
from tests import builders

TRUST = builders.make_trust()
FIRST = builders.make_epoch(TRUST)
SECOND = builders.make_epoch(TRUST, FIRST)
BELOW = builders.make_beat(TRUST, FIRST)
LATER = builders.make_beat(TRUST, FIRST, seq=2, issued_at=builders.NOW + 1)
ABOVE = builders.make_beat(TRUST, SECOND)


def seen(*beats: Beat, dead: tuple[Beat, ...] = ()) -> Horizon:
    horizon = Horizon()
    for beat in beats:
        horizon.look(beat, lambda one: one not in dead)
    return horizon


def test_a_beat_for_a_higher_epoch_counts_above_a_later_one_for_a_lower() -> None:
    assert seen(ABOVE, LATER).ahead is ABOVE
    assert seen(BELOW, LATER).ahead is LATER


def test_a_higher_epoch_forbids_the_lower_one_and_not_itself() -> None:
    assert seen(ABOVE).forbids(1)
    assert not seen(ABOVE).forbids(2)
    assert not seen(BELOW).forbids(1)


def test_what_names_a_lower_one_is_not_forgotten_for_what_names_the_highest() -> None:
    """A thief's beat for an epoch that nobody signed may be the first to grow old."""
    third = builders.make_beat(TRUST, builders.make_epoch(TRUST, SECOND))
    horizon = seen(ABOVE, third)
    horizon.look(LATER, lambda one: one is not third)
    assert horizon.ahead is ABOVE
    assert horizon.forbids(1)


def test_a_beat_that_is_dead_forbids_nothing_any_more() -> None:
    assert not seen(ABOVE, BELOW, dead=(ABOVE,)).forbids(1)


def test_what_has_ended_stays_ended() -> None:
    """Else whoever serves older beats would bring back what an immediate epoch ended."""
    horizon = seen(ABOVE)
    horizon.end_below(2)
    horizon.look(BELOW, lambda one: one is not ABOVE)
    assert horizon.forbids(1)


def test_what_an_issuer_without_its_role_said_forbids_nothing() -> None:
    horizon = seen(ABOVE)
    horizon.keep([ABOVE.issuer])
    assert horizon.forbids(1)
    horizon.keep([])
    assert not horizon.forbids(1)


def test_what_has_ended_stays_ended_whoever_loses_a_role() -> None:
    horizon = seen(ABOVE)
    horizon.end_below(2)
    horizon.keep([])
    assert horizon.forbids(1)
