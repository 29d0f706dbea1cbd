"""The end of a journal, and what is appended to it."""

from pathlib import Path

import pytest

from sidecar.audit import tail
from sidecar.core.gate import Gate
from tests import builders
from tests.audit import journals
from tests.audit.journals import make_journal


@pytest.fixture
def lines(folder: Path) -> list[bytes]:
    """Ten records in several segments."""
    return make_journal(folder, records=10, signed=10, segment_bytes=1500)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9, 10, 99])
def test_the_last_lines_come_in_order_across_segments(
    folder: Path, lines: list[bytes], count: int
) -> None:
    found, _ = tail.last(folder, count)
    assert found == lines[len(lines) - min(count, 10) :]


def test_an_empty_folder_has_no_lines(tmp_path: Path) -> None:
    found, position = tail.last(tmp_path, 5)
    assert (found, list(tail.fresh(tmp_path, position))) == ([], [])


def test_what_is_appended_later_follows_without_gap_or_repeat(
    folder: Path, lines: list[bytes]
) -> None:
    found, position = tail.last(folder, 2)
    journal = journals.open_journal(folder, 1500)
    recorder = journals.make_recorder(journal, Gate())
    for _ in range(12):
        recorder.state("transition", {}, builders.now())
        flush = journal.flush()
        journal.flushed(flush, flush.run())
        found += tail.fresh(folder, position)
    assert found == [*lines[-2:], *journal.fresh]
    journal.close()


def test_several_new_segments_at_once_are_followed(folder: Path, lines: list[bytes]) -> None:
    assert list(tail.fresh(folder, tail.Position(0, 0))) == lines


def test_half_a_line_is_left_until_it_is_whole(folder: Path) -> None:
    lines = make_journal(folder, records=3, signed=3)
    path = folder / "00000000.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    found, position = tail.last(folder, 99)
    assert found == lines[:-1]
    assert list(tail.fresh(folder, position)) == []
    path.write_bytes(whole)
    assert list(tail.fresh(folder, position)) == lines[-1:]


def test_a_pruned_journal_ends_like_any_other(folder: Path) -> None:
    lines, begins = journals.make_pruned(folder)
    found, position = tail.last(folder, 1000)
    assert found == lines[begins.pruned :]
    assert tail.last(folder, 2)[0] == lines[-2:]
    assert list(tail.fresh(folder, position)) == []
