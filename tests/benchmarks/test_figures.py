"""Medians, ratios, percentiles, verdicts."""

import pytest

from benchmarks import figures, targets
from benchmarks.figures import Target


def test_a_summary_is_the_median_with_its_range() -> None:
    found = figures.summary([{"a": 3.0}, {"a": 1.0}, {"a": 7.0, "b": 2.0}])
    assert found["a"] == {"median": 3.0, "min": 1.0, "max": 7.0}
    assert found["b"]["median"] == 2.0


def test_ratios_are_taken_within_a_round() -> None:
    rounds = [{"ours": 4.0, "theirs": 2.0}, {"ours": 9.0, "theirs": 3.0}, {"ours": 1.0}]
    assert figures.ratios(rounds, "ours", {"r": "theirs"}) == [{"r": 2.0}, {"r": 3.0}, {}]


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(1.0, "met, stretch too"), (2.0, "met"), (3.0, "**missed by 50%**")],
)
def test_a_target_says_whether_it_was_met(measured: float, verdict: str) -> None:
    assert Target(1, "x", "ms", limit=2.0, stretch=1.0, measured=measured).verdict == verdict


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(0.95, "met, stretch too"), (0.7, "met"), (0.35, "**missed by 50%**")],
)
def test_a_target_can_be_a_floor(measured: float, verdict: str) -> None:
    one = Target(15, "x", "ms", limit=0.7, stretch=0.9, measured=measured, at_least=True)
    assert one.verdict == verdict


def test_percentiles_are_microseconds_by_name() -> None:
    found = figures.percentiles([number / 1e6 for number in range(1001)], "delay: ")
    assert found["delay: p50, µs"] == pytest.approx(500)
    assert found["delay: p99, µs"] == pytest.approx(990)
    assert found["delay: p99.9, µs"] == pytest.approx(999)


def test_a_target_takes_the_median_of_its_figure_in_its_unit() -> None:
    found = targets.of("decide", {"permit, 32 rules": {"median": 2_500.0}})
    assert [(one.number, one.measured) for one in found] == [(6, 2.5)]


def test_targets_1_to_11_13_to_15_and_17_are_all_there() -> None:
    assert {one.number for one in targets.WANTED} == {*range(1, 12), 13, 14, 15, 17}
