"""How long the oldest record waits, whatever the wall clock does."""

from sidecar.audit.sinks import lag
from sidecar.audit.sinks.lag import Lag
from sidecar.core.instant import Now, WallMs
from tests import builders


def test_nothing_waits_at_first() -> None:
    assert Lag().ms(builders.now()) == 0


def test_it_is_the_age_of_the_oldest_that_was_not_acknowledged() -> None:
    found = Lag()
    found.seen(10, builders.now(0))
    found.seen(20, builders.now(1000))
    assert found.ms(builders.now(1500)) == 1500
    found.acknowledged(9)
    assert found.ms(builders.now(1500)) == 1500, "the tenth still waits"
    found.acknowledged(10)
    assert found.ms(builders.now(1500)) == 500
    found.acknowledged(20)
    assert found.ms(builders.now(9999)) == 0


def test_the_wall_clock_changes_nothing() -> None:
    found = Lag()
    found.seen(1, builders.now(0))
    for wall in (0, 2**45):
        assert found.ms(Now(builders.now(700).boot, WallMs(wall))) == 700


def test_what_waited_before_the_process_counts_from_then() -> None:
    found = Lag()
    found.seen(5, builders.now(0), age_ms=60_000)
    assert found.ms(builders.now(10)) == 60_010


def test_a_sink_that_is_dead_for_days_costs_no_memory_and_stays_as_old_as_it_is() -> None:
    found = Lag()
    for second in range(3 * lag.SEEN_MAX):
        found.seen(second + 1, builders.now(second * 1000))
    assert len(found._seen) <= lag.SEEN_MAX
    end = builders.now(3 * lag.SEEN_MAX * 1000)
    assert found.ms(end) == 3 * lag.SEEN_MAX * 1000
    found.acknowledged(lag.SEEN_MAX)
    left_ms = 2 * lag.SEEN_MAX * 1000
    assert left_ms <= found.ms(end) <= left_ms + 4000, "never younger than it is"
    found.acknowledged(3 * lag.SEEN_MAX)
    assert found.ms(end) == 0
