"""The command line as a whole: exit codes, one-line errors, lazy imports."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import sidecar.cli
from sidecar.cli import main, text
from sidecar.config.problem import ConfigError, Problem
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import KeyFileError, KeyFileRefusedError


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    code = left.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Puts a command in place of `status` that fails as asked."""

    def fails_with(error: BaseException) -> None:
        @click.command()
        def failing() -> None:
            raise error

        monkeypatch.setattr(sidecar.cli, "_planted", failing, raising=False)
        monkeypatch.setitem(sidecar.cli.COMMANDS, "status", ("sidecar.cli:_planted", ""))

    return fails_with


def test_no_arguments_print_help_and_where_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert status() == 0
    out = capsys.readouterr().out
    assert "Start here: epochgate demo" in out
    assert all(name in out for name in sidecar.cli.COMMANDS)


def test_version_is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--version") == 0
    assert sidecar.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("nope",), ("--nope",), ("explain", "--nope")])
def test_wrong_usage_is_64_and_one_line(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(*arguments) == 64
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert "--help" in err


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (text.CliError("peer: r1; start it", 69), 69, "peer: r1; start it"),
        (ProtocolError(Reason.SIG_INVALID, "by nobody"), 65, "EG601"),
        (KeyFileError("k: seed and key differ"), 65, "seed and key differ"),
        (KeyFileRefusedError("k: others may read"), 77, "others may read"),
        (PermissionError(13, "Permission denied", "/x"), 77, "/x: Permission denied"),
        (FileNotFoundError(2, "No such file", "/x"), 1, "/x: No such file"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("two\nlines"), 70, "RuntimeError: two lines"),
    ],
)
def test_each_kind_of_failure_has_its_exit_code_and_one_line(
    error: BaseException,
    code: int,
    says: str,
    command: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    command(error)
    assert status("status") == code
    line = capsys.readouterr().err.lstrip("\n")  # click ends the line that shows ^C
    assert line.startswith("error: ")
    assert says in line
    assert line.count("\n") == 1


def test_a_wrong_configuration_lists_every_problem(
    command: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(ConfigError([Problem("spec.a", "is wrong", "f:1:2"), Problem("spec.b", "is missing")]))
    assert status("status") == 78
    assert capsys.readouterr().err == (
        "error: f:1:2: spec.a: is wrong\nerror: spec.b: is missing\n"
    )


def test_an_internal_error_shows_its_traceback_only_when_asked(
    command: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command(RuntimeError("x"))
    monkeypatch.setenv("EPOCHGATE_TRACEBACK", "1")
    assert status("status") == 70
    assert "Traceback" in capsys.readouterr().err


def test_the_list_of_commands_imports_none_of_them() -> None:
    code = (
        "import sys, sidecar.cli\n"
        "try:\n    sidecar.cli.main([])\n"
        "except SystemExit:\n    pass\n"
        "print([m for m in sys.modules if m.startswith('sidecar.cli.') or m == 'rich'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['sidecar.cli.text']"


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m sidecar explain | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_running_process_imports_nothing_of_the_command_line() -> None:
    """What gates traffic has no use for a terminal, nor for what comes with its libraries."""
    code = (
        "import sys, sidecar.roles\n"
        "print([m for m in sys.modules if m.startswith(('sidecar.cli', 'click', 'rich'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
