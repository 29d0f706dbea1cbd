"""One end for each request, as a reader of the log finds it."""

from pathlib import Path

import pytest

from sidecar.audit import reader
from sidecar.audit.outcomes import Outcomes
from sidecar.core.gate import Gate
from sidecar.core.log.record import Outcome, OutcomeKind, StateChange
from tests import builders
from tests.audit.journals import (
    BOOT,
    DENIAL,
    HEAD,
    INSTANCE,
    KEY,
    make_permit,
    make_recorder,
    make_snapshot,
    open_journal,
)

NOW = builders.now()
PERMIT = make_permit(make_snapshot())


class Log:
    """A journal that is written record by record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = open_journal(folder)
        self.recorder = make_recorder(self.journal, Gate())

    def permit(self) -> str:
        made = self.recorder.decision(PERMIT, HEAD, None, NOW)
        assert made is not None
        return made

    def end(self, decision_id: str, kind: OutcomeKind = "permit") -> None:
        self.recorder.outcome(decision_id, kind, None, NOW, dur_ns=1, sent=True, status=200)

    def verify(self) -> reader.Report:
        self.journal.close()
        return reader.verify(self.folder, KEY)


@pytest.fixture
def log(folder: Path) -> Log:
    return Log(folder)


def test_each_request_is_counted_by_its_end(log: Log) -> None:
    kinds: tuple[OutcomeKind, ...] = ("permit", "permit", "abort", "error", "late")
    for decision_id, kind in [(log.permit(), kind) for kind in kinds]:
        log.end(decision_id, kind)
    log.recorder.decision(DENIAL, HEAD, None, NOW)
    report = log.verify()
    assert report.fault is None
    assert report.ended == {"permit": 2, "deny": 1, "abort": 1, "error": 1, "late": 1}
    assert (report.interrupted, report.running) == (0, 0)


def test_a_permit_without_an_outcome_is_running_until_a_process_starts_anew(log: Log) -> None:
    log.recorder.state("start", {}, NOW)
    log.permit()
    log.recorder.state("start", {}, NOW)
    log.permit()
    log.permit()
    report = log.verify()
    assert (report.fault, report.interrupted, report.running) == (None, 1, 2)
    assert any("how 3 permitted requests ended" in line for line in report.unchecked)


def test_a_second_outcome_of_one_permit_is_damage(log: Log) -> None:
    decision_id = log.permit()
    log.end(decision_id)
    log.end(decision_id, "abort")
    fault = log.verify().fault
    assert fault is not None
    assert (fault.index, "no open permit" in fault.why) == (2, True)


def test_an_outcome_of_a_denied_request_is_damage(log: Log) -> None:
    decision_id = log.recorder.decision(DENIAL, HEAD, None, NOW)
    assert decision_id is not None
    log.end(decision_id)
    assert log.verify().fault is not None


def test_an_outcome_after_the_process_started_anew_is_damage(log: Log) -> None:
    decision_id = log.permit()
    log.recorder.state("start", {}, NOW)
    log.end(decision_id)
    assert log.verify().fault is not None


def test_a_decision_under_another_id_is_damage(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.core.log.record.decision_id", lambda boot, seq: f"{boot}-9")
    log.permit()
    monkeypatch.undo()
    fault = log.verify().fault
    assert fault is not None
    assert "not that of its place" in fault.why


def test_outcomes_of_pruned_permits_are_believed_once() -> None:
    """Permits 3 and 7 went with the first 8 records; 8 is there, or would be."""
    outcomes = Outcomes(pruned=8)
    assert outcomes.take(make_outcome("b-3")) is None
    assert outcomes.take(make_outcome("b-7")) is None
    assert outcomes.ended["permit"] == 2
    for wrong in ("b-3", "b-8", "b-x", "b-", "", "b-99999999999999999999"):
        assert outcomes.take(make_outcome(wrong)) is not None


def test_a_new_process_ends_no_permit_of_the_one_before() -> None:
    outcomes = Outcomes(pruned=8)
    start = StateChange(
        boot=BOOT, detail={}, inst=INSTANCE, prev="0" * 64, seq=9, ts=0, type="start", v=1
    )
    assert outcomes.take(start) is None
    assert outcomes.take(make_outcome("b-3")) is not None


def make_outcome(decision_id: str) -> Outcome:
    return Outcome(
        boot=BOOT, decision_id=decision_id, dur_us=1, inst=INSTANCE, outcome="permit",
        prev="0" * 64, reason=None, resp_h=None, sent=True, seq=9, status=200, ts=0,
        type="outcome", v=1,
    )  # fmt: skip
