"""`epochgate measure`: the digests, and how to demand them."""

import hashlib
import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import epochgate
from sidecar.cli.text import FAILURE
from sidecar.config import fingerprint
from sidecar.config.read import read_sidecar
from tests.config.builders import SIDECAR, write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "weights").write_bytes(b"weights")
    return write(tmp_path, SIDECAR + "  integrity: {files: [{name: weights, path: weights}]}\n")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(epochgate, ["measure", *map(str, arguments)])


def test_prints_what_the_sidecar_would_find(file: Path) -> None:
    result = run("--config", file, "-o", "json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    weights = hashlib.sha256(b"weights").hexdigest()
    config = fingerprint.digest(read_sidecar(file, {}).origins)
    assert (said["config_sha256"], said["models"]) == (config, {"weights": weights})
    assert said["options"] == [
        f"--code-sha256 {said['code_sha256']}", f"--config-sha256 {config}",
        f"--model weights={weights}",
    ]  # fmt: skip


def test_variables_count_as_they_do_for_the_sidecar(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.loads(run("--config", file, "-o", "json").stdout)
    monkeypatch.setenv("EPOCHGATE_INTEGRITY__IMAGE_DIGEST", "sha256:1")
    monkeypatch.setenv("EPOCHGATE_SYNC__POLL", "100ms")
    said = json.loads(run("--config", file, "-o", "json").stdout)
    assert said["image_digest"] == "sha256:1"
    assert said["config_sha256"] != before["config_sha256"]


def test_a_table_names_the_options_and_another_file_can_be_named(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").write_bytes(b"other")
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("weights", "other")}
    result = run("--config", file, "--model", f"other={tmp_path / 'other'}")
    assert result.exit_code == 0, result.output
    for name, sha256 in digests.items():
        assert f"--model {name}={sha256}" in result.stdout


def test_what_cannot_be_read_is_named_and_exits_1(file: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").unlink()
    os.mkfifo(tmp_path / "weights")
    result = run("--config", file)
    assert result.exit_code == FAILURE
    assert "weights: is no plain file" in result.output
    assert "--model" not in result.output


@pytest.mark.parametrize("given", ["weights", "=x", "A b=x", "weights="])
def test_a_model_needs_a_name_and_a_path(file: Path, given: str) -> None:
    result = run("--config", file, "--model", given)
    assert result.exit_code != 0
    assert "NAME=PATH" in result.output


def test_a_large_file_has_a_bar_on_a_terminal(file: Path, tmp_path: Path) -> None:
    with (tmp_path / "weights").open("wb") as weights:
        weights.truncate(2**30)  # a hole
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "sidecar", "measure", "--config", file],
        stdout=subprocess.DEVNULL, stderr=theirs, stdin=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert child.wait(timeout=60) == 0
    assert b"weights" in shown
    assert b"GiB" in shown
