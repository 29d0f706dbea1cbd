"""`epochgate intercept` without its kernel: what it prints, how it fails. With: integration."""

from pathlib import Path

import pytest

from sidecar.cli import main
from tests.config.builders import SIDECAR, write

TEXT = SIDECAR.replace('"127.0.0.1:17001"', '"[::]:17001", transparent: true')
PORTS = "  intercept: {ports: [8000], loopback: standard}\n"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["intercept", *(str(argument) for argument in arguments)])
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path, TEXT + PORTS)


def nft(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put another nft first in the PATH."""
    path = folder / "bin" / "nft"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent))


def test_print_is_input_for_nft(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("print", "--config", config) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("add table inet epochgate\ndelete table inet epochgate\n")
    assert "redirect to :17001" in printed
    assert "skuid" not in printed
    assert run("print", "--config", config, "--loopback", "strict") == 0
    assert "meta skuid != 17117" in capsys.readouterr().out


def test_a_configuration_without_ports_is_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("", "  intercept: {ports: [8000], exclude: [8000]}\n"):
        assert run("print", "--config", write(tmp_path, TEXT + text)) == 78
        assert "spec.intercept.ports: names no port" in capsys.readouterr().err


def test_redirection_to_any_free_port_is_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, (TEXT + PORTS).replace("[::]:17001", "[::]:0"))
    assert run("print", "--config", path) == 78
    assert "spec.listen.inbound: is any free port" in capsys.readouterr().err


def test_a_missing_nft_is_69(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sidecar.cli.intercept._PLACES", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    assert run("install", "--config", config) == 69
    assert capsys.readouterr().err == "error: nft: not found; install the package nftables\n"


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        ("Operation not permitted (you must be root)", 77, "CAP_NET_ADMIN"),
        ("Error: syntax error", 1, "Error: syntax error"),
        ("", 1, "no message"),
    ],
)
def test_a_refusing_nft_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    said: str,
    status: int,
    told: str,
) -> None:
    nft(tmp_path, monkeypatch, f"echo '{said}' >&2; exit 1")
    for command in ("install", "check"):
        assert run(command, "--config", write(tmp_path, TEXT + PORTS)) == status
        err = capsys.readouterr().err
        assert err.startswith("error: nft: ")
        assert told in err
        assert err.count("\n") == 1


def test_an_install_that_the_kernel_did_not_take_is_a_failure(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nft(tmp_path, monkeypatch, "exit 0")  # takes everything and has nothing
    assert run("install", "--config", config) == 1
    assert "holds other rules than it was given" in capsys.readouterr().err


def test_what_is_not_installed_is_shown_as_such(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nft(tmp_path, monkeypatch, "echo 'table inet filter'")
    assert run("show") == 0
    assert capsys.readouterr().out == "nothing is installed\n"
    assert run("remove") == 0
    assert capsys.readouterr().out == "ok: nothing was installed\n"
    assert run("check", "--config", config) == 1
    told = capsys.readouterr()
    assert "missing" in told.out
    assert "connections of other users" not in told.out  # loopback: standard
    assert "datagrams from outside" in told.out
    assert "epochgate intercept install" in told.err


def test_help_ends_with_examples_and_names_the_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("--help") == 0
    told = capsys.readouterr().out
    assert "epochgate intercept remove" in told.splitlines()[-1]
    assert "77" in told
    for command in ("install", "show", "check", "remove", "print"):
        assert run(command, "--help") == 0
        assert "Example:" in capsys.readouterr().out
