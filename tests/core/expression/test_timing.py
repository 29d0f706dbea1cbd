"""Times and durations; that this is CEL is tested in tests/expressions."""

import pytest

from sidecar.core.expression import timing
from sidecar.core.expression.kind import (
    INT_MIN,
    NS_PER_S,
    TIMESTAMP_MAX_NS,
    TIMESTAMP_MIN_NS,
    EvaluationError,
)


def test_a_timestamp_outside_of_the_years_1_to_9999_is_an_error() -> None:
    for end, beyond in ((TIMESTAMP_MIN_NS, -1), (TIMESTAMP_MAX_NS, 1)):
        assert timing.within(end) == end
        with pytest.raises(EvaluationError):
            timing.within(end + beyond)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (TIMESTAMP_MIN_NS, "0001-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.500Z"),
        (1_000, "1970-01-01T00:00:00.000001Z"),
    ],
)
def test_a_timestamp_is_written_with_3_6_or_9_digits_or_none(ns: int, text: str) -> None:
    assert timing.timestamp_text(ns) == text


@pytest.mark.parametrize(
    ("ns", "text"), [(0, "0s"), (-1_500_000_000, "-1.500s"), (1, "0.000000001s")]
)
def test_a_duration_is_written_in_seconds(ns: int, text: str) -> None:
    assert timing.duration_text(ns) == text


def test_a_duration_between_timestamps_has_64_bits() -> None:
    assert timing.between(NS_PER_S, 0) == NS_PER_S
    with pytest.raises(EvaluationError):
        timing.between(TIMESTAMP_MAX_NS, 0)
    with pytest.raises(EvaluationError):  # fits, but the difference of its whole seconds does not
        timing.between(-1, -(INT_MIN + NS_PER_S // 4) // NS_PER_S * NS_PER_S)


def test_parts_of_a_time_before_1970_are_those_of_its_date() -> None:
    parts = {name: part(-1) for name, part in timing.PARTS.items()}
    assert parts["timestamp_to_year"] == 1969
    assert parts["timestamp_to_month"] == 11
    assert parts["timestamp_to_day_of_month"] == 30
    assert parts["timestamp_to_day_of_month_1_based"] == 31
    assert parts["timestamp_to_hours"] == 23
    assert parts["timestamp_to_milliseconds"] == 999
    assert parts["duration_to_seconds"] == 0
