"""The benchmarks run, and what they write down can be read again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import figures, request
from benchmarks.figures import Target

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_without_a_name_the_benchmarks_are_listed() -> None:
    done = run()
    assert done.returncode == 0
    listed = {line.split()[0] for line in done.stdout.splitlines() if line}
    assert {"decide", "proxy", "report"} <= listed


def test_decide_writes_its_result_to_the_folder_that_was_named(tmp_path: Path) -> None:
    done = run("decide", "--rounds", "2", "--loops", "20", "--out", str(tmp_path), "-o", "json")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("decide-*.json")
    kept = json.loads(path.read_text())
    assert kept == json.loads(done.stdout)
    assert len(kept["rounds"]) == 2
    assert [target["number"] for target in kept["targets"]] == [6, 7, 8]
    assert all(value > 0 for found in kept["rounds"] for value in found.values())
    assert "round 2 of 2" in done.stderr


def test_a_summary_is_the_median_with_its_range() -> None:
    found = figures.summary([{"a": 3.0}, {"a": 1.0}, {"a": 7.0, "b": 2.0}])
    assert found["a"] == {"median": 3.0, "min": 1.0, "max": 7.0}
    assert found["b"]["median"] == 2.0


def test_ratios_are_taken_within_a_round() -> None:
    rounds = [{"ours": 4.0, "theirs": 2.0}, {"ours": 9.0, "theirs": 3.0}, {"ours": 1.0}]
    assert figures.ratios(rounds, "ours", {"r": "theirs"}) == [{"r": 2.0}, {"r": 3.0}, {}]


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(1.0, "met, stretch too"), (2.0, "met"), (3.0, "**missed by 50%**")],
)
def test_a_target_says_whether_it_was_met(measured: float, verdict: str) -> None:
    assert Target(1, "x", "ms", limit=2.0, stretch=1.0, measured=measured).verdict == verdict


def test_the_request_is_what_it_is_said_to_be() -> None:
    assert len(request.HEADERS) == 13
    assert len(request.body()) == request.BODY_BYTES == int(request.HEADERS["Content-Length"])
