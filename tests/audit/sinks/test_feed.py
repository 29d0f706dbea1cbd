"""The next records: whole, signed, chained, over segments, and after others were pruned."""

from pathlib import Path

import msgspec
import pytest

from sidecar.audit import segments
from sidecar.audit.sinks import feed
from sidecar.audit.sinks.feed import BATCH_BYTES
from sidecar.core.reason import ProtocolError, Reason
from tests.audit.journals import make_journal
from tests.audit.sinks.parts import START


def all_lines(folder: Path) -> list[bytes]:
    return [line for path in segments.find(folder) for line in path.read_bytes().splitlines()]


def seqs(batch: feed.Batch) -> list[int]:
    return [entry.seq for entry in batch.entries]


def test_only_what_is_signed_is_read(tmp_path: Path) -> None:
    lines = make_journal(tmp_path, 20, 10)
    batch = feed.read(tmp_path, START, 10)
    assert [entry.line for entry in batch.entries] == lines[:10]
    assert (batch.before, batch.after.seq, batch.skipped) == (START, 10, 0)


def test_batches_follow_each_other_over_segments_without_a_gap(whole: Path) -> None:
    lines = all_lines(whole)
    assert len(segments.find(whole)) > 3
    found, cursor = [], START
    while cursor.seq < 40:
        batch = feed.read(whole, cursor, 40, 3)
        assert 1 <= len(batch.entries) <= 3
        found += [entry.line for entry in batch.entries]
        cursor = batch.after
    assert found == lines


def test_a_batch_is_bounded_in_bytes_and_holds_one_record_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = make_journal(tmp_path, 5, 5)
    assert sum(map(len, lines)) < BATCH_BYTES
    monkeypatch.setattr(feed, "BATCH_BYTES", len(lines[0]) * 5 // 2)
    assert seqs(feed.read(tmp_path, START, 5)) == [0, 1]
    monkeypatch.setattr(feed, "BATCH_BYTES", 1)
    assert seqs(feed.read(tmp_path, START, 5)) == [0]


@pytest.mark.parametrize("at", [3, 12])
def test_a_record_that_does_not_continue_the_one_before_is_never_sent(
    tmp_path: Path, at: int
) -> None:
    lines = make_journal(tmp_path, 20, 20)
    path = tmp_path / segments.name(0)
    good = path.read_bytes()
    for wrong in (
        [*lines[:at], *lines[at + 1 :]],
        [*lines[:at], lines[at].replace(b"1", b"2"), *lines[at + 1 :]],
        [*lines[:at], b"{}", *lines[at:]],
        [*lines[:at], b"no record", *lines[at:]],
    ):
        path.write_bytes(b"".join(line + b"\n" for line in wrong))
        with pytest.raises(ProtocolError) as refused:
            feed.read(tmp_path, START, 19)
        assert refused.value.reason is Reason.AUDIT_CHAIN_BREAK
    path.write_bytes(good)
    assert len(feed.read(tmp_path, START, 20).entries) == 20


def test_fewer_records_than_were_signed_is_an_error(tmp_path: Path) -> None:
    make_journal(tmp_path, 5, 5)
    end = feed.read(tmp_path, START, 5).after
    with pytest.raises(ProtocolError) as refused:
        feed.read(tmp_path, end, 6)
    assert refused.value.reason is Reason.AUDIT_TRUNCATED


def test_a_torn_line_is_not_read(tmp_path: Path) -> None:
    make_journal(tmp_path, 5, 5)
    with (tmp_path / segments.name(0)).open("ab") as file:
        file.write(b'{"seq":5')
    assert seqs(feed.read(tmp_path, START, 6)) == [0, 1, 2, 3, 4]


def test_after_pruning_it_goes_on_with_the_oldest_record_kept(whole: Path) -> None:
    lines = all_lines(whole)
    paths = segments.find(whole)
    sent = feed.read(whole, START, 40, 2).after
    for path in paths[:2]:
        path.unlink()
    oldest = msgspec.json.decode(paths[2].read_bytes().splitlines()[0])["seq"]
    batch = feed.read(whole, sent, 40)
    assert (batch.skipped, batch.before.seq) == (oldest - 2, oldest)
    assert [entry.line for entry in batch.entries] == lines[oldest:]


def test_what_was_sent_before_it_was_pruned_is_not_missing(whole: Path) -> None:
    lines = all_lines(whole)
    paths = segments.find(whole)
    first = len(paths[0].read_bytes().splitlines())
    sent = feed.read(whole, START, first).after
    assert sent.number == 0
    paths[0].unlink()
    batch = feed.read(whole, sent, 40)
    assert (batch.skipped, batch.before.seq) == (0, first)
    assert [entry.line for entry in batch.entries] == lines[first:]


def test_a_segment_that_is_missing_between_others_is_a_broken_log(whole: Path) -> None:
    paths = segments.find(whole)
    sent = feed.read(whole, START, 40, 2).after
    cursor = msgspec.structs.replace(sent, number=1)
    paths[1].unlink()
    with pytest.raises(ProtocolError, match=r"00000001\.jsonl is missing"):
        feed.read(whole, cursor, 40)


def test_another_history_behind_a_pruned_one_is_refused(whole: Path) -> None:
    paths = segments.find(whole)
    first = len(paths[0].read_bytes().splitlines())
    sent = feed.read(whole, START, first).after
    paths[0].unlink()
    for wrong in (
        msgspec.structs.replace(sent, prev="ab" * 32),
        msgspec.structs.replace(sent, seq=first + 1),
    ):
        with pytest.raises(ProtocolError, match="does not continue"):
            feed.read(whole, wrong, 40)


def test_an_empty_folder_that_should_hold_records_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="missing"):
        feed.read(tmp_path, START, 1)
    (tmp_path / segments.name(3)).touch()
    with pytest.raises(ProtocolError, match="holds no record"):
        feed.read(tmp_path, START, 1)
