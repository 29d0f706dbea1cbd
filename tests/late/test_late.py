"""Three hundred stops: nothing late was relayed, overlooked or, with a fence, executed.

One campaign for all tests of this file. Source: hardening P2 to P4.
"""

import asyncio

import pytest

from tests.late import campaign
from tests.late.campaign import Found, Plan
from tests.late.conftest import REPORT
from tests.late.lane import CALLS
from tests.late.launcher import ABORTS, IN_TIME, LATE, LATE_BODY
from tests.valkey import ValkeyServer

STOPS_MIN = 300


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Found:
    folder = tmp_path_factory.mktemp("late")
    valkeys = tuple(ValkeyServer(folder / f"peer-{index}").start() for index in range(3))
    try:
        found = asyncio.run(campaign.run(Plan(STOPS_MIN), folder, valkeys))
    finally:
        for valkey in valkeys:
            valkey.stop()
    pytestconfig.stash[REPORT] = found.report()
    if found.unstamped:
        pytest.skip("needs a kernel that stamps received segments (SO_TIMESTAMPNS)")
    return found


def test_there_were_enough_stops(found: Found) -> None:
    assert found.total().stops >= STOPS_MIN


def test_no_late_write_is_undetected(found: Found) -> None:
    total = found.total()
    assert total.late > 0
    assert total.undetected == 0
    assert total.detected == total.late


def test_nothing_is_relayed_after_a_late_write(found: Found) -> None:
    assert found.total().recorded > 0
    assert found.total().relayed == 0


def test_a_service_with_the_fence_executes_nothing_late(found: Found) -> None:
    total = found.total()
    assert total.executed == 0
    assert total.refused > 0
    assert total.forged == 0


def test_every_late_write_is_counted(found: Found) -> None:
    assert found.counted == found.recorded > 0


def test_no_request_reached_a_service_without_a_permit_on_record(found: Found) -> None:
    assert found.total().unrecorded == 0


@pytest.mark.parametrize("point", LATE)
def test_a_stop_between_the_last_look_and_the_write_makes_it_late(found: Found, point: str) -> None:
    """Each of them: or the campaign would not visit the window that it is about."""
    rows = [row for (_, where), row in found.rows.items() if where == point]
    assert rows
    assert all(row.late == row.recorded == row.stops > 0 for row in rows)


@pytest.mark.parametrize("point", LATE_BODY)
def test_a_stop_before_the_last_piece_of_a_body_makes_it_late(found: Found, point: str) -> None:
    """A service that was slow itself may have refused the head: not each stop shows one."""
    rows = [row for (_, where), row in found.rows.items() if where == point]
    assert rows
    assert all(row.stops and row.late > 0 and not row.broken for row in rows)


@pytest.mark.parametrize("point", ABORTS)
def test_a_stop_before_the_last_look_aborts_and_writes_nothing(found: Found, point: str) -> None:
    rows = [row for (_, where), row in found.rows.items() if where == point]
    assert rows
    assert all((row.late, row.recorded) == (0, 0) and row.stops for row in rows)


@pytest.mark.parametrize("point", IN_TIME)
def test_a_stop_after_the_write_breaks_nothing(found: Found, point: str) -> None:
    """Before the second look the sidecar cannot know better, and takes the write for late."""
    rows = [row for (_, where), row in found.rows.items() if where == point]
    assert rows
    assert all(row.stops and not row.broken for row in rows)


def test_the_cgroup_freezer_stops_where_it_is_told(found: Found) -> None:
    _needs(found, "freezer")
    assert found.rows["freezer", LATE[0]].late > 0


@pytest.mark.parametrize("point", CALLS)
def test_a_delay_within_a_system_call_is_detected(found: Found, point: str) -> None:
    """The process is the unmodified one, and the window is the kernel's own."""
    _needs(found, "strace")
    row = found.rows["strace", point]
    assert row.stops > 0
    assert row.undetected == row.relayed == row.executed == 0
    if CALLS[point].late:
        assert row.recorded > 0


def _needs(found: Found, what: str) -> None:
    for line in found.skipped:
        if line.startswith(what):
            pytest.skip(line)
