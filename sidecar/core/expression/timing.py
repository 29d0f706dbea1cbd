"""Points in time and durations, both in nanoseconds: their parts and their texts.

Dates are those of the calendar of today, back to the year 1 (proleptic Gregorian), in UTC.

Source: cel-spec, langdef.md, "List of Standard Definitions"; the texts are those of protobuf JSON.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from sidecar.core.expression.arithmetic import bounded
from sidecar.core.expression.kind import (
    NS_PER_S,
    TIMESTAMP_MAX_NS,
    TIMESTAMP_MIN_NS,
    EvaluationError,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_MS = 1_000_000


def within(timestamp_ns: int) -> int:
    """The timestamp, if it has a date from year 1 to 9999."""
    if TIMESTAMP_MIN_NS <= timestamp_ns <= TIMESTAMP_MAX_NS:
        return timestamp_ns
    raise EvaluationError("timestamp overflow")


def between(later_ns: int, earlier_ns: int) -> int:
    """The duration from one timestamp to another.

    The whole seconds alone have to fit, too: cel-cpp and cel-go subtract these first.
    """
    bounded((later_ns // NS_PER_S - earlier_ns // NS_PER_S) * NS_PER_S)
    return bounded(later_ns - earlier_ns)


def date(timestamp_ns: int) -> datetime:
    """The date and time of day, without what is smaller than a second."""
    return _EPOCH + timedelta(seconds=within(timestamp_ns) // NS_PER_S)  # a clock can be anywhere


def timestamp_text(timestamp_ns: int) -> str:
    """As RFC 3339, with as many digits after the point as it needs: none, 3, 6 or 9."""
    when = date(timestamp_ns).replace(tzinfo=None).isoformat()
    return f"{when}{_fraction(timestamp_ns % NS_PER_S)}Z"


def duration_text(duration_ns: int) -> str:
    """In seconds, as `1.500s`."""
    seconds, rest = divmod(abs(duration_ns), NS_PER_S)
    return f"{'-' if duration_ns < 0 else ''}{seconds}{_fraction(rest)}s"


def _fraction(ns: int) -> str:
    if ns == 0:
        return ""
    digits = f"{ns:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}"


def _whole(duration_ns: int, unit_ns: int) -> int:
    """Whole units, towards zero."""
    units = abs(duration_ns) // unit_ns
    return -units if duration_ns < 0 else units


def _duration_milliseconds(duration_ns: int) -> int:
    """Of the second that has begun."""
    rest = abs(duration_ns) % NS_PER_S // _NS_PER_MS
    return -rest if duration_ns < 0 else rest


# By the overload names of the CEL specification. Months and days count from 0 where CEL says so.
PARTS: Mapping[str, Callable[[int], int]] = MappingProxyType(
    {
        "timestamp_to_year": lambda ns: date(ns).year,
        "timestamp_to_month": lambda ns: date(ns).month - 1,
        "timestamp_to_day_of_month": lambda ns: date(ns).day - 1,
        "timestamp_to_day_of_month_1_based": lambda ns: date(ns).day,
        "timestamp_to_day_of_week": lambda ns: date(ns).isoweekday() % 7,
        "timestamp_to_day_of_year": lambda ns: date(ns).timetuple().tm_yday - 1,
        "timestamp_to_hours": lambda ns: ns // (3600 * NS_PER_S) % 24,
        "timestamp_to_minutes": lambda ns: ns // (60 * NS_PER_S) % 60,
        "timestamp_to_seconds": lambda ns: ns // NS_PER_S % 60,
        "timestamp_to_milliseconds": lambda ns: ns % NS_PER_S // _NS_PER_MS,
        "timestamp_to_int64": lambda ns: ns // NS_PER_S,
        "duration_to_hours": lambda ns: _whole(ns, 3600 * NS_PER_S),
        "duration_to_minutes": lambda ns: _whole(ns, 60 * NS_PER_S),
        "duration_to_seconds": lambda ns: _whole(ns, NS_PER_S),
        "duration_to_milliseconds": _duration_milliseconds,
    }
)
