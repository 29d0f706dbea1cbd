"""A trip to the disk: what it makes durable, in which order, and what it notices."""

import errno
import os
from pathlib import Path

import pytest

from sidecar.audit import segments
from sidecar.audit.journal import Journal
from sidecar.audit.recorder import Recorder
from sidecar.core.gate import Gate
from tests import builders
from tests.audit import journals
from tests.audit.journals import DENIAL, HEAD


def append(recorder: Recorder, count: int) -> None:
    for _ in range(count):
        assert recorder.decision(DENIAL, HEAD, None, builders.now()) is not None


def test_a_flush_makes_what_was_written_durable(journal: Journal, recorder: Recorder) -> None:
    append(recorder, 3)
    flush = journal.flush()
    append(recorder, 1)
    journal.flushed(flush, flush.run())
    assert (journal.durable, journal.seq) == (3, 4)


def test_a_file_that_is_deleted_under_the_writer_is_noticed(
    folder: Path, journal: Journal, recorder: Recorder
) -> None:
    """Writing into a deleted file works, so only asking the kernel tells."""
    append(recorder, 1)
    (folder / segments.name(0)).unlink()
    append(recorder, 1)
    with pytest.raises(OSError, match="removed, moved or cut") as caught:
        journal.flush().run()
    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize("other", [b"", None])
def test_a_file_that_is_moved_away_under_the_writer_is_noticed(
    folder: Path, journal: Journal, recorder: Recorder, other: bytes | None
) -> None:
    """It is still there, under a name that nobody reads; perhaps with another in its place."""
    append(recorder, 1)
    path = folder / segments.name(0)
    path.rename(folder / "elsewhere")
    if other is not None:
        path.write_bytes(other)
    append(recorder, 1)
    with pytest.raises(OSError, match="removed, moved or cut"):
        journal.flush().run()


def test_a_file_that_is_cut_under_the_writer_is_noticed(
    folder: Path, journal: Journal, recorder: Recorder
) -> None:
    append(recorder, 1)
    os.truncate(folder / segments.name(0), 5)
    with pytest.raises(OSError, match="removed, moved or cut"):
        journal.flush().run()


@pytest.mark.parametrize("length", range(0, 1500, 61))
def test_a_file_that_is_cut_and_written_on_is_noticed(
    folder: Path, journal: Journal, recorder: Recorder, length: int
) -> None:
    """The next write fills it up with zeros: its size says nothing."""
    append(recorder, 2)
    flush = journal.flush()
    journal.flushed(flush, flush.run())
    append(recorder, 2)
    path = folder / segments.name(0)
    assert path.stat().st_size > 1500
    os.truncate(path, length)
    append(recorder, 1)
    with pytest.raises(OSError, match="removed, moved or cut"):
        journal.flush().run()


def test_a_file_that_was_not_cut_is_whole_at_each_trip(folder: Path) -> None:
    journal = journals.open_journal(folder, segment_bytes=1500)
    recorder = journals.make_recorder(journal, Gate())
    for count in (0, 1, 0, 3, 2, 1, 0, 4):
        append(recorder, count)
        flush = journal.flush()
        journal.flushed(flush, flush.run())
    assert journal.number > 1
    journal.close()


def test_a_flush_syncs_the_full_segment_before_the_current_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but a power loss would show it; so look at what is asked of the kernel."""
    synced: list[int] = []
    real = os.fdatasync

    def fdatasync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    journal = journals.open_journal(folder, segment_bytes=1500)
    recorder = journals.make_recorder(journal, Gate())
    append(recorder, 2)
    flush = journal.flush()
    journal.flushed(flush, flush.run())
    append(recorder, 3)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    full, current = (path.stat().st_ino for path in segments.find(folder))
    journal.flush().run()
    assert synced == [full, current]
    synced.clear()
    journal.close()
    journals.open_journal(folder).close()
    assert synced == [path.stat().st_ino for path in segments.find(folder)]
