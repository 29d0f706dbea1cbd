"""Segment files: order, bounded reading, torn ends."""

import hashlib
import os
from pathlib import Path

import pytest

from sidecar.audit import segments
from sidecar.core.reason import ProtocolError, Reason
from tests.audit import journals


def test_segments_are_found_in_order_and_other_files_are_left_alone(tmp_path: Path) -> None:
    for number in (1, 0, 2):
        os.close(segments.create(tmp_path, number))
    for other in ("lock", "checkpoint", "00000003.jsonl.gz", "3.jsonl"):
        (tmp_path / other).touch()
    assert [path.name for path in segments.find(tmp_path)] == [
        "00000000.jsonl", "00000001.jsonl", "00000002.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_segment_is_a_break(tmp_path: Path, missing: int) -> None:
    for number in {0, 1, 2} - {missing}:
        os.close(segments.create(tmp_path, number))
    with pytest.raises(ProtocolError, match=segments.name(missing)) as caught:
        segments.find(tmp_path)
    assert caught.value.reason is Reason.AUDIT_CHAIN_BREAK


def test_a_segment_is_never_made_twice(tmp_path: Path) -> None:
    os.close(segments.create(tmp_path, 0))
    with pytest.raises(FileExistsError):
        segments.create(tmp_path, 0)


def test_a_link_in_place_of_a_segment_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (tmp_path / segments.name(0)).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        segments.resume(tmp_path / segments.name(0))


def test_others_cannot_read_a_segment(tmp_path: Path) -> None:
    os.close(segments.create(tmp_path, 0))
    assert (tmp_path / segments.name(0)).stat().st_mode & 0o007 == 0


def test_a_line_without_end_is_read_in_bounded_pieces(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\n" + b"\0" * (3 * segments.LINE_MAX))
    lines = list(segments.read(path, 0))
    assert lines[0] == b"a\n"
    assert max(map(len, lines)) == segments.LINE_MAX
    assert next(segments.read(path, 2)) == b"\0" * segments.LINE_MAX


def test_a_torn_end_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\nbcd")
    digest = hashlib.sha256(b"bcd").hexdigest()
    assert segments.torn(path, 2) == segments.Torn(path, 2, 3, digest)


def test_bytes_with_a_newline_among_them_are_not_torn(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\nbcd\n")
    assert segments.torn(path, 2) is None


def taken(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_a_segment_takes_its_space_in_advance_and_gives_the_rest_back(tmp_path: Path) -> None:
    descriptor = segments.prepare(tmp_path, 0, 1_000_000)
    path = tmp_path / segments.name(0)
    assert path.stat().st_size == 0, "the size is what was written"
    assert taken(path) >= 1_000_000
    os.pwrite(descriptor, b"a\n", 0)
    segments.give_back(descriptor)
    os.close(descriptor)
    assert path.read_bytes() == b"a\n"
    assert taken(path) <= segments.ROUNDING_BYTES


def test_without_room_no_segment_is_left(tmp_path: Path) -> None:
    """No file may be so large; on a small disk it is ENOSPC, see test_journal."""
    with pytest.raises(segments.NoSpaceError):
        segments.prepare(tmp_path, 0, 2**60)
    assert list(tmp_path.iterdir()) == []
    os.close(segments.prepare(tmp_path, 0, 1000))


def test_where_space_cannot_be_taken_in_advance_nothing_is_wrong() -> None:
    """A pipe has no blocks to take; likewise some network file systems."""
    descriptor = os.open("/proc/self/comm", os.O_WRONLY)
    try:
        assert not segments.reserve(descriptor, 1000)
    finally:
        os.close(descriptor)


def test_any_other_error_is_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        segments.reserve(-1, 1000)


def test_pruned_segments_that_are_still_there_do_not_count(tmp_path: Path) -> None:
    for number in range(4):
        os.close(segments.create(tmp_path, number))
    assert [segments.number_of(path) for path in segments.find(tmp_path, 2)] == [2, 3]
    assert [segments.number_of(path) for path in segments.pruned(tmp_path, 2)] == [0, 1]
    with pytest.raises(ProtocolError, match="00000007"):
        segments.find(tmp_path, 7)


def test_a_segment_that_is_pruned_while_lines_are_read_is_left_out(folder: Path) -> None:
    lines = journals.make_journal(folder, 20, 20, segment_bytes=1500)
    begins = journals.announce(folder, lines, 3)
    journals.write_checkpoint(folder, lines)
    found = segments.lines(folder)
    first = next(found)
    journals.prune.carry_out(folder, begins)
    read = [first, *found]
    assert [line[:-1] for line in read][-(len(lines) - begins.pruned) :] == lines[begins.pruned :]


def test_a_segment_that_vanishes_otherwise_is_an_error(folder: Path) -> None:
    journals.make_journal(folder, 20, 20, segment_bytes=1500)
    found = segments.lines(folder)
    next(found)
    (folder / segments.name(2)).unlink()
    with pytest.raises(FileNotFoundError):
        list(found)
