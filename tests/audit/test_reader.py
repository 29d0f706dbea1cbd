"""Offline verification, with nothing but the public key."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.audit import prune, reader
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import Record
from sidecar.signer import FileSigner
from tests.audit import journals
from tests.audit.journals import KEY, make_journal

RECORDS, SIGNED = 6, 4


@pytest.fixture
def lines(folder: Path) -> list[bytes]:
    return make_journal(folder, RECORDS, SIGNED)


def segment(folder: Path, number: int = 0) -> Path:
    return folder / f"{number:08}.jsonl"


def test_an_untouched_log_is_verified_and_its_tail_is_named(
    folder: Path, lines: list[bytes]
) -> None:
    report = reader.verify(folder, KEY)
    assert report.verified
    assert (report.records, report.tail_records, report.segments) == (RECORDS, RECORDS - SIGNED, 1)
    assert report.bytes_read == segment(folder).stat().st_size
    assert any("2 records after the checkpoint" in line for line in report.unchecked)


def test_without_a_key_only_the_chain_is_checked(folder: Path, lines: list[bytes]) -> None:
    report = reader.verify(folder, None)
    assert not report.verified
    assert report.fault is None
    assert "no key" in report.unchecked[0]


def test_without_a_checkpoint_nothing_is_verified(folder: Path, lines: list[bytes]) -> None:
    (folder / "checkpoint").unlink()
    report = reader.verify(folder, KEY)
    assert (report.verified, report.fault) == (False, None)
    assert "no checkpoint" in report.unchecked[0]


def test_another_key_fails(folder: Path, lines: list[bytes]) -> None:
    other = FileSigner(hashlib.sha256(b"other").digest())
    report = reader.verify(folder, NoteKey(KEY.name, other.public))
    assert report.fault is not None
    assert report.fault.where == "checkpoint"


@pytest.mark.parametrize("index", range(RECORDS))
def test_the_first_bad_record_is_named(folder: Path, lines: list[bytes], index: int) -> None:
    offset = sum(len(line) + 1 for line in lines[:index])
    spoilt = bytearray(segment(folder).read_bytes())
    spoilt[offset] ^= 1
    segment(folder).write_bytes(spoilt)
    fault = reader.verify(folder, KEY).fault
    assert fault is not None
    assert (fault.index, fault.where) == (index, f"00000000.jsonl, byte {offset}")


def rewritten(lines: list[bytes], index: int) -> list[bytes]:
    """A forger without the key: changes one record and mends the chain after it."""
    forged = [*lines[:index], lines[index].replace(b"EG905", b"EG904"), *lines[index + 1 :]]
    for number in range(index + 1, len(forged)):
        old = hashlib.sha256(lines[number - 1]).hexdigest().encode()
        new = hashlib.sha256(forged[number - 1]).hexdigest().encode()
        forged[number] = forged[number].replace(old, new)
    return forged


@pytest.mark.parametrize("index", range(SIGNED))
def test_a_history_rewritten_with_its_chain_mended_is_found_by_the_root(
    folder: Path, lines: list[bytes], index: int
) -> None:
    forged = rewritten(lines, index)
    segment(folder).write_bytes(b"".join(line + b"\n" for line in forged))
    assert reader.verify(folder, None).fault is None, "the chain alone cannot tell"
    fault = reader.verify(folder, KEY).fault
    assert fault is not None
    assert "root" in fault.why


@pytest.mark.parametrize("kept", range(RECORDS + 1))
def test_a_log_cut_before_its_checkpoint_is_found(
    folder: Path, lines: list[bytes], kept: int
) -> None:
    segment(folder).write_bytes(b"".join(line + b"\n" for line in lines[:kept]))
    report = reader.verify(folder, KEY)
    assert (report.fault is not None) == (kept < SIGNED)
    assert report.records == kept


def test_an_older_checkpoint_in_place_of_the_newest_is_said_to_be_possible(
    folder: Path, lines: list[bytes]
) -> None:
    """Nobody can see this from the folder alone, so it has to be in the answer."""
    journals.write_checkpoint(folder, lines[:1])
    report = reader.verify(folder, KEY)
    assert report.verified
    assert any("newer checkpoint" in line for line in report.unchecked)


def test_a_record_being_written_is_no_fault_and_is_named(folder: Path, lines: list[bytes]) -> None:
    with segment(folder).open("ab") as file:
        file.write(lines[0][:100])
    report = reader.verify(folder, KEY)
    assert (report.verified, report.torn_bytes, report.records) == (True, 100, RECORDS)
    assert any("last 100 bytes" in line for line in report.unchecked)


@pytest.mark.parametrize(
    "tail", [b"\0" * 200_000 + b"\n", b"{}\n", b"\n", b"x" * 70_000 + b"\nx", b"{}"[:0] + b"\n\n"]
)
def test_whole_lines_that_are_no_records_are_faults(
    folder: Path, lines: list[bytes], tail: bytes
) -> None:
    with segment(folder).open("ab") as file:
        file.write(tail)
    fault = reader.verify(folder, KEY).fault
    assert fault is not None
    assert fault.index == RECORDS


@pytest.fixture
def many(folder: Path) -> list[bytes]:
    return make_journal(folder, records=10, signed=8, segment_bytes=1500)


def test_several_segments_are_one_log(folder: Path, many: list[bytes]) -> None:
    report = reader.verify(folder, KEY)
    assert report.verified
    assert report.records == 10
    assert report.segments == len(list(folder.glob("*.jsonl"))) > 3


@pytest.mark.parametrize(
    "attack",
    [
        lambda folder: segment(folder, 1).unlink(),
        lambda folder: segment(folder, 0).unlink(),
        lambda folder: segment(folder, 1).write_bytes(b""),
        lambda folder: os.truncate(segment(folder, 0), segment(folder, 0).stat().st_size - 1),
        lambda folder: segment(folder, 0).write_bytes(segment(folder, 1).read_bytes()),
        lambda folder: segment(folder, 0).write_bytes(segment(folder, 0).read_bytes() + b"x"),
    ],
)
def test_segments_that_are_missing_emptied_cut_copied_or_longer_are_found(
    folder: Path, many: list[bytes], attack: Callable[[Path], object]
) -> None:
    attack(folder)
    assert reader.verify(folder, KEY).fault is not None


def test_bytes_slipped_in_between_segments_that_nobody_signed_yet_are_found(folder: Path) -> None:
    make_journal(folder, records=10, signed=0, segment_bytes=1500)
    with segment(folder, 0).open("ab") as file:
        file.write(b"slipped in")
    fault = reader.verify(folder, KEY).fault
    assert fault is not None
    assert fault.where == "00000001.jsonl"


def test_an_empty_log_is_verified(folder: Path) -> None:
    make_journal(folder, 0, 0)
    report = reader.verify(folder, KEY)
    assert report.verified
    assert report.records == 0


def test_progress_is_told(
    folder: Path, lines: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(reader, "PROGRESS_RECORDS", 2)
    reader.verify(folder, KEY, lambda records, size: told.append((records, size)))
    assert [records for records, _ in told] == [2, 4, 6]
    assert told[-1][1] == segment(folder).stat().st_size


def seqs(told: list[Record]) -> list[int]:
    return [said.seq for said in told]


def test_each_record_is_handed_on_once_it_was_checked(folder: Path, lines: list[bytes]) -> None:
    told: list[Record] = []
    assert reader.verify(folder, KEY, begin=lambda: told.append).verified
    assert seqs(told) == list(range(RECORDS))
    raw = segment(folder).read_bytes()
    segment(folder).write_bytes(raw.replace(lines[3], lines[2]))
    told.clear()
    assert reader.verify(folder, KEY, begin=lambda: told.append).fault is not None
    assert seqs(told) == [0, 1, 2]


def test_records_are_handed_on_anew_when_some_were_pruned_meanwhile(folder: Path) -> None:
    lines = make_journal(folder, 20, 20, segment_bytes=1500)
    begins = journals.announce(folder, lines, 2)
    journals.write_checkpoint(folder, lines)
    attempts: list[list[Record]] = []

    def begin() -> reader.Told:
        attempts.append([])
        if len(attempts) == 1:
            prune.carry_out(folder, begins)
        return attempts[-1].append

    assert reader.verify(folder, KEY, begin=begin).verified
    assert seqs(attempts[-1]) == list(range(begins.pruned, len(lines)))
    assert len(attempts) == 2
