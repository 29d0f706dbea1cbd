"""`epochgate config` on real files, through the whole command line."""

import json
from pathlib import Path

import pytest

from sidecar import clock
from sidecar.cli import main
from sidecar.config.schema import schema
from tests import builders
from tests.config.builders import AUTHORITY, SIDECAR, write


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.fixture
def trust_file(tmp_path: Path) -> Path:
    """Valid at the real time, because the command reads the real clock."""
    path = tmp_path / "trust.json"
    path.write_bytes(builders.trust_bytes(expires=clock.now().wall + builders.DAY_MS))
    return path


@pytest.mark.parametrize("text", [SIDECAR, AUTHORITY])
def test_a_good_file_is_ok(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "check", write(tmp_path, text)) == 0
    assert capsys.readouterr().out.startswith("ok: ")


def test_a_bad_file_is_78_with_every_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SIDECAR.replace("ttl: 4s", "ttl: 4").replace("quorum: 2", "quorum: 1")
    assert run("config", "check", write(tmp_path, text)) == 78
    err = capsys.readouterr().err
    assert err.count("error: ") == 2
    assert "spec.sync.ttl" in err
    assert "spec.sync.quorum" in err


def test_the_guarantee_is_told_with_a_trust_document(
    tmp_path: Path, trust_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("config", "check", write(tmp_path, SIDECAR), "--trust", trust_file) == 0
    assert "superseded_epoch_honoured_ms_max = 4000" in capsys.readouterr().out


def test_a_file_that_loosens_the_trust_document_is_78(
    tmp_path: Path, trust_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, SIDECAR.replace("ttl: 4s", "ttl: 5s"))
    assert run("config", "check", path, "--trust", trust_file) == 78
    assert "may only tighten" in capsys.readouterr().err


def test_a_trust_file_that_is_none_is_65(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, SIDECAR)
    assert run("config", "check", path, "--trust", path) == 65
    assert "EG608" in capsys.readouterr().err


def test_values_are_shown_with_their_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHGATE_SYNC__POLL", "1s")
    (tmp_path / "password").write_text("hunter2")
    path = write(tmp_path, SIDECAR.replace('6380"}', '6380", passwordFile: password}'))
    assert run("config", "show", path) == 0
    out = capsys.readouterr().out
    assert ["spec.sync.poll", "1s", "EPOCHGATE_SYNC__POLL"] in [x.split() for x in out.splitlines()]
    assert "hunter2" not in out
    assert run("config", "show", path, "-o", "json") == 0
    values = json.loads(capsys.readouterr().out)
    assert {"path": "spec.sync.timeout", "value": "300ms", "origin": "default"} in values
    assert "hunter2" not in str(values)


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "schema", "SidecarConfig") == 0
    assert json.loads(capsys.readouterr().out) == schema("SidecarConfig")
    assert run("config", "schema", "Other") == 64


def test_a_file_that_is_not_there_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "check", "/nowhere/config.yaml") == 64
    assert "/nowhere/config.yaml" in capsys.readouterr().err
