"""The marks file: replaced as a whole, and absent is something else than unreadable."""

from pathlib import Path

import pytest

from sidecar.sync.store import MarksStore


def test_no_file_is_a_first_boot(tmp_path: Path) -> None:
    assert MarksStore(tmp_path).load() is None


def test_what_was_saved_is_loaded_and_only_the_owner_may_read_it(tmp_path: Path) -> None:
    store = MarksStore(tmp_path)
    store.save(b"one")
    store.save(b"two")
    assert store.load() == b"two"
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [store.path.name]


def test_a_file_that_cannot_be_read_is_not_taken_for_absent(tmp_path: Path) -> None:
    store = MarksStore(tmp_path)
    store.path.mkdir()
    with pytest.raises(OSError, match="directory"):
        store.load()


def test_a_failed_save_leaves_the_old_marks(tmp_path: Path) -> None:
    store = MarksStore(tmp_path)
    store.save(b"old")
    store.path.with_suffix(".new").mkdir()
    with pytest.raises(OSError, match="directory"):
        store.save(b"new")
    assert store.load() == b"old"
