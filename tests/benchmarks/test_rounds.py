"""Contestants in turn: what goes wrong is kept, what was measured too."""

from pathlib import Path

import pytest

from benchmarks import rounds
from benchmarks.contestants import Contestant
from benchmarks.load import LoadError, Served
from benchmarks.progress import Progress
from benchmarks.rounds import Bench, Run


class Gate(Contestant):
    """Writes so many records."""

    name = "epochgate"
    records = 0.0

    def more(self) -> dict[str, float]:
        return {"records": self.records}

    def explain(self) -> str:
        return "; the gate was open"


def measure(run: Run) -> dict[str, float]:
    run.series["memory"] = [(0.0, 1.0)]
    return run.loaded("full", lambda: Served(10, {"p50": 5.0}))


def fails(_: Run) -> dict[str, float]:
    raise LoadError("no answer")


def breaks(_: Run) -> dict[str, float]:
    raise ConnectionResetError("reset")


def turns(bench: Bench) -> rounds.Turns:
    return rounds.Turns(bench, 1, 1, Progress(1))


def bench(measure: rounds.Measure) -> Bench:
    return Bench("x", "about", "seconds", 1, 1.0, measure, {})


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.setattr(rounds, "SETTLE_S", 0)
    return Gate(tmp_path, 1)


def test_a_turn_keeps_figures_and_series(gate: Gate) -> None:
    gate.records = 20.0
    found = turns(bench(measure))
    found.all(1, [gate])
    assert found.measured == [{"epochgate: full: p50": 5.0, "epochgate: records": 20.0}]
    assert found.series == {"epochgate": {"memory": [(0.0, 1.0)]}}


def test_fewer_records_than_two_for_each_request_are_a_failure(gate: Gate) -> None:
    gate.records = 19.0
    found = turns(bench(measure))
    found.all(1, [gate])
    assert found.measured == [{}]
    assert found.failures == ["round 1: epochgate: 10 requests served, 19.0 records"]


def test_a_failed_turn_is_kept_and_the_others_go_on(gate: Gate) -> None:
    found = turns(bench(fails))
    found.all(1, [gate, gate])
    assert found.failures == ["round 1: epochgate: no answer; the gate was open"] * 2
    assert found.series == {}


def test_a_connection_that_breaks_ends_the_turn_and_not_the_run(gate: Gate) -> None:
    found = turns(bench(breaks))
    found.all(1, [gate])
    assert found.failures == ["round 1: epochgate: reset"]


def test_ratios_are_of_ours_against_each_other() -> None:
    one = Bench("x", "", "seconds", 1, 1.0, measure, {"CPU": "full: CPU"})
    measured = [{"epochgate: full: CPU": 6.0, "haproxy: full: CPU": 3.0}]
    rounds.add_ratios(one, measured)
    assert measured[0]["ratio: CPU against haproxy"] == 2.0


def test_progress_says_how_long_the_rest_takes(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(300)
    progress.step("first", 150)
    assert capsys.readouterr().err == "first; about 5 min left\n"
    progress.step("second", 150)
    assert capsys.readouterr().err.startswith("second; about 0 s")  # as long as the first took
