"""Segment files: order, bounded reading, torn ends."""

import hashlib
import os
from pathlib import Path

import pytest

from sidecar.audit import segments
from sidecar.core.reason import ProtocolError, Reason


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
