"""Start on what is there: every cut and every flipped bit is either found, or a stated tail."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.audit import recovery
from sidecar.audit.recovery import Recovery
from sidecar.core.canonical import digest
from sidecar.core.gate import Gate
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import StateChange, parse
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner
from tests import builders
from tests.audit import journals
from tests.audit.journals import KEY, make_journal

RECORDS, SIGNED = 6, 4


@pytest.fixture
def lines(folder: Path) -> list[bytes]:
    return make_journal(folder, RECORDS, SIGNED)


def segment(folder: Path, number: int = 0) -> Path:
    return folder / f"{number:08}.jsonl"


def examine(folder: Path) -> Recovery:
    return recovery.examine(folder, KEY)


def broken(folder: Path) -> str:
    """Recovery must refuse, leave the folder as it was, and leave the journal unwritable."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ProtocolError) as caught:
        journals.open_journal(folder)
    assert caught.value.reason is Reason.AUDIT_CHAIN_BREAK
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    return caught.value.detail


def test_an_untouched_journal_goes_on_where_it_ended(folder: Path, lines: list[bytes]) -> None:
    found = examine(folder)
    assert (found.chain.tree.size, found.chain.prev) == (RECORDS, digest(lines[-1]))
    assert (found.torn, found.number) == (None, 0)
    assert found.offset == segment(folder).stat().st_size


def test_a_cut_at_any_byte_is_found_or_is_in_the_tail(folder: Path, lines: list[bytes]) -> None:
    """A cut after the signed records looks like a log that ends there. Before, it must be found."""
    whole = segment(folder).read_bytes()
    signed = sum(len(line) + 1 for line in lines[:SIGNED])
    starts = {sum(len(line) + 1 for line in lines[:count]) for count in range(RECORDS + 1)}
    refused = 0
    for size in range(len(whole)):
        os.truncate(segment(folder), size)
        if size < signed:
            with pytest.raises(ProtocolError):
                examine(folder)
            refused += 1
        else:
            found = examine(folder)
            assert (found.torn is None) == (size in starts)
            assert found.torn is None or found.torn.offset + found.torn.size == size
        segment(folder).write_bytes(whole)
    assert refused == signed


@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_found(folder: Path, lines: list[bytes]) -> None:
    """Except in the very last record, whose digest nobody holds yet: that is the stated tail."""
    whole = segment(folder).read_bytes()
    last = len(whole) - len(lines[-1]) - 1
    for index in range(last):
        spoilt = bytearray(whole)
        spoilt[index] ^= 1 << index % 8
        segment(folder).write_bytes(spoilt)
        with pytest.raises(ProtocolError) as caught:
            examine(folder)
        assert caught.value.reason is Reason.AUDIT_CHAIN_BREAK


def test_a_flipped_bit_anywhere_in_the_checkpoint_is_found(
    folder: Path, lines: list[bytes]
) -> None:
    path = folder / "checkpoint"
    whole = path.read_bytes()
    for bit in range(len(whole) * 8):
        spoilt = bytearray(whole)
        spoilt[bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoilt)
        with pytest.raises(ProtocolError):
            examine(folder)


def swap(lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]]


@pytest.mark.parametrize(
    "change",
    [
        swap,
        lambda lines: lines[1:],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[0], *lines],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [*lines[:-2], lines[-1]],
        lambda lines: [*lines, b""],
        lambda lines: [*lines, b"{}"],
        lambda lines: [b"", *lines],
        lambda lines: [*lines[:-1], lines[-1] + b" "],
        lambda lines: [*lines, b"\0" * 100_000],
    ],
)
def test_records_that_were_moved_dropped_or_added_are_found(
    folder: Path, lines: list[bytes], change: Callable[[list[bytes]], list[bytes]]
) -> None:
    segment(folder).write_bytes(b"".join(line + b"\n" for line in change(lines)))
    broken(folder)


def test_a_torn_tail_is_cut_off_and_recorded(folder: Path, lines: list[bytes]) -> None:
    whole = segment(folder).read_bytes()
    torn = b'{"beat":null,"boot'
    segment(folder).write_bytes(whole + torn)
    journal = journals.open_journal(folder)
    journal.close()
    kept = segment(folder).read_bytes().splitlines()
    assert kept[:-1] == lines
    said = parse(kept[-1])
    assert isinstance(said, StateChange)
    assert (said.type, said.seq) == ("recovered", RECORDS)
    assert said.detail == {
        "offset": len(whole),
        "segment": "00000000.jsonl",
        "sha256": hashlib.sha256(torn).hexdigest(),
        "size": len(torn),
    }
    assert examine(folder).torn is None


