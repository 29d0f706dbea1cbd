"""Changes of state are written once each, also those that only time makes."""

from dataclasses import replace
from typing import Any

import msgspec

from sidecar import clock
from sidecar.core import canonical, envelope, policy, recording
from sidecar.core.events import Conflict, Passage, RoundEnded, Step, TrustAdopted
from sidecar.core.instant import BootNs, WallMs
from sidecar.core.lease import Lease
from sidecar.core.objects.epoch import MAX_BYTES
from sidecar.core.objects.halt import NO_HALTS, Scope
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.snapshot import CLOSED, Snapshot
from sidecar.roles.transitions import ENVELOPE_MAX_BYTES, Transitions
from tests import builders


class Recorder:
    """Keeps what would be written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, dict[str, Any]]] = []

    def state(self, kind: str, detail: dict[str, Any], _now: object) -> bool:
        self.written.append((kind, detail))
        return True


class Observer:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.events: list[object] = []

    def snapshot(self, snapshot: Snapshot, _now: object) -> None:
        self.snapshots.append(snapshot)

    def told(self, event: object) -> None:
        self.events.append(event)


def made() -> tuple[Transitions, Recorder, Observer]:
    recorder, observer = Recorder(), Observer()
    return Transitions(recorder, observer), recorder, observer  # type: ignore[arg-type]


def running(left_ms: int) -> Snapshot:
    trust = builders.make_trust()
    epoch = builders.make_epoch(trust)
    now = clock.now()
    deadline = BootNs(now.boot + left_ms * 1_000_000)
    wall = WallMs(now.wall + left_ms)
    beat = builders.make_beat(trust, epoch)
    lease = Lease(epoch.seq, epoch.sha256, beat, (), deadline, wall, "clock")
    return replace(CLOSED, lease=lease, epoch=epoch)


def test_a_lease_gained_is_one_record_of_the_epoch_and_one_of_the_state() -> None:
    transitions, recorder, observer = made()
    snapshot = running(60_000)
    transitions.look(snapshot)
    transitions.look(snapshot)
    assert [kind for kind, _ in recorder.written] == ["epoch", "transition"]
    assert recorder.written[1][1] == {
        "from": "starting",
        "to": "running",
        "reason": "",
        "causes": [],
    }
    assert len(observer.snapshots) == 2


def test_an_epoch_is_recorded_with_the_envelope_that_others_can_check() -> None:
    transitions, recorder, _ = made()
    snapshot = running(60_000)
    transitions.look(snapshot)
    assert snapshot.epoch is not None
    sealed = envelope.parse(recorder.written[0][1]["envelope"].encode(), MAX_BYTES)
    assert canonical.digest(sealed.unverified_payload) == snapshot.epoch.sha256
    handed = replace(snapshot, epoch=replace(snapshot.epoch, sha256="0" * 64, sealed=None))
    transitions.look(handed)
    assert recorder.written[-1] == ("epoch", {"seq": 1, "sha256": "0" * 64})


def test_an_envelope_that_is_too_long_for_a_record_is_left_out() -> None:
    transitions, recorder, _ = made()
    snapshot = running(60_000)
    assert snapshot.epoch is not None
    assert snapshot.epoch.sealed is not None
    long = replace(snapshot.epoch.sealed, unverified_payload=bytes(ENVELOPE_MAX_BYTES))
    transitions.look(replace(snapshot, epoch=replace(snapshot.epoch, sealed=long)))
    assert "envelope" not in recorder.written[0][1]


def test_beats_are_kept_once_each_when_the_policy_says_so() -> None:
    transitions, recorder, _ = made()
    snapshot = running(60_000)
    transitions.look(snapshot)
    body = canonical.load(builders.POLICY, policy.Body, policy.MAX_BYTES)
    asking = msgspec.structs.replace(body, audit=recording.Body(beats=True))
    keeping = replace(snapshot, policy=policy.parse(canonical.dump(asking)))
    transitions.look(keeping)
    transitions.look(keeping)
    [beat] = [detail for kind, detail in recorder.written if kind == "beat"]
    assert snapshot.lease is not None
    assert beat["sha256"] == snapshot.lease.beat.sha256
    sealed = envelope.parse(beat["envelope"].encode(), MAX_BYTES)
    assert canonical.digest(sealed.unverified_payload) == beat["sha256"]


def test_a_lease_that_ran_out_is_recorded_although_nothing_was_published() -> None:
    transitions, recorder, _ = made()
    transitions.look(running(60_000))
    transitions.look(running(-1))
    assert recorder.written[-1][1]["to"] == "contained"
    assert recorder.written[-1][1]["reason"] == "EG102"


def test_each_order_is_recorded_once_although_it_changes_no_state() -> None:
    transitions, recorder, _ = made()
    trust = builders.make_trust()
    halt = builders.make_order(trust, scope=Scope(kind="route", value="chat"))
    clear = builders.make_order(trust, clears=halt.says.halt_id)
    quiet = running(60_000)
    transitions.look(quiet)
    del recorder.written[:]
    for orders in ((halt,), (halt,), (halt, clear), (halt, clear)):
        transitions.look(replace(quiet, halts=NO_HALTS.union(orders)))
    assert [(kind, detail["action"], detail["id"]) for kind, detail in recorder.written] == [
        ("halt", "halt", halt.says.halt_id),
        ("halt", "clear", clear.says.halt_id),
    ]
    first, second = (detail for _, detail in recorder.written)
    assert (first["scope"], first["sha256"]) == ({"kind": "route", "value": "chat"}, halt.sha256)
    assert second["clears"] == halt.says.halt_id


def test_a_conflict_is_recorded_with_the_digests_of_its_evidence() -> None:
    transitions, recorder, observer = made()
    conflict = Conflict(Reason.EQUIVOCATION, "ab" * 16, (b"one", b"two"))
    transitions.told(conflict)
    kind, detail = recorder.written[0]
    assert (kind, detail["evidence"], len(detail["envelopes"])) == ("conflict", "ab" * 16, 2)
    assert observer.events == [conflict]


def test_a_process_that_is_starting_has_changed_nothing_yet() -> None:
    transitions, recorder, _ = made()
    transitions.look(CLOSED)
    assert recorder.written == []


def steps(count: int, *, ok: bool) -> Passage:
    """A passage of so many steps; `ok`: whether the last one held."""
    return Passage(
        tuple(
            Step(number, ok=ok or number < count, spent_ms=number, evidence={"of": number})
            for number in range(1, count + 1)
        )
    )


def lifecycle_of(recorder: Recorder) -> list[tuple[int, bool]]:
    return [(d["step"], d["ok"]) for kind, d in recorder.written if kind == "lifecycle"]


def test_an_approved_passage_is_ten_records_the_last_two_about_the_log_itself() -> None:
    recorder = Recorder()
    transitions = Transitions(recorder, Observer(), lambda: {"records": 9})  # type: ignore[arg-type]
    transitions.told(steps(8, ok=True))
    assert lifecycle_of(recorder) == [(number, True) for number in range(1, 11)]
    assert recorder.written[2][1] == {"step": 3, "ok": True, "ms": 3, "evidence": {"of": 3}}
    assert [detail["evidence"] for _, detail in recorder.written[8:]] == [{"records": 9}] * 2


def test_a_passage_that_failed_ends_with_the_step_that_failed() -> None:
    for count in (2, 7):
        transitions, recorder, _ = made()
        transitions.told(steps(count, ok=False))
        assert lifecycle_of(recorder)[-1] == (count, False)
        assert len(recorder.written) == count


def ended(number: int, outcome: str = "agreed", **results: str) -> RoundEnded:
    return RoundEnded(
        number, {PeerId(peer): result for peer, result in results.items()}, outcome, 5, ()
    )


def test_a_round_is_recorded_only_where_it_came_out_otherwise_than_the_one_before() -> None:
    transitions, recorder, observer = made()
    rounds = [
        ended(1, a="ok", b="ok"),
        ended(2, b="ok", a="ok"),
        ended(3, a="ok", b="EG802"),
        ended(4, a="ok", b="EG802"),
        ended(5, "EG801", a="ok", b="EG802"),
        ended(6, a="ok", b="ok"),
    ]
    for one in rounds:
        transitions.told(one)
    assert [detail["round"] for kind, detail in recorder.written if kind == "sync"] == [1, 3, 5, 6]
    assert recorder.written[1][1] == {
        "round": 3, "outcome": "agreed", "peers": {"a": "ok", "b": "EG802"}, "ms": 5, "faults": [],
    }  # fmt: skip
    assert observer.events == rounds


def test_a_trust_document_that_came_into_force_is_recorded_with_the_one_before() -> None:
    transitions, recorder, _ = made()
    transitions.told(TrustAdopted(2, "b" * 64, "a" * 64, b"{}"))
    said = {"version": 2, "sha256": "b" * 64, "prev": "a" * 64, "envelope": "{}"}
    assert recorder.written == [("trust", said)]
