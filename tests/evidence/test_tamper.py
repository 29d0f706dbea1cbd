"""A short campaign holds; and where a check is taken out, each campaign says so."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.audit import checkpoints, past, reader, segments
from sidecar.audit.chain import Chain
from sidecar.core.log import merkle, record
from sidecar.core.log.note import NoteKey
from tests.audit import journals
from tests.evidence import forge, specimen, tamper
from tests.evidence.judge import Judge, Verdict
from tests.evidence.report import Line
from tests.evidence.specimen import Specimen

RECORDS, SIGNED = 12, 9


@pytest.fixture
def made(tmp_path: Path) -> Specimen:
    return specimen.make(tmp_path / "journal", RECORDS, SIGNED, 3_000)


def test_a_short_campaign_finds_everything_outside_the_tail() -> None:
    plan = tamper.Plan(
        records=60, every=97, sample=16, small=RECORDS, small_every=149, states=4, jobs=1
    )
    lines = tamper.run(plan, lambda _: None)
    assert [line.wrong for line in lines] == [[]] * len(lines)
    assert all(line.count for line in lines)
    assert sum(line.count for line in lines) > 3_000


def test_the_specimen_has_segments_a_checkpoint_and_a_tail(made: Specimen) -> None:
    report = reader.verify(made.folder, journals.KEY)
    assert report.verified
    assert (report.records, report.tail_records) == (RECORDS, RECORDS - SIGNED)
    assert len(made.parts) > 1
    assert made.places[0][1] == 0
    assert {path for path, _ in made.places} == {
        path for path in segments.find(made.folder) if path.stat().st_size
    }


def test_the_judge_tells_how_a_change_is_found(made: Specimen) -> None:
    lines = made.lines
    judge = Judge(made, 3)
    assert judge.altered(lines[3].replace(b'"v":1', b'"v":2')) is Verdict.LINE
    assert judge.altered(lines[3].replace(b"POST", b"PUST")) is Verdict.NEXT
    assert judge.altered(lines[3][:-1] + b" ") is Verdict.LINE
    assert judge.altered(lines[3][:9] + b"\n" + lines[3][9:]) is Verdict.LINE
    assert judge.judge([lines[3]], ends=True) is Verdict.ROOT
    last = Judge(made, RECORDS - 1)
    assert last.altered(lines[-1].replace(b'"v":1', b'"v":2')) is Verdict.LINE
    assert last.altered(lines[-1][:-1]) is Verdict.MISSED
    assert last.judge([], ends=True) is Verdict.MISSED


def _unlinked(self: Chain, line: bytes) -> record.Record:
    said = record.parse(line)
    self.extend(line)
    return said


def test_a_chain_that_asks_for_nothing_is_told_on(
    made: Specimen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root alone still finds what is altered; what is moved in the tail is not found."""
    monkeypatch.setattr(Chain, "check", _unlinked)
    assert Judge(made, 3).altered(made.lines[3].replace(b"POST", b"PUST")) is Verdict.ROOT
    moved = tamper.moves(made)
    assert moved["swapped"].inside[Verdict.MISSED] == RECORDS - SIGNED - 1


def _any_root(*_: object) -> bool:
    return True


def test_a_root_that_is_not_compared_is_told_on(
    made: Specimen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_as_signed", _any_root)
    assert tamper._forged(made, 2).wrong
    monkeypatch.setattr(merkle, "included", _any_root)
    assert tamper.flip_range(Specimen(made.folder, SIGNED), 3, 4, 1).wrong


def _unread(_: bytes, key: NoteKey) -> object:
    return forge.Checkpoint(key.name, 0, merkle.EMPTY_ROOT)


def _nothing(*_: object) -> None:
    """Compares nothing."""


@pytest.mark.parametrize(
    ("module", "name", "planted", "campaign"),
    [
        (past, "compare", _nothing, lambda made: forge.copies(made.folder / "more", 3)[0]),
        (past, "compare", _nothing, lambda made: forge.forks(made.folder / "more", 3)[0]),
        (checkpoints, "opened", _unread, lambda made: tamper.checkpoint_flips(made, 41)),
        (checkpoints, "opened", _unread, tamper.checkpoint_cuts),
        (checkpoints, "opened", _unread, lambda made: tamper.truncations(made, 241)),
    ],
)
def test_a_check_that_is_taken_out_is_missed(
    made: Specimen, monkeypatch: pytest.MonkeyPatch, module: object, name: str, planted: object,
    campaign: Callable[[Specimen], Line],
) -> None:  # fmt: skip
    monkeypatch.setattr(module, name, planted)
    assert campaign(made).wrong
