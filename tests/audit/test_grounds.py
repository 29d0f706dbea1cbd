"""What a decision rested on, as far as the journals of its pod hold it."""

from pathlib import Path

from sidecar.audit import grounds
from sidecar.audit.recorder import Recorder
from sidecar.core.canonical import Json
from sidecar.core.gate import Gate
from sidecar.core.log import record
from sidecar.core.log.record import Decision
from tests import builders
from tests.audit import journals
from tests.audit.journals import HEAD, make_permit, make_snapshot

PERMIT = make_permit(make_snapshot())


def write(recorder: Recorder, kind: record.StateType, **detail: Json) -> None:
    assert recorder.state(kind, detail, builders.now())


def decided(folder: Path) -> Decision:
    """A permit in a journal of its own, as a worker has it."""
    journal = journals.open_journal(folder)
    journals.make_recorder(journal, Gate()).decision(PERMIT, HEAD, None, builders.now())
    said = record.parse(journal.fresh[-1])
    journal.close()
    assert isinstance(said, Decision)
    return said


def test_what_the_decision_names_is_found_in_the_journal_of_whoever_follows(tmp_path: Path) -> None:
    said = decided(tmp_path / "worker-0")
    assert said.beat is not None
    assert said.epoch is not None
    journal = journals.open_journal(tmp_path / "follower")
    recorder = journals.make_recorder(journal, Gate())
    write(recorder, "trust", version=1, sha256="1" * 64, envelope="trust one")
    write(recorder, "trust", version=2, sha256="2" * 64, envelope="trust two")
    write(recorder, "epoch", sha256=said.epoch.sha, envelope="the epoch")
    write(recorder, "epoch", sha256="3" * 64, envelope="another epoch")
    write(recorder, "beat", sha256=said.beat.sha, envelope="the beat")
    write(recorder, "beat", sha256="4" * 64, envelope="another beat")
    journal.close()
    found = grounds.gather([tmp_path / "worker-0", tmp_path / "follower"], said)
    assert (found.beat, found.epoch) == ("the beat", "the epoch")
    assert said.trust_v == 1, "so what followed is of no use"
    assert found.trust == ("trust one",)


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    said = decided(tmp_path / "alone")
    with (tmp_path / "alone" / "00000000.jsonl").open("ab") as file:
        file.write(b'{"type":"epoch"}\n{"type":"beat","detail":[]}\n')
    found = grounds.gather([tmp_path / "alone"], said)
    assert (found.beat, found.epoch, found.trust) == (None, None, ())
