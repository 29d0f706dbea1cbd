"""The real clocks."""

import time

from sidecar import clock


def test_both_clocks_are_read_in_their_units() -> None:
    before_ns, before_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns() // 1_000_000
    now = clock.now()
    after_ns, after_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns() // 1_000_000
    assert before_ns <= now.boot <= after_ns
    assert before_ms <= now.wall <= after_ms


def test_boot_time_never_goes_back() -> None:
    readings = [clock.now().boot for _ in range(1000)]
    assert readings == sorted(readings)
