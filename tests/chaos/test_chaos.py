"""Three short runs with real processes: quiet; the authorities gone and people at work; everything.

`make chaos` has more and longer ones. Each run checks every invariant; what is asserted here beyond
that is that the faults did happen, so that nothing holds for want of trying.
"""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from tests.chaos import run
from tests.chaos.figures import figures
from tests.chaos.run import Result
from tests.chaos.schedule import Options, Step, draw

pytestmark = [pytest.mark.redis, pytest.mark.slow]

SECONDS = 11.0  # about 4 s of faults
AUTHORITIES = ("a1", "a2")


def play(folder: Path, options: Options) -> Result:
    said: list[str] = list(options.lines())
    result = uvloop.run(run.play(folder, options, said.append))
    assert not result.wrong, "\n".join((*said, *result.wrong, f"folder: {folder}"))
    return result


def plan(*steps: Step) -> Options:
    return replace(draw(5, SECONDS), ttl_ms=1200, steps=steps)


def test_nothing_is_denied_while_nothing_is_wrong(tmp_path: Path) -> None:
    found = play(tmp_path, replace(plan(), chaos_ms=2_000))
    row = figures(found.history)
    assert row.permits > 100
    assert row.faults == row.late == 0
    assert not row.false_denials
    assert row.promised_ms > 2_000


def test_silence_and_a_halt_stop_everybody_and_a_clear_lets_go(tmp_path: Path) -> None:
    found = play(
        tmp_path,
        plan(
            Step(0, "authorities silent", AUTHORITIES, lasts_ms=1_900),
            Step(100, "link", ("s1",), ("p1", "p2"), 1_500, "stall"),
            Step(3_000, "halt", ("office",), lasts_ms=900),
        ),
    )
    row = figures(found.history)
    assert row.denials["EG102"] > 0
    assert row.denials["EG901"] > 0
    assert row.silent_ms is not None
    assert row.silent_ms < 1_200
    assert all(
        "halted" in {record["detail"]["to"] for record in journal.states()}
        for journal in found.history.journals.values()
    )


def test_whoever_interrupts_a_run_is_left_with_no_process() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--runs", "1", "--seed", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if "all sidecars permit" in line:
                break
        threads = Path(f"/proc/{child.pid}/task").glob("*/children")
        started = [pid for thread in threads for pid in thread.read_text().split()]
        child.send_signal(signal.SIGINT)
        said = child.stdout.read()
        assert child.wait() == 130, said
    assert len(started) >= 11, "five peers, a service, two authorities, three sidecars"
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_killed_emptied_cut_off_and_lied_to(tmp_path: Path) -> None:
    found = play(
        tmp_path,
        plan(
            Step(0, "peer empty", ("p1",), lasts_ms=300),
            Step(100, "link", ("s2",), ("p4", "p5"), 1_500, "swap"),
            Step(100, "link", ("s3",), ("p4", "p5"), 1_500, "repeat"),
            Step(200, "peer old", ("p2",), lasts_ms=300),
            Step(2_200, "sidecar killed", ("s1",), lasts_ms=100),
            Step(2_300, "epoch", ("office",)),
            Step(2_400, "cut off", ("s2",), ("p1", "p2", "p3", "p4", "p5"), 1_500, "cut"),
            Step(2_500, "sidecar stopped long", ("s3",), lasts_ms=1_500),
            Step(4_000, "authority killed", ("a1",), lasts_ms=300),
        ),
    )
    epochs = {r["epoch"]["seq"] for j in found.history.journals.values()
              for r in j.decisions("permit")}  # fmt: skip
    assert epochs == {1, 2}
    assert {wrong["how"] for wrong in found.history.tampered} == {"swap", "repeat"}
    assert figures(found.history).denials["EG102"] > 0
