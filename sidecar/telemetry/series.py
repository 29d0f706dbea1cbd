"""Counters, gauges and histograms as plain integers, and how Prometheus is told about them.

Adding to one is a dictionary look-up and an addition: no lock (there is one event loop) and no
float. Each knows its labels; a series that could exist should be started at 0, because an alert on
a rate cannot see a counter that appears with its first increment.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

NS_PER_S = 1_000_000_000


class Counter:
    """Something that only grows, by label values.

    Attributes:
        source: Where a part of the program that counts for itself is asked at each scrape.
    """

    __slots__ = ("about", "labels", "name", "source", "values")

    def __init__(self, name: str, about: str, *labels: str) -> None:
        self.name, self.about, self.labels = name, about, labels
        self.values: dict[tuple[str, ...], int] = {} if labels else {(): 0}
        self.source: Callable[[], int] | None = None

    def add(self, *values: str, count: int = 1) -> None:
        """Count one more; `values` in the order of the labels."""
        self.values[values] = self.values.get(values, 0) + count

    def start(self, *values: str) -> None:
        """Show this series at 0 until something happens."""
        self.values.setdefault(values, 0)

    def family(self) -> Metric:
        """Its samples, now."""
        if self.source is not None:
            self.values[()] = self.source()
        family = CounterMetricFamily(
            self.name.removesuffix("_total"), self.about, None, self.labels
        )
        for values, count in self.values.items():
            family.add_metric(values, count)
        return family


class Gauge:
    """Something that is as it is now, by label values. Without a value it has no sample.

    Attributes:
        source: Asked at each scrape, when set.
    """

    __slots__ = ("about", "labels", "name", "source", "values")

    def __init__(self, name: str, about: str, *labels: str) -> None:
        self.name, self.about, self.labels = name, about, labels
        self.values: dict[tuple[str, ...], float] = {}
        self.source: Callable[[], float | None] | None = None

    def set(self, value: float, *values: str) -> None:
        """Replace the value of one series."""
        self.values[values] = value

    def only(self, value: float, *values: str) -> None:
        """Replace all series by this one: what an `_info` metric does when its subject changes."""
        self.values = {values: value}

    def family(self) -> Metric:
        """Its samples, now."""
        if self.source is not None:
            value = self.source()
            self.values = {} if value is None else {(): value}
        family = GaugeMetricFamily(self.name, self.about, None, self.labels)
        for values, value in self.values.items():
            family.add_metric(values, value)
        return family


class Histogram:
    """Durations, in nanoseconds, by upper bound.

    Args:
        name: Ends in `_seconds`: the unit that is shown.
        about: One line.
        bounds_ns: Inclusive upper bounds, ascending.
    """

    __slots__ = ("about", "bounds_ns", "counts", "name", "sum_ns")

    def __init__(self, name: str, about: str, bounds_ns: Sequence[int]) -> None:
        self.name, self.about, self.bounds_ns = name, about, tuple(bounds_ns)
        self.counts = [0] * (len(self.bounds_ns) + 1)
        self.sum_ns = 0

    def observe(self, duration_ns: int) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds_ns, duration_ns)] += 1
        self.sum_ns += duration_ns

    def family(self) -> Metric:
        """Its cumulative buckets, now."""
        buckets, total = [], 0
        names = [*(str(bound / NS_PER_S) for bound in self.bounds_ns), "+Inf"]
        for name, count in zip(names, self.counts, strict=True):
            total += count
            buckets.append((name, total))
        family = HistogramMetricFamily(self.name, self.about)
        family.add_metric([], buckets, self.sum_ns / NS_PER_S)
        return family
