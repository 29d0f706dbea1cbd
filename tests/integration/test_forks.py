"""What the tests start as a fork does what a new interpreter does."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.forks import Forks
from tests.integration.harness import LIMIT_S, World


def test_a_fork_has_the_folder_the_variables_the_output_and_the_status_of_the_program(
    forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong value of a variable is an error that names it, and a folder makes a path right."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EPOCHGATE_SYNC__TTL", "soon")
    Path("sidecar.yaml").write_text("kind: SidecarConfig\n")
    arguments = ["run", "sidecar", "--config", "sidecar.yaml"]
    with Path("said").open("wb") as output:
        status = forks.start(arguments, output).wait(LIMIT_S)
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert status == done.returncode == 78
    assert Path("said").read_bytes() == done.stdout
    assert b"EPOCHGATE_SYNC__TTL" in done.stdout


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def opened(pid: int) -> set[str]:
    """Its descriptors, but for the one that this look takes."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(path.readlink()))
    return found


async def test_a_fork_shares_its_output_with_whoever_waits_for_it_and_nothing_else(
    world: World,
) -> None:
    await world.sidecar.start()
    parent = parent_of(world.sidecar.pid)
    shared = opened(world.sidecar.pid) & opened(parent)
    assert str(world.sidecar.folder / "log") in shared
    assert not [one for one in shared if one.startswith(("socket:", "pipe:"))]
