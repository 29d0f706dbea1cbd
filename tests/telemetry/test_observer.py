"""Core values in; counters and one line per change out."""

from dataclasses import replace
from typing import get_args

import pytest

from sidecar.core.events import Conflict, RoundEnded
from sidecar.core.objects.halt import NO_HALTS, Scope
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.snapshot import CLOSED, Hold, HoldKind, Snapshot
from sidecar.proxy.plane import Outcome
from sidecar.telemetry.metrics import RESULT_OF, Metrics
from sidecar.telemetry.observer import Observer
from tests import builders
from tests.telemetry.test_logs import Lines
from tests.telemetry.test_metrics import Clock, running, scrape


class World:
    """An observer and everything that it writes to."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(self.clock, ["r1", "r2"])
        self.lines = Lines()
        self.observer = Observer(self.metrics, self.lines.log, self.clock)

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines.read()]


@pytest.fixture
def world() -> World:
    return World()


def test_a_change_of_state_is_one_line_with_reason_and_causes(world: World) -> None:
    world.observer.snapshot(running(), builders.now())
    contained = Snapshot(absent=Reason.QUORUM_LOST, faults=(Reason.BEAT_STALE, Reason.SIG_INVALID))
    for ms in (100, 200, 300):
        world.observer.snapshot(contained, builders.now(ms))
    opened, closed = (line for line in world.lines.read() if line["event"] == "gate_state")
    assert (opened["from"], opened["to"], opened["level"]) == ("starting", "running", "info")
    assert opened["lease_ms"] == 3499
    assert (closed["to"], closed["reason"], closed["level"]) == ("contained", "EG801", "warning")
    assert closed["causes"] == ["EG103", "EG601"]
    found = scrape(world.metrics)
    assert found["epochgate_gate_state_changes_total", "starting", "running"] == 1
    assert found["epochgate_gate_state_changes_total", "running", "contained"] == 1


def test_the_same_snapshot_later_can_be_another_state(world: World) -> None:
    snapshot = running()
    world.observer.snapshot(snapshot, builders.now())
    world.observer.snapshot(snapshot, builders.now(5000))
    last = world.lines.read()[-1]
    assert (last["to"], last["reason"]) == ("contained", "EG102")


def test_another_reason_in_the_same_state_is_a_line_and_no_change_of_state(world: World) -> None:
    world.observer.snapshot(Snapshot(absent=Reason.QUORUM_LOST), builders.now())
    world.observer.snapshot(Snapshot(absent=Reason.EPOCH_EXPIRED), builders.now())
    assert [line["reason"] for line in world.lines.read()] == ["EG801", "EG109"]
    found = scrape(world.metrics)
    assert ("epochgate_gate_state_changes_total", "contained", "contained") not in found


def test_a_new_epoch_is_one_line(world: World) -> None:
    first = running()
    second = replace(first, epoch=builders.make_epoch(builders.make_trust(), first.epoch))
    for snapshot in (first, first, second):
        world.observer.snapshot(snapshot, builders.now())
    assert [line["seq"] for line in world.lines.read() if line["event"] == "epoch"] == [1, 2]


def test_it_is_ready_once_it_has_held_a_lease_and_stays_so(world: World) -> None:
    observer = world.observer
    assert observer.not_ready() is Reason.STARTING
    observer.snapshot(Snapshot(absent=Reason.QUORUM_LOST), builders.now())
    assert observer.not_ready() is Reason.QUORUM_LOST
    observer.snapshot(running(), builders.now())
    assert observer.not_ready() is None
    observer.snapshot(Snapshot(absent=Reason.QUORUM_LOST), builders.now(1))
    assert observer.not_ready() is None


def test_a_hold_before_the_first_lease_is_not_ready(world: World) -> None:
    held = replace(running()).held(Hold(Reason.HALT_GLOBAL, HoldKind.STICKY, "h"))
    world.observer.snapshot(held, builders.now())
    assert world.observer.not_ready() is Reason.HALT_GLOBAL
    assert world.lines.read()[0]["evidence"] == ["h"]


@pytest.mark.parametrize(
    ("outcome", "reason", "decision"),
    [
        ("permit", None, ("permit", "none")),
        ("exempt", None, ("exempt", "none")),
        ("deny", Reason.LEASE_EXPIRED, ("deny", "EG102")),
        ("deny", Reason.REQUEST_MALFORMED, None),
        ("abort", Reason.LEASE_EXPIRED, ("deny", "EG102")),
        ("cut", Reason.LEASE_EXPIRED, ("permit", "none")),
        ("late", Reason.LEASE_EXPIRED, ("permit", "none")),
        ("failed", Reason.UPSTREAM_TIMEOUT, ("permit", "none")),
        ("gone", None, ("permit", "none")),
    ],
)
def test_a_request_counts_once_with_its_decision(
    outcome: str, reason: Reason | None, decision: tuple[str, str] | None, world: World
) -> None:
    before = scrape(world.metrics)
    world.observer.finished(outcome, reason, 200, 1_000_000, 0, 0)
    after = scrape(world.metrics)
    grown = {key for key in after if after[key] != before.get(key, 0) and "total" in key[0]}
    late = {("epochgate_late_writes_total",)} if outcome == "late" else set()
    decided = {("epochgate_decisions_total", *decision)} if decision is not None else set()
    assert grown == late | decided | {("epochgate_requests_total", RESULT_OF[outcome])}
    assert grown <= before.keys(), "every series was there at 0 before"
    assert after["epochgate_request_duration_seconds_count",] == 1
    assert after["epochgate_overhead_seconds_count",] == 0


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [
        ("permit", ("observe", "EG204")),
        ("cut", ("observe", "EG204")),
        ("gone", ("observe", "EG204")),
        ("abort", ("deny", "EG102")),
    ],
)
def test_what_was_only_observed_is_counted_as_that_and_as_nothing_else(
    outcome: str, decision: tuple[str, str], world: World
) -> None:
    before = scrape(world.metrics)
    world.observer.finished(
        outcome, Reason.LEASE_EXPIRED, 200, 1, 0, 0, observed=Reason.POLICY_DENY
    )
    after = scrape(world.metrics)
    name = "epochgate_decisions_total"
    grown = {key for key in after if key[0] == name and after[key] != before[key]}
    assert grown == {(name, *decision)}


def test_every_end_that_the_data_plane_knows_is_counted() -> None:
    assert set(RESULT_OF) == set(get_args(Outcome))


def test_a_malformed_request_is_counted_by_its_reason(world: World) -> None:
    world.observer.malformed(Reason.REQUEST_MALFORMED)
    found = scrape(world.metrics)
    assert found["epochgate_http_parse_rejections_total", "EG001"] == 1


def test_a_cut_stream_is_counted_by_its_reason(world: World) -> None:
    world.observer.stream_cut(Reason.LEASE_EXPIRED)
    assert scrape(world.metrics)["epochgate_streams_cut_total", "EG102"] == 1


def test_requests_are_not_logged_but_bugs_and_late_writes_are(world: World) -> None:
    world.observer.finished("permit", None, 200, 1, 0, 0)
    world.observer.finished("deny", Reason.LEASE_EXPIRED, 503, 1, 0, 0)
    assert world.events() == []
    world.observer.finished("deny", Reason.INTERNAL_ERROR, 503, 1, 0, 0)
    world.observer.finished("late", Reason.LEASE_EXPIRED, 503, 9_000_000, 8_000_000, 0)
    assert world.events() == ["internal_error", "late_write"]
    found = scrape(world.metrics)
    assert found["epochgate_late_writes_total",] == 1
    assert found["epochgate_overhead_seconds_sum",] == 0.008


def test_rounds_are_counted_and_only_changes_of_a_peer_are_logged(world: World) -> None:
    r1, r2 = PeerId("r1"), PeerId("r2")
    for results in ({r1: "ok", r2: "timeout"}, {r1: "ok", r2: "timeout"}, {r1: "ok", r2: "EG601"}):
        world.observer.told(RoundEnded(1, results, "agreed", 20, ()))
    found = scrape(world.metrics)
    assert found["epochgate_rounds_total", "agreed"] == 3
    assert found["epochgate_round_duration_seconds_sum",] == 0.06
    assert found["epochgate_peer_reads_total", "r1", "ok"] == 3
    assert found["epochgate_peer_reads_total", "r2", "timeout"] == 2
    assert (found["epochgate_peer_up", "r1"], found["epochgate_peer_up", "r2"]) == (1, 0)
    last = found["epochgate_peer_last_success_timestamp_seconds", "r1"]
    assert last == builders.NOW / 1000
    assert [(line["peer"], line["result"]) for line in world.lines.read()] == [
        ("r1", "ok"),
        ("r2", "timeout"),
        ("r2", "EG601"),
    ]
    assert world.observer.peers() == {
        "r1": {"result": "ok", "last_success": builders.NOW},
        "r2": {"result": "EG601", "last_success": None},
    }


def test_a_conflict_is_an_error_with_its_evidence(world: World) -> None:
    world.observer.told(Conflict(Reason.EQUIVOCATION, "ab" * 16, (b"secret bytes",)))
    (line,) = world.lines.read()
    assert (line["level"], line["reason"], line["evidence"]) == ("error", "EG803", "ab" * 16)
    assert "secret bytes" not in world.lines.stream.getvalue()


def test_an_order_is_logged_once_with_what_it_is_for(world: World) -> None:
    order = builders.make_order(builders.make_trust(), scope=Scope(kind="route", value="chat"))
    quiet = replace(running(), halts=NO_HALTS)
    world.observer.snapshot(quiet, builders.now())
    before = len(world.lines.read())
    for _ in range(2):
        halted = replace(quiet, halts=NO_HALTS.union([order]))
        world.observer.snapshot(halted, builders.now())
    (line,) = world.lines.read()[before:]
    assert (line["event"], line["level"], line["action"]) == ("order", "warning", "halt")
    assert (line["id"], line["scope"], line["value"]) == (order.says.halt_id, "route", "chat")


def test_nothing_happened_before_the_first_snapshot(world: World) -> None:
    world.observer.snapshot(CLOSED, builders.now())
    assert world.events() == []
