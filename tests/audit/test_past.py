"""A log against what somebody remembers of it: shorter, rewritten, or as it was."""

from pathlib import Path

import pytest

from sidecar.audit import past, segments
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.merkle import EMPTY_ROOT, Tree, leaf_hash
from sidecar.core.reason import ProtocolError, Reason
from tests.audit.journals import KEY, ORIGIN, make_journal


@pytest.fixture
def lines(tmp_path: Path) -> list[bytes]:
    return make_journal(tmp_path, 30, 20, segment_bytes=5000)


def remembered(lines: list[bytes], size: int) -> Checkpoint:
    tree = Tree()
    for line in lines[:size]:
        tree.append(leaf_hash(line))
    return Checkpoint(ORIGIN, size, tree.root())


@pytest.mark.parametrize("size", [0, 1, 20, 29, 30])
def test_a_log_that_goes_on_from_there_is_sound(
    tmp_path: Path, lines: list[bytes], size: int
) -> None:
    assert past.compare(tmp_path, remembered(lines, size), KEY)


def test_a_log_with_fewer_records_lost_some(tmp_path: Path, lines: list[bytes]) -> None:
    last = [path for path in segments.find(tmp_path) if path.stat().st_size][-1]
    last.write_bytes(last.read_bytes()[:-1])  # the end of the last record
    with pytest.raises(ProtocolError) as caught:
        past.compare(tmp_path, remembered(lines, 30), KEY)
    assert caught.value.reason is Reason.AUDIT_TRUNCATED
    past.compare(tmp_path, remembered(lines, 29), KEY)


def test_a_folder_without_records_lost_all(tmp_path: Path, lines: list[bytes]) -> None:
    (tmp_path / "empty").mkdir()
    past.compare(tmp_path / "empty", Checkpoint(ORIGIN, 0, EMPTY_ROOT), KEY)
    with pytest.raises(ProtocolError) as caught:
        past.compare(tmp_path / "empty", remembered(lines, 1), KEY)
    assert caught.value.reason is Reason.AUDIT_TRUNCATED


def test_a_damaged_checkpoint_here_does_not_matter(tmp_path: Path, lines: list[bytes]) -> None:
    (tmp_path / "checkpoint").write_bytes(b"rubbish")
    past.compare(tmp_path, remembered(lines, 20), KEY)
    with pytest.raises(ProtocolError):
        past.compare(tmp_path, remembered(lines[1:], 20), KEY)


@pytest.mark.parametrize("size", [30, 17])
def test_other_records_are_another_log(tmp_path: Path, lines: list[bytes], size: int) -> None:
    other = [*lines[:3], lines[4], *lines[4:]]
    with pytest.raises(ProtocolError) as caught:
        past.compare(tmp_path, remembered(other, size), KEY)
    assert caught.value.reason is Reason.AUDIT_INCONSISTENT
