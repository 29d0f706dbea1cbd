"""Plain integers in, Prometheus families out."""

from sidecar.telemetry.series import Counter, Gauge, Histogram


def samples(series: Counter | Gauge | Histogram) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value for sample in series.family().samples
    }


def test_a_counter_without_labels_is_there_at_zero() -> None:
    assert samples(Counter("x_total", "about")) == {("x_total",): 0}


def test_a_started_series_is_zero_and_starting_again_keeps_the_count() -> None:
    counter = Counter("x_total", "about", "reason")
    counter.start("a")
    counter.add("b")
    counter.add("b", count=2)
    counter.start("b")
    assert samples(counter) == {("x_total", "a"): 0, ("x_total", "b"): 3}


def test_a_source_is_asked_at_each_scrape() -> None:
    numbers = iter([1, 2])
    counter = Counter("x_total", "about")
    counter.source = lambda: next(numbers)
    assert samples(counter) == {("x_total",): 1}
    assert samples(counter) == {("x_total",): 2}


def test_a_gauge_has_no_sample_until_it_has_a_value() -> None:
    gauge = Gauge("x", "about")
    assert samples(gauge) == {}
    gauge.source = lambda: None
    assert samples(gauge) == {}
    gauge.source = lambda: 4
    assert samples(gauge) == {("x",): 4}


def test_an_info_keeps_only_its_latest_subject() -> None:
    gauge = Gauge("x_info", "about", "name")
    gauge.only(1, "old")
    gauge.only(1, "new")
    assert samples(gauge) == {("x_info", "new"): 1}


def test_buckets_are_cumulative_and_their_bounds_inclusive() -> None:
    histogram = Histogram("x_seconds", "about", [1000, 2000])
    for duration_ns in (1000, 1001, 2000, 2001):
        histogram.observe(duration_ns)
    assert samples(histogram) == {
        ("x_seconds_bucket", "1e-06"): 1,
        ("x_seconds_bucket", "2e-06"): 3,
        ("x_seconds_bucket", "+Inf"): 4,
        ("x_seconds_count",): 4,
        ("x_seconds_sum",): 6002 / 1e9,
    }
