"""How far a sink is: stored durably, read back exactly, and never started over in silence."""

from pathlib import Path

import pytest

from sidecar.audit.sinks import cursor
from sidecar.audit.sinks.cursor import Cursor, CursorError
from tests.audit.journals import ORIGIN
from tests.audit.sinks.parts import START

SOMEWHERE = Cursor(log=ORIGIN, number=2, offset=77, prev="ab" * 32, seq=9)


def test_no_file_is_the_beginning(tmp_path: Path) -> None:
    assert cursor.load(tmp_path / "c.json", ORIGIN) == START


def test_what_was_stored_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    cursor.store(path, START)
    cursor.store(path, SOMEWHERE)
    assert cursor.load(path, ORIGIN) == SOMEWHERE
    assert [item.name for item in tmp_path.iterdir()] == ["c.json"]


@pytest.mark.parametrize("cut", [0, 1, 50, -1])
def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "c.json"
    cursor.store(path, SOMEWHERE)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CursorError, match=r"c\.json.*move it away"):
        cursor.load(path, ORIGIN)


def test_a_file_that_cannot_be_read_is_not_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "c.json").mkdir()
    with pytest.raises(CursorError, match="directory"):
        cursor.load(tmp_path / "c.json", ORIGIN)


def test_a_cursor_of_another_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    cursor.store(path, SOMEWHERE)
    with pytest.raises(CursorError, match=f"of the log {ORIGIN}, not of other"):
        cursor.load(path, "other")


def test_the_sink_that_is_furthest_behind_says_what_all_have(tmp_path: Path) -> None:
    assert cursor.reached(tmp_path, [], ORIGIN) is None
    path = cursor.where(tmp_path, "one", ORIGIN)
    path.parent.mkdir()
    cursor.store(path, SOMEWHERE)
    assert cursor.reached(tmp_path, ["one"], ORIGIN) == SOMEWHERE.seq
    assert cursor.reached(tmp_path, ["one", "two"], ORIGIN) == 0, "two has sent nothing yet"
    path.write_bytes(b"damaged")
    assert cursor.reached(tmp_path, ["one"], ORIGIN) == 0, "nobody knows what it has"
