"""The demo is the product's promise to a newcomer: it runs, every claim holds, nothing is left."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.cli.demo.story import BrokenError, check

DEMO_S = 60


def test_every_step_of_the_demo_holds_within_a_minute(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "demo", "--dir", str(tmp_path / "demo")],
        capture_output=True, text=True, timeout=DEMO_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^\d .* ok$", done.stdout, re.MULTILINE)) == 9
    kept = (tmp_path / "demo" / "commands.sh").read_text()
    for command in ("trust init", "epoch issue", "halt", "clear", "audit verify"):
        assert f"epochgate {command}" in kept


def test_a_claim_that_does_not_hold_breaks_the_story() -> None:
    holds = True
    check(holds, "unused")
    with pytest.raises(BrokenError, match="seen instead"):
        check(not holds, "seen instead")
