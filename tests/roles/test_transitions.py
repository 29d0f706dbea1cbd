"""Changes of state are written once each, also those that only time makes."""

from dataclasses import replace
from typing import Any

from sidecar import clock
from sidecar.core.events import Conflict
from sidecar.core.instant import BootNs, WallMs
from sidecar.core.lease import Lease
from sidecar.core.objects.halt import NO_HALTS, Scope
from sidecar.core.reason import Reason
from sidecar.core.snapshot import CLOSED, Snapshot
from sidecar.roles.transitions import Transitions
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
