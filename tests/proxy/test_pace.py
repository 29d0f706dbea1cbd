"""Whether a client reads."""

from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.proxy.pace import Pace

S = 10**9


def at(seconds: int) -> Now:
    return Now(BootNs(seconds * S), WallMs(0))


def test_each_piece_is_given_its_time() -> None:
    pace = Pace(100, 5000)
    assert pace.due == 0
    pace.begin(1000, at(1))
    assert pace.due == 6 * S
    assert pace.kept(900, at(6))
    assert pace.due == 11 * S
    assert not pace.kept(801, at(11))


def test_what_is_written_meanwhile_was_not_read() -> None:
    pace = Pace(100, 5000)
    pace.begin(1000, at(1))
    pace.more(500)
    assert pace.kept(1400, at(6))
    pace.more(500)
    assert not pace.kept(1900, at(11))


def test_nothing_is_due_when_nothing_waits() -> None:
    pace = Pace(100, 5000)
    pace.begin(0, at(1))
    assert pace.due == 0
    pace.begin(50, at(1))
    assert pace.kept(0, at(6))
    assert pace.due == 0


def test_with_no_piece_any_byte_will_do_and_with_no_time_it_lasts_for_ever() -> None:
    pace = Pace(0, 5000)
    pace.begin(10, at(1))
    assert pace.kept(9, at(6))
    assert not pace.kept(9, at(11))
    endless = Pace(100, 0)
    endless.begin(10, at(1))
    assert endless.due == 0
