"""Two clocks and the arithmetic between them."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.instant import NS_PER_MS, BootNs, boot_after, ms_until


def test_a_duration_is_added_in_nanoseconds() -> None:
    assert boot_after(BootNs(5), 3) == 5 + 3 * NS_PER_MS


def test_a_deadline_that_is_less_than_a_millisecond_away_has_nothing_left() -> None:
    """Rounded down: a reader may lose a millisecond, never gain one."""
    assert ms_until(BootNs(NS_PER_MS - 1), BootNs(0)) == 0
    assert ms_until(BootNs(NS_PER_MS), BootNs(0)) == 1


def test_a_deadline_that_has_passed_by_a_nanosecond_is_negative() -> None:
    assert ms_until(BootNs(0), BootNs(1)) == -1


@given(st.integers(0, 2**62), st.integers(0, 2**40), st.integers(0, NS_PER_MS - 1))
def test_what_is_left_is_never_more_than_what_was_added(
    start: int, duration_ms: int, later_ns: int
) -> None:
    deadline = boot_after(BootNs(start), duration_ms)
    assert ms_until(deadline, BootNs(start)) == duration_ms
    assert ms_until(deadline, BootNs(start + later_ns)) <= duration_ms
