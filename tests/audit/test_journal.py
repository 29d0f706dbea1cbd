"""The journal against the real kernel: kills, a second writer, files that vanish, segments."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.audit import reader, segments
from sidecar.audit.journal import PATIENCE, Journal
from sidecar.audit.recorder import Recorder
from sidecar.core.gate import Gate
from sidecar.core.log import record
from sidecar.core.reason import ProtocolError, Reason
from tests import builders
from tests.audit import journals
from tests.audit.journals import DENIAL, HEAD, KEY

ROOT = Path(__file__).resolve().parents[2]

# Appends until it is killed, and acknowledges each record only after `decision` returned.
CHILD = """
import sys
from collections.abc import Iterator
from pathlib import Path
from sidecar.core.gate import Gate
from tests import builders
from tests.audit import journals

journal = journals.open_journal(Path(sys.argv[1]), 200_000)
recorder = journals.make_recorder(journal, Gate())
while True:
    decision_id = recorder.decision(journals.DENIAL, journals.HEAD, None, builders.now())
    assert decision_id is not None
    sys.stdout.write(decision_id + "\\n")
    sys.stdout.flush()
    if journal.seq % 100 == 0:
        flush = journal.flush()
        journal.flushed(flush, flush.run())
"""


def append(recorder: Recorder, count: int) -> None:
    for _ in range(count):
        assert recorder.decision(DENIAL, HEAD, None, builders.now()) is not None


@pytest.mark.slow
def test_no_acknowledged_record_is_lost_when_the_process_is_killed(folder: Path) -> None:
    acknowledged = 0
    for kill in range(6):
        command = [sys.executable, "-c", CHILD, str(folder)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(700 + 300 * kill):
                acknowledged = int(child.stdout.readline().rpartition("-")[2])
            child.send_signal(signal.SIGKILL)
            for line in child.stdout:  # what it had acknowledged before the signal arrived
                if line.endswith("\n"):
                    acknowledged = int(line.rpartition("-")[2])
        report = reader.verify(folder, KEY)
        assert report.fault is None
        assert report.records > acknowledged
    journal = journals.open_journal(folder)
    assert journal.seq > acknowledged
    journal.close()
    assert len(segments.find(folder)) > 1


def test_a_second_writer_is_refused(folder: Path, journal: Journal) -> None:
    with pytest.raises(BlockingIOError, match="another process writes this journal"):
        Journal(folder, 1000)


def test_a_second_writer_in_another_process_is_refused(folder: Path, journal: Journal) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "another process writes this journal" in done.stderr


def test_a_closed_journal_gives_its_folder_back(folder: Path) -> None:
    journals.open_journal(folder).close()
    journals.open_journal(folder).close()


def test_a_journal_takes_nothing_before_it_is_recovered(folder: Path) -> None:
    journal = Journal(folder, 1000)
    with pytest.raises(OSError, match="not recovered"):
        journal.append(b"{}")
    journal.close()
    assert segments.find(folder) == []


def test_a_journal_that_is_damaged_takes_nothing(folder: Path) -> None:
    journals.make_journal(folder, records=3, signed=3)
    (folder / "checkpoint").unlink()
    journal = Journal(folder, 1000)
    with pytest.raises(ProtocolError):
        journal.recover(
            journals.SIGNER, journals.ORIGIN, journals.BOOT, journals.INSTANCE, builders.now()
        )
    with pytest.raises(OSError, match="not recovered"):
        journal.append(b"{}")
    assert journal.recovery is None
    journal.close()


def test_a_closed_journal_takes_nothing(folder: Path) -> None:
    journal = journals.open_journal(folder)
    journal.close()
    with pytest.raises(OSError, match="closed"):
        journal.append(b"{}")


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        Journal(tmp_path / "file" / "audit", 1000)


def test_a_full_segment_is_followed_by_a_prepared_one(folder: Path) -> None:
    journal = journals.open_journal(folder, segment_bytes=1500)
    recorder = journals.make_recorder(journal, Gate())
    append(recorder, 2)
    assert len(segments.find(folder)) == 1
    flush = journal.flush()
    journal.flushed(flush, flush.run())
    assert len(segments.find(folder)) == 2
    append(recorder, 3)
    first, second = (path.read_bytes().splitlines() for path in segments.find(folder))
    assert [record.parse(line).seq for line in first + second] == [0, 1, 2, 3, 4]
    assert first
    assert second
    flush = journal.flush()
    assert len(flush.retired) == 1
    journal.flushed(flush, flush.run())
    assert journal.flush().retired == ()
    journal.close()


def test_without_a_prepared_segment_the_full_one_grows_on(folder: Path) -> None:
    """Making a file costs a sync of the folder; no request pays for it."""
    journal = journals.open_journal(folder, segment_bytes=1500)
    append(journals.make_recorder(journal, Gate()), 20)
    journal.close()
    assert len(segments.find(folder)) == 1
    assert reader.verify(folder, KEY).records == 20


def test_a_segment_that_appears_from_elsewhere_ends_writing(folder: Path) -> None:
    journal = journals.open_journal(folder, segment_bytes=1500)
    append(journals.make_recorder(journal, Gate()), 2)
    (folder / segments.name(1)).touch()
    with pytest.raises(FileExistsError):
        journal.flush().run()
    journal.close()


def taken(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_each_segment_takes_its_space_in_advance_and_gives_back_the_rest(folder: Path) -> None:
    size = 256 * 1024
    journal = journals.open_journal(folder, segment_bytes=size)
    recorder = journals.make_recorder(journal, Gate())
    assert taken(folder / segments.name(0)) >= size
    while len(segments.find(folder)) < 2:
        append(recorder, 10)
        flush = journal.flush()
        journal.flushed(flush, flush.run())
    assert taken(folder / segments.name(1)) >= size
    assert not journal.cramped
    while journal.number < 1:
        append(recorder, 10)
    flush = journal.flush()
    journal.flushed(flush, flush.run())
    full = folder / segments.name(0)
    assert taken(full) <= full.stat().st_size + segments.ROUNDING_BYTES
    journal.close()
    assert taken(folder / segments.name(1)) <= segments.ROUNDING_BYTES
    journal = journals.open_journal(folder, segment_bytes=size)
    assert taken(folder / segments.name(1)) >= size, "taken again"
    journal.close()


def test_what_a_killed_process_left_taken_is_given_back(folder: Path) -> None:
    journals.make_journal(folder, 10, 10, segment_bytes=1500)
    first = folder / segments.name(0)
    descriptor = segments.resume(first)
    segments.reserve(descriptor, 1_000_000)
    os.close(descriptor)
    assert taken(first) >= 1_000_000
    journals.open_journal(folder).close()
    assert taken(first) <= first.stat().st_size + segments.ROUNDING_BYTES


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "epochgate-test", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def flushed(journal: Journal) -> bool:
    """Make everything durable; whether there was no room for a segment."""
    flush = journal.flush()
    journal.flushed(flush, flush.run())
    return journal.cramped


def test_a_full_disk_is_met_a_segment_early(small_disk: Path) -> None:
    """Room for the first segment, none for the second: all of the first can still be written."""
    size = 400_000
    journal = journals.open_journal(small_disk / "audit", segment_bytes=size)
    recorder = journals.make_recorder(journal, Gate())
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 200_000)
    while not flushed(journal):
        append(recorder, 50)
    assert journal.failed is None
    assert len(segments.find(small_disk / "audit")) == 1, "nothing is left of the attempt"
    with filler.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)
    while (small_disk / "audit" / segments.name(0)).stat().st_size < size:
        append(recorder, 10)
    filler.unlink()
    assert all(flushed(journal) for _ in range(PATIENCE))
    assert not flushed(journal)
    append(recorder, 10)
    assert journal.number == 1
    journal.close()
    assert reader.verify(small_disk / "audit", KEY).fault is None


def test_a_write_that_finds_no_room_ends_writing(small_disk: Path) -> None:
    journal = journals.open_journal(small_disk / "audit", segment_bytes=400_000)
    gate = Gate()
    recorder = journals.make_recorder(journal, gate)
    (small_disk / "filler").write_bytes(b"x" * 500_000)
    while recorder.decision(DENIAL, HEAD, None, builders.now()) is not None:
        assert journal.seq < 10_000
    assert gate.snapshot.closed is Reason.AUDIT_UNWRITABLE
    assert journal.failed is not None
    assert journal.failed.errno == errno.ENOSPC
    journal.close()


def test_an_old_segment_that_finds_no_room_is_written_on_without(small_disk: Path) -> None:
    folder = small_disk / "audit"
    journals.open_journal(folder, segment_bytes=100_000).close()
    journal = journals.open_journal(folder, segment_bytes=2_000_000)
    assert journal.cramped
    append(journals.make_recorder(journal, Gate()), 3)
    journal.close()
    assert reader.verify(folder, KEY).records == 3


def test_unsynced_bytes_are_those_since_the_last_flush(
    journal: Journal, recorder: Recorder
) -> None:
    assert journal.unsynced_bytes == 0
    append(recorder, 3)
    size = (journal.folder / segments.name(0)).stat().st_size
    assert journal.unsynced_bytes == size
    flush = journal.flush()
    append(recorder, 1)
    journal.flushed(flush, flush.run())
    assert journal.unsynced_bytes == size // 3


def test_segments_that_began_are_told_with_their_first_record(folder: Path) -> None:
    journal = journals.open_journal(folder, segment_bytes=1500)
    recorder = journals.make_recorder(journal, Gate())
    for _ in range(12):
        append(recorder, 1)
        flush = journal.flush()
        journal.flushed(flush, flush.run())
    journal.close()
    firsts = []
    for number, _, _ in journal.begun:
        lines = (folder / segments.name(number)).read_bytes().splitlines()
        said = record.parse(lines[0]) if lines else None
        firsts.append((number, *((said.seq, said.prev) if said else (journal.seq, journal.prev))))
    assert list(journal.begun) == firsts
    assert len(firsts) > 3
