"""The benchmarks run, and what they write down can be read again."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import request

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
    assert {
        "all",
        "decide",
        "simulate",
        "proxy",
        "fresh",
        "events",
        "bulk",
        "idle",
        "report",
    } <= listed


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


def test_simulate_writes_how_fast_it_was(tmp_path: Path) -> None:
    done = run(
        "simulate", "--rounds", "2", "--scenarios", "1", "--out", str(tmp_path), "-o", "json"
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("simulate-*.json")
    kept = json.loads(path.read_text())
    assert kept == json.loads(done.stdout)
    assert [target["number"] for target in kept["targets"]] == [17]


def test_fleetbeat_covers_every_instance_that_reports(tmp_path: Path) -> None:
    done = run(
        "fleetbeat", "--rounds", "2", "--instances", "30", "--out", str(tmp_path), "-o", "json"
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("fleetbeat-*.json")
    kept = json.loads(path.read_text())
    assert [target["number"] for target in kept["targets"]] == [13, 13]
    assert all(value > 0 for found in kept["rounds"] for value in found.values())


def test_audit_checks_and_proves_what_it_wrote(tmp_path: Path) -> None:
    done = run("audit", "--rounds", "2", "--records", "60", "--out", str(tmp_path), "-o", "json")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("audit-*.json")
    kept = json.loads(path.read_text())
    assert [target["number"] for target in kept["targets"]] == [14, 14]
    assert all(value > 0 for found in kept["rounds"] for value in found.values())


def test_the_request_is_what_it_is_said_to_be() -> None:
    assert len(request.HEADERS) == 13
    assert len(request.body()) == request.BODY_BYTES == int(request.HEADERS["Content-Length"])
