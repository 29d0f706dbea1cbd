"""CPU time and memory of other processes."""

import os
import subprocess
import sys

import pytest

from benchmarks import usage

# Says what it used by its own account, and lives on until it is told to go.
BURNS = """
import sys, time
room = bytearray(32 * 1024 * 1024)
while time.process_time() < 0.2: pass
print(time.process_time(), flush=True)
sys.stdin.read()
"""


def test_time_and_memory_of_a_child_count() -> None:
    command = [sys.executable, "-c", BURNS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        spent_us = float(child.stdout.readline()) * 1e6
        assert usage.cpu_us([child.pid]) == pytest.approx(spent_us, rel=0.2)
        assert usage.rss_mib(child.pid) > 32
        assert child.pid in usage.family([os.getpid()])
        both = usage.resident_mib([os.getpid()])
        child.communicate()
    assert both > 32 + usage.rss_mib(os.getpid()) / 2
