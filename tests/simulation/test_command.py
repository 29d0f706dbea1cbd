"""`make simulate`: what it tells, and how a failure is made small."""

from typing import Any

import pytest

from sidecar.core import envelope
from tests.simulation import __main__ as command
from tests.simulation import scenario, shrink
from tests.simulation.explore import explore
from tests.simulation.planted import PLANTED, Planted
from tests.simulation.run import run
from tests.simulation.scenario import CALM


def planted(name: str) -> Planted:
    return next(item for item in PLANTED if item.plant.__name__ == name)


def test_a_failing_seed_is_told_with_its_options_and_how_to_replay_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted("published_before_stored").plant(monkeypatch)
    assert command.main(["--first", "1000"]) == 1
    told = capsys.readouterr().out
    assert "violated: S9" in told
    assert "make simulate SEED=1000" in told
    assert "ttl_ms" in told
    assert 'smallest: make simulate SEED=1000 OPTIONS="calm' in told


def test_a_shrunken_failure_keeps_the_fault_that_it_needs_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted("halt_needs_a_quorum").plant(monkeypatch)
    noisy = {**CALM, "halt_every_ms": 500, "loss_rate": 0.05, "wipe_every_ms": 3000,
             "advance_every_ms": 1000}  # fmt: skip

    def fails(seed: int, options: dict[str, Any]) -> bool:
        return run(seed, **options).invariant == "S4"

    seed = next(seed for seed in range(50) if fails(seed, noisy))
    found = shrink.shrink(run(seed, **noisy).scenario, fails, runs_max=40)
    assert [word.partition("=")[0] for word in found.words.split()] == ["calm", "halt_every_ms"]
    assert run(found.seed, **scenario.parse(found.words.split())).invariant == "S4"


@pytest.mark.parametrize("runs_max", [0, 7])
def test_shrinking_ends_when_its_runs_are_used_up(runs_max: int) -> None:
    calls: list[int] = []

    def fails(seed: int, options: dict[str, Any]) -> bool:
        calls.append(seed)
        return False

    shrink.shrink(run(1).scenario, fails, runs_max)
    assert len(calls) == runs_max


def test_what_is_lowered_is_lowered_as_far_as_it_fails() -> None:
    start = run(1, **{**CALM, "sidecars": 3, "loss_rate": 0.2, "cut_every_ms": 100}).scenario

    def fails(seed: int, options: dict[str, Any]) -> bool:
        return bool(options["loss_rate"] > 0.05 and options["sidecars"] > 1)

    found = shrink.shrink(start, fails)
    assert found.words == "calm sidecars=2 loss_rate=0.1"


def test_a_replay_tells_the_options_before_anything_happens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["1001"]) == 0
    told = capsys.readouterr().out
    assert told.index("ttl_ms") < told.index("epoch 1") < told.index("every invariant holds")


def test_a_replay_takes_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["1", "calm", "peers=5", "quorum=3"]) == 0
    told = capsys.readouterr().out.split()
    assert told[told.index("peers") + 1] == "5"
    assert told[told.index("liars") + 1] == "0"


@pytest.mark.parametrize(
    "words", [["soon"], ["extreme_clocks=yes"], ["peers=three"], ["--jobs", "x"], ["nonsense=1"]]
)
def test_what_is_neither_seed_nor_option_is_wrong_usage(words: list[str]) -> None:
    assert command.main(words) == command.USAGE


def test_processes_find_what_one_process_finds() -> None:
    """Which seed comes first may differ, what each does may not."""
    told: list[str] = []
    assert explore(1, 4, 2, CALM, told.append) is None
    alone: list[str] = []
    assert explore(1, 4, 1, CALM, alone.append) is None
    assert told[0] == alone[0]
    assert told[-1] == alone[-1]
    assert told[1].partition(" in ")[0] == alone[1].partition(" in ")[0]


def test_the_calm_options_are_all_options() -> None:
    drawn = run(1).scenario.options()
    assert drawn.keys() == CALM.keys()
    assert {name: type(value) for name, value in drawn.items()} == {
        name: type(value) for name, value in CALM.items()
    }


def test_what_is_remembered_within_a_run_is_forgotten_after_it() -> None:
    before = envelope.verify
    run(1, **CALM)
    assert envelope.verify is before
