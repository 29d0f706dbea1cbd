"""Whether a lease outlasts lost beats: the arithmetic of the main README, to the millisecond."""

import pytest

from sidecar.core import timing
from sidecar.core.lease import Freshness, Terms
from sidecar.core.timing import Pace

PACE = Pace(interval_ms=500, publish_ms=100, poll_ms=250, timeout_ms=300)
CLOCK_MS = 4 * 500 + 2 * 100 + 250 + 300  # what may pass until the next beat is read
NONCE_MS = 250 + CLOCK_MS + 300


@pytest.mark.parametrize(
    ("freshness", "ttl_ms", "missing_ms"),
    [
        ("clock", CLOCK_MS + 500 + 1, None),
        ("clock", CLOCK_MS + 500, 1),
        ("clock", CLOCK_MS, 501),
        ("nonce", NONCE_MS + 1, None),
        ("nonce", NONCE_MS, 1),
        ("both", max(NONCE_MS, CLOCK_MS + 500) + 1, None),
        ("both", NONCE_MS + 1, None),
        ("both", CLOCK_MS + 501, 50),  # enough for the clock, not for the nonce
    ],
)
def test_what_is_missing_is_told_in_milliseconds(
    freshness: Freshness, ttl_ms: int, missing_ms: int | None
) -> None:
    found = timing.problem(Terms(ttl_ms, 500, 0, freshness), PACE)
    if missing_ms is None:
        assert found is None
    else:
        assert found is not None
        assert found.endswith(f": {missing_ms} ms are missing")


def test_drift_takes_its_part_of_the_ttl() -> None:
    assert timing.problem(Terms(CLOCK_MS + 501, 500, 2000), PACE) is not None
    assert timing.problem(Terms(CLOCK_MS + 501 + 7, 500, 2000), PACE) is None


def test_numbers_that_are_not_known_count_as_nothing() -> None:
    assert timing.problem(Terms(2, 1, 0), Pace()) is None
    assert timing.problem(Terms(1, 1, 0), Pace()) is not None
