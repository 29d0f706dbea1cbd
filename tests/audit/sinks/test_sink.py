"""Whether a required sink is too far behind, over all of its logs."""

from pathlib import Path
from typing import Any

from sidecar.audit.sinks.sink import Sink
from tests.audit.journals import make_journal
from tests.audit.sinks.parts import Clock, Kept, Line, settings


def made(folder: Path, clock: Clock, **changes: Any) -> Sink:
    lines = [Line(folder / name / "audit", Kept(), clock) for name in ("one", "two")]
    said = {"required": True, "max_lag_ms": 1000, **changes}
    return Sink(settings("stdout", **said), Kept(), [line.pump for line in lines])


def fill(folder: Path) -> None:
    make_journal(folder / "one" / "audit", 10, 10)
    make_journal(folder / "two" / "audit", 10, 0)


async def test_it_is_behind_beyond_its_budget_until_it_has_half_caught_up(
    tmp_path: Path, clock: Clock
) -> None:
    fill(tmp_path)
    sink = made(tmp_path, clock)
    clock.ms = 1000
    assert (sink.judge(), sink.behind) == (False, False)
    clock.ms = 1001
    assert (sink.judge(), sink.behind) == (True, True)
    clock.ms = 900
    assert (sink.judge(), sink.behind) == (False, True)
    clock.ms = 500
    assert (sink.judge(), sink.behind) == (True, False)


async def test_one_that_is_not_required_is_never_behind(tmp_path: Path, clock: Clock) -> None:
    fill(tmp_path)
    (tmp_path / "one" / "cursor.json").write_bytes(b"{")
    sink = made(tmp_path, clock, required=False, max_lag_ms=0)
    clock.ms = 10**9
    assert not sink.judge()
    assert not sink.behind


async def test_a_required_one_that_cannot_go_on_is_behind_at_once(
    tmp_path: Path, clock: Clock
) -> None:
    fill(tmp_path)
    (tmp_path / "two" / "cursor.json").write_bytes(b"{")
    sink = made(tmp_path, clock)
    assert sink.judge()
    assert sink.behind


async def test_figures_are_the_sum_and_the_lag_is_the_worst(tmp_path: Path, clock: Clock) -> None:
    fill(tmp_path)
    sink = made(tmp_path, clock)
    for index, pump in enumerate(sink.pumps, start=1):
        pump.records, pump.failures, pump.refused, pump.dropped = index, 10, 20, 30
    sink.pumps[1].why = "down"
    clock.ms = 700
    state = sink.state()
    assert state["logs"] == {"epochgate/test/pod-1": 0}
    assert (state["records"], state["failures"], state["refused"], state["dropped"]) == (
        3, 20, 40, 60,
    )  # fmt: skip
    assert (state["lag_ms"], state["why"], state["behind"]) == (700, "down", False)
    assert (sink.lag_ms, sink.records, sink.failures, sink.dropped) == (700, 3, 20, 60)
