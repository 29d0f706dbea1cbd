"""Several processes, one exposition: sums that never go back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.telemetry import figures
from sidecar.telemetry.figures import Figures
from sidecar.telemetry.series import Counter, Gauge, Histogram

REQUESTS = "epochgate_requests_total"
RECORDS = "epochgate_audit_records_total"
SEALED = "epochgate_audit_last_checkpoint_timestamp_seconds"


def counter(name: str = REQUESTS, **values: int) -> Counter:
    made = Counter(name, "about", "result")
    for value, count in values.items():
        made.add(value, count=count)
    return made


def gauge(name: str, value: float) -> Gauge:
    made = Gauge(name, "about")
    made.set(value)
    return made


def histogram(*observed: int) -> Histogram:
    made = Histogram("epochgate_x_seconds", "about", [10, 100])
    for duration in observed:
        made.observe(duration)
    return made


def test_counters_are_added_by_label() -> None:
    others = [figures.of([counter(ok=2, cut=1)]), figures.of([counter(ok=3)])]
    whole = figures.together(counter(ok=1), others)
    assert whole.values == {("ok",): 6, ("cut",): 1}  # type: ignore[union-attr]


def test_histograms_are_added_by_bound() -> None:
    whole = figures.together(histogram(5), [figures.of([histogram(50, 500)])])
    assert isinstance(whole, Histogram)
    assert (whole.counts, whole.sum_ns) == ([1, 1, 1], 555)


def test_a_histogram_with_other_bounds_is_left_out() -> None:
    other = Figures(histograms={"epochgate_x_seconds": ([1], 7)})
    whole = figures.together(histogram(5), [other])
    assert isinstance(whole, Histogram)
    assert whole.sum_ns == 5


def test_gauges_are_added_and_the_oldest_seal_is_shown() -> None:
    flying = "epochgate_inflight_requests"
    others = [figures.of([gauge(flying, 2), gauge(SEALED, 50)]), figures.of([gauge(flying, 3)])]
    assert figures.together(Gauge(flying, ""), others).values == {(): 5}  # type: ignore[union-attr]
    assert figures.together(gauge(SEALED, 70), others).values == {(): 50}  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["epochgate_gate_state", "epochgate_rounds_total"])
def test_what_the_follower_says_is_not_told_by_others(name: str) -> None:
    told = figures.of([gauge(name, 1), counter(name, ok=1)])
    assert told == Figures()


def test_figures_survive_the_way_through_memory() -> None:
    told = figures.of([counter(ok=2), gauge(SEALED, 1.5), histogram(5, 50)])
    assert msgspec.json.decode(msgspec.json.encode(told), type=Figures) == told


def test_the_size_of_a_log_is_not_added_up_over_its_writers() -> None:
    """Whoever comes next reads the log from its beginning, and tells all of it."""
    last = figures.of([counter(RECORDS, x=100), counter(ok=5), gauge(SEALED, 9)])
    kept, left = figures.ended(Figures(), last), figures.of_the_log(last)
    between = figures.together(counter(RECORDS), [kept, left])
    after = figures.together(counter(RECORDS), [kept, figures.of([counter(RECORDS, x=103)])])
    assert between.values == {("x",): 100}  # type: ignore[union-attr]
    assert after.values == {("x",): 103}  # type: ignore[union-attr]
    assert figures.together(counter(), [kept, left]).values == {("ok",): 5}  # type: ignore[union-attr]


lives = st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=4), min_size=1, max_size=4)


@given(lives)
def test_whatever_ends_and_begins_a_count_never_goes_back(lives: list[list[int]]) -> None:
    """Each inner list is one life of a worker: what it counts between two reports."""
    kept, left, shown, total = Figures(), Figures(), 0, 0
    for life in lives:
        mine, flights = counter(ok=0), histogram()
        for count in life:
            mine.add("ok", count=count)
            flights.observe(count)
            total += count
            now = figures.of([mine, flights])
            whole = figures.together(counter(ok=0), [kept, now])
            assert whole.values["ok",] == total >= shown  # type: ignore[union-attr]
            shown = total
        last = figures.of([mine, flights])
        kept, left = figures.ended(kept, last), figures.of_the_log(last)
        whole = figures.together(counter(ok=0), [kept, left])
        assert whole.values["ok",] == total  # type: ignore[union-attr]
    both = figures.together(histogram(), [kept, left])
    assert isinstance(both, Histogram)
    assert sum(both.counts) == sum(len(life) for life in lives)
