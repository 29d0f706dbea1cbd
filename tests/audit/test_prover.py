"""Proofs and copies of a journal on disk: only of what was signed, and whole."""

from pathlib import Path

import pytest

from sidecar.audit import checkpoints, prover, segments
from sidecar.audit.prover import NotYetError
from sidecar.core.log import merkle
from sidecar.core.log.note import NoteKey
from sidecar.core.log.tiles import WIDTH
from sidecar.core.reason import ProtocolError
from tests.audit.journals import KEY, ORIGIN, make_journal

RECORDS, SIGNED = 300, 290


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """A journal in several segments, and its lines."""
    folder = tmp_path_factory.mktemp("prover") / "audit"
    lines = make_journal(folder, RECORDS, SIGNED, segment_bytes=20_000)
    assert len(segments.find(folder)) > 2, "in several segments"
    return folder, lines


@pytest.mark.parametrize("index", [0, 1, 128, 255, 256, SIGNED - 1])
def test_every_record_under_the_checkpoint_is_proved(
    journal: tuple[Path, list[bytes]], index: int
) -> None:
    folder, lines = journal
    made = prover.prove(folder, index, KEY)
    assert made.record == lines[index]
    assert merkle.included(
        index, SIGNED, merkle.leaf_hash(lines[index]), made.proof.hashes, made.checkpoint.root
    )
    assert made.proof.checkpoint == checkpoints.held(folder)


def test_a_record_that_nobody_has_signed_yet_is_not(journal: tuple[Path, list[bytes]]) -> None:
    with pytest.raises(NotYetError, match="covers 290 records"):
        prover.prove(journal[0], SIGNED, KEY)


def test_a_journal_without_a_checkpoint_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotYetError):
        prover.prove(tmp_path, 0, KEY)


def test_the_key_of_another_log_is_refused(journal: tuple[Path, list[bytes]]) -> None:
    with pytest.raises(ProtocolError):
        prover.prove(journal[0], 0, NoteKey("epochgate/test/pod-2", KEY.public))


@pytest.mark.parametrize("act", ["prove", "export"])
@pytest.mark.parametrize("spoil", ["change", "cut"])
def test_records_that_are_not_the_signed_ones_leave_in_no_form(
    tmp_path: Path, act: str, spoil: str
) -> None:
    folder, to = tmp_path / "audit", tmp_path / "to"
    make_journal(folder, 20, 20)
    path = folder / segments.name(0)
    raw = path.read_bytes()
    changed = raw.replace(b"EG905", b"EG904", 1) if spoil == "change" else raw[: len(raw) // 2]
    path.write_bytes(changed)
    with pytest.raises(ProtocolError):
        prover.prove(folder, 3, KEY) if act == "prove" else prover.export(folder, to, KEY)
    assert not (to / checkpoints.CHECKPOINT).exists()


def test_the_copy_holds_the_records_and_the_checkpoint(
    journal: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    folder, lines = journal
    assert prover.export(folder, tmp_path, KEY).origin == ORIGIN
    assert (tmp_path / "checkpoint").read_bytes() == checkpoints.held(folder)
    raw = (tmp_path / "tile/entries/000").read_bytes()
    raw += (tmp_path / f"tile/entries/001.p/{SIGNED - WIDTH}").read_bytes()
    found = []
    while raw:
        size = int.from_bytes(raw[:2])
        found.append(raw[2 : 2 + size])
        raw = raw[2 + size :]
    assert found == lines[:SIGNED]
    leaves = (tmp_path / "tile/0/000").read_bytes()
    assert leaves[:32] == merkle.leaf_hash(lines[0])


def test_a_longer_log_is_copied_over_its_older_copy(tmp_path: Path) -> None:
    for number, records in enumerate((10, 300)):
        folder = tmp_path / f"audit-{number}"
        make_journal(folder, records, records)
        prover.export(folder, tmp_path / "to", KEY)
    assert (tmp_path / "to" / "tile" / "0" / "000").stat().st_size == 32 * WIDTH


def test_a_file_that_says_the_same_is_left_alone_and_a_spoilt_one_is_put_right(
    tmp_path: Path,
) -> None:
    folder, to = tmp_path / "audit", tmp_path / "to"
    make_journal(folder, 300, 300)
    prover.export(folder, to, KEY)
    same, spoilt = to / "tile/entries/000", to / "tile/0/000"
    before, whole = same.stat().st_ino, spoilt.read_bytes()
    spoilt.write_bytes(b"")
    prover.export(folder, to, KEY)
    assert same.stat().st_ino == before
    assert spoilt.read_bytes() == whole
    assert not list(to.rglob("*.new"))
