"""Processes of the demo: started, watched, and always ended."""

import os
import signal
import sys
from pathlib import Path

import pytest

from sidecar.cli.demo import processes
from sidecar.cli.demo.processes import Process
from sidecar.cli.text import CliError

SAY = """
import time
print('{"event": "up"}', flush=True)
print("text", flush=True)
time.sleep(60)
"""


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process("thing", [sys.executable, "-c", SAY], tmp_path / "log")


def test_it_is_ready_when_it_says_so_and_ended_by_its_id(process: Process) -> None:
    process.start()
    pid = process.pid
    process.wait_for("its word", lambda: len(process.lines()) == 2)
    assert list(process.facts()) == [{"event": "up"}]
    assert process.end() == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_one_that_ends_early_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    process = Process("thing", [sys.executable, "-c", "print('no luck')"], tmp_path / "log")
    process.start()
    with pytest.raises(CliError, match=r"(?s)thing did not start.*no luck"):
        process.wait_for("anything", lambda: False)
    process.end()


def test_everything_ends_with_the_block_also_when_it_fails(process: Process) -> None:
    with pytest.raises(RuntimeError, match="inside"), processes.ending(process):
        process.start()
        pid = process.pid
        raise RuntimeError("inside")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_only_what_it_said_since_its_last_start_counts(process: Process) -> None:
    process.start()
    process.wait_for("its word", lambda: len(process.lines()) == 2)
    process.end()
    process.start()
    process.wait_for("its word", lambda: len(process.lines()) == 2)
    assert len(process.log.read_text().splitlines()) == 4
    process.end()


def test_ports_are_free_and_different() -> None:
    ports = processes.free_ports(5)
    assert len(set(ports)) == 5
    assert not any(processes.listens(port) for port in ports)