def test_a_whole_record_that_only_lacks_its_newline_is_torn(
    folder: Path, lines: list[bytes]
) -> None:
    """Its write did not return, so its request was not forwarded; and it is in the evidence."""
    os.truncate(segment(folder), segment(folder).stat().st_size - 1)
    found = examine(folder)
    assert found.torn is not None
    assert found.torn.sha256 == digest(lines[-1])


def test_zeros_after_a_power_loss_are_torn(folder: Path, lines: list[bytes]) -> None:
    with segment(folder).open("ab") as file:
        file.write(b"\0" * 200_000)
    found = examine(folder)
    assert found.torn is not None
    assert found.torn.size == 200_000


def test_a_log_smaller_than_its_checkpoint_is_damage(folder: Path, lines: list[bytes]) -> None:
    segment(folder).write_bytes(b"".join(line + b"\n" for line in lines[: SIGNED - 1]))
    assert f"{SIGNED - 1} records, but the checkpoint says {SIGNED}" in broken(folder)


def test_an_older_copy_of_the_log_under_a_newer_checkpoint_is_damage(
    folder: Path, lines: list[bytes]
) -> None:
    older = segment(folder).read_bytes()
    journal = journals.open_journal(folder)
    recorder = journals.make_recorder(journal, Gate())
    assert recorder.state("stop", {}, builders.now())
    lines += journal.fresh
    journal.close()
    journals.write_checkpoint(folder, lines)
    segment(folder).write_bytes(older)
    broken(folder)


def test_another_history_of_the_same_length_is_damage(folder: Path, lines: list[bytes]) -> None:
    other = folder.with_name("other")
    make_journal(other, RECORDS + 1, SIGNED)
    changed = segment(other).read_bytes().replace(b"pod-1", b"pod-2")
    segment(folder).write_bytes(changed)
    assert "not those of the checkpoint" in broken(folder)


def test_records_without_a_checkpoint_are_damage(folder: Path, lines: list[bytes]) -> None:
    """A new log is signed while it is empty, so a missing checkpoint was taken away."""
    (folder / "checkpoint").unlink()
    assert "no checkpoint" in broken(folder)


def test_a_checkpoint_without_its_records_is_damage(folder: Path, lines: list[bytes]) -> None:
    segment(folder).unlink()
    broken(folder)


def test_a_folder_of_another_instance_is_refused(folder: Path, lines: list[bytes]) -> None:
    key = FileSigner(hashlib.sha256(b"new instance key").digest())
    with pytest.raises(ProtocolError, match="no signature by a known key"):
        recovery.examine(folder, NoteKey(journals.ORIGIN, key.public))


@pytest.fixture
def many(folder: Path) -> list[bytes]:
    """Three records to a segment."""
    lines = make_journal(folder, records=10, signed=4, segment_bytes=1500)
    assert len(list(folder.glob("*.jsonl"))) > 3
    return lines


def test_a_journal_of_several_segments_is_one_log(folder: Path, many: list[bytes]) -> None:
    found = examine(folder)
    assert (found.chain.tree.size, found.chain.prev) == (10, digest(many[-1]))


@pytest.mark.parametrize("number", [0, 1])
def test_a_segment_in_the_middle_may_not_be_cut(
    folder: Path, many: list[bytes], number: int
) -> None:
    os.truncate(segment(folder, number), segment(folder, number).stat().st_size - 1)
    broken(folder)


def test_bytes_slipped_in_at_the_end_of_a_segment_are_found(
    folder: Path, many: list[bytes]
) -> None:
    """All records are still there and in order, so only the place of the bytes tells."""
    with segment(folder, 0).open("ab") as file:
        file.write(b"slipped in")
    assert "is not the last" in broken(folder)


def test_a_torn_tail_before_a_prepared_empty_segment_is_recovered(
    folder: Path, many: list[bytes]
) -> None:
    """The next segment is made in advance, so the crash may find it empty."""
    used = [path for path in sorted(folder.glob("*.jsonl")) if path.stat().st_size]
    with used[-1].open("ab") as file:
        file.write(b"torn")
    following = segment(folder, len(used))
    following.touch()
    journal = journals.open_journal(folder)
    journal.close()
    assert b'"type":"recovered"' in following.read_bytes()
    assert not used[-1].read_bytes().endswith(b"torn")
    assert examine(folder).chain.tree.size == 11


def test_a_new_folder_is_signed_before_the_first_record(folder: Path) -> None:
    journal = journals.open_journal(folder)
    journal.close()
    again = examine(folder)
    assert again.checkpoint is not None
    assert again.checkpoint.size == 0
