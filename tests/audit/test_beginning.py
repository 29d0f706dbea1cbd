"""Where a pruned journal begins: believed only when the log itself says so, under its signature."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.audit import beginning, prover, reader, recovery, segments
from sidecar.audit.beginning import Base
from sidecar.core.reason import ProtocolError, Reason
from tests.audit import journals
from tests.audit.journals import KEY


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes], Base]:
    """A pruned journal that nobody touches; its lines; where it begins."""
    folder = tmp_path_factory.mktemp("base") / "audit"
    return (folder, *journals.make_pruned(folder))


@pytest.fixture
def pruned(folder: Path, sound: tuple[Path, list[bytes], Base]) -> tuple[list[bytes], Base]:
    """A copy of it to spoil."""
    shutil.copytree(sound[0], folder)
    return sound[1:]


def write(folder: Path, begins: Base) -> None:
    (folder / beginning.BASE).write_bytes(beginning.encode(begins))


def refused(folder: Path) -> str:
    """Everybody who reads it refuses; what recovery says."""
    assert reader.verify(folder, KEY).fault is not None
    with pytest.raises(ProtocolError):
        prover.prove(folder, 15, KEY)
    with pytest.raises(ProtocolError) as caught:
        recovery.examine(folder, KEY)
    assert caught.value.reason is Reason.AUDIT_CHAIN_BREAK
    return caught.value.detail


def test_what_is_written_is_read(pruned: tuple[list[bytes], Base]) -> None:
    assert beginning.parse(beginning.encode(pruned[1])) == pruned[1]
    assert beginning.parse(None) == beginning.UNPRUNED


def test_a_pruned_journal_is_sound(folder: Path, pruned: tuple[list[bytes], Base]) -> None:
    lines, begins = pruned
    found = recovery.examine(folder, KEY)
    assert (found.base, found.chain.tree.size) == (begins, len(lines))
    assert found.cuts[0] == begins.cut
    report = reader.verify(folder, KEY)
    assert report.verified
    assert (report.pruned, report.size) == (begins.pruned, len(lines))
    said = f"record {begins.record} says that records 0 to {begins.pruned - 1} were pruned"
    assert said in report.checked
    assert any("only their root is known" in line for line in report.unchecked)


def test_segments_cannot_be_taken_away_without_a_record(folder: Path) -> None:
    journals.make_journal(folder, 20, 20, segment_bytes=1500)
    (folder / segments.name(0)).unlink()
    assert "00000000.jsonl is missing" in refused(folder)


def test_more_cannot_be_taken_away_than_the_record_says(
    folder: Path, pruned: tuple[list[bytes], Base]
) -> None:
    (folder / segments.name(pruned[1].cut.segment)).unlink()
    assert "00000002.jsonl is missing" in refused(folder)


def test_a_base_that_is_gone_is_missed(folder: Path, pruned: tuple[list[bytes], Base]) -> None:
    (folder / beginning.BASE).unlink()
    assert "00000000.jsonl is missing" in refused(folder)


def test_a_forged_base_is_found(folder: Path, pruned: tuple[list[bytes], Base]) -> None:
    """A forger takes one more segment away, and reckons all that is needed; no record agrees."""
    lines, begins = pruned
    following = recovery.examine(folder, KEY).cuts[1]
    assert following == journals.make_cut(lines, begins.cut.segment + 1, following.size)
    (folder / segments.name(begins.cut.segment)).unlink()
    write(folder, Base(following, begins.record))
    assert "does not say" in refused(folder)
    write(folder, Base(following, following.size))
    assert "does not say" in refused(folder)


def test_a_forged_record_is_found(folder: Path, pruned: tuple[list[bytes], Base]) -> None:
    """Without the key nobody signs the record that would agree."""
    lines, begins = pruned
    following = recovery.examine(folder, KEY).cuts[1]
    begins = journals.announce(folder, list(lines), following.segment)
    write(folder, begins)
    (folder / segments.name(following.segment - 1)).unlink()
    assert f"no checkpoint covers record {begins.record}" in refused(folder)


def test_without_a_checkpoint_it_is_not_believed(
    folder: Path, pruned: tuple[list[bytes], Base]
) -> None:
    (folder / "checkpoint").unlink()
    with pytest.raises(ProtocolError):
        recovery.examine(folder, KEY)
    assert not reader.verify(folder, KEY).verified


@pytest.mark.parametrize(
    "change",
    [
        lambda cut: dataclasses.replace(cut, prev="0" * 64),
        lambda cut: dataclasses.replace(cut, subtrees=(b"x" * 32, *cut.subtrees[1:])),
        lambda cut: dataclasses.replace(cut, segment=cut.segment + 1),
        lambda cut: dataclasses.replace(cut, segment=cut.segment - 1),
        lambda cut: dataclasses.replace(cut, size=cut.size ^ 3 ^ cut.size & 3),
    ],
)
def test_another_beginning_is_refused(
    folder: Path, pruned: tuple[list[bytes], Base], change: Callable[[beginning.Cut], beginning.Cut]
) -> None:
    _, begins = pruned
    write(folder, dataclasses.replace(begins, cut=change(begins.cut)))
    refused(folder)


def test_a_flipped_bit_anywhere_is_found(folder: Path, pruned: tuple[list[bytes], Base]) -> None:
    whole = (folder / beginning.BASE).read_bytes()
    for index in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[index] ^= 1 << index % 8
        (folder / beginning.BASE).write_bytes(spoilt)
        with pytest.raises(ProtocolError) as caught:
            recovery.examine(folder, KEY)
        assert caught.value.reason is Reason.AUDIT_CHAIN_BREAK


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"\0" * 500, b"x" * 100_000, b'{"v":1}\n'], ids=range(5)
)
def test_what_is_no_base_is_damage(
    folder: Path, pruned: tuple[list[bytes], Base], raw: bytes
) -> None:
    (folder / beginning.BASE).write_bytes(raw)
    assert refused(folder).startswith("base: ")


def test_a_reading_that_a_prune_came_into_is_done_again(folder: Path) -> None:
    lines = journals.make_journal(folder, 20, 20, segment_bytes=1500)
    begins = journals.announce(folder, lines, 2)
    journals.write_checkpoint(folder, lines)
    seen: list[int] = []

    def read(known: Base) -> int:
        seen.append(known.pruned)
        paths = segments.find(folder, known.cut.segment)
        if len(seen) == 1:
            journals.prune.carry_out(folder, begins)
        return sum(len(path.read_bytes().splitlines()) for path in paths)

    assert beginning.steady(folder, read) == len(lines) - begins.pruned
    assert seen == [0, begins.pruned]


def test_a_reading_that_fails_for_another_reason_is_not(folder: Path) -> None:
    folder.mkdir()
    calls = 0

    def read(_: Base) -> None:
        nonlocal calls
        calls += 1
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        beginning.steady(folder, read)
    assert calls == 1
