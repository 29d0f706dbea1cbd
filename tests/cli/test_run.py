"""`epochgate run` and `python -m sidecar run` are one thing."""

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.roles import ROLES


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False, timeout=20
    )


def test_both_roles_are_offered_with_an_example() -> None:
    said = run("sidecar", "run", "--help")
    assert said.returncode == 0
    for word in (*ROLES, "--config", "example"):
        assert word in said.stdout


def test_the_command_line_lists_the_roles_too() -> None:
    code = "from sidecar.cli import main; main(['run', '--help'])"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=20
    )
    assert said.returncode == 0
    assert "authority|sidecar" in said.stdout
    assert "Example" in said.stdout


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_file_that_is_not_there_is_one_error(role: str, tmp_path: Path) -> None:
    said = run("sidecar", "run", role, "--config", str(tmp_path / "none.yaml"))
    assert said.returncode == 78
    assert said.stderr.startswith("error: ")
    assert len(said.stderr.strip().splitlines()) == 1
