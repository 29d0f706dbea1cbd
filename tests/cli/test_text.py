"""Tables for people, columns for pipes, JSON for programs."""

import json
import os
import pty
import subprocess
import sys

import click
import pytest

from sidecar.cli.text import CliError, print_json, print_line, table

DRAW = "from sidecar.cli.text import table; table(['id', 'note'], [('r1', '[red]x[/red]')])"


def on_a_terminal(**environment: str) -> str:
    main, part = pty.openpty()
    env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environment}
    with subprocess.Popen([sys.executable, "-c", DRAW], stdout=part, env=env) as process:
        process.wait()
    os.close(part)
    out = os.read(main, 65536).decode()
    os.close(main)
    return out


def test_a_pipe_gets_aligned_columns_without_frames(capsys: pytest.CaptureFixture[str]) -> None:
    table(["id", "state"], [("r1", "up"), ("long-name", None)])
    assert capsys.readouterr().out == "ID         STATE\nr1         up\nlong-name  -\n"


def test_no_rows_are_still_a_header(capsys: pytest.CaptureFixture[str]) -> None:
    table(["id"], [])
    assert capsys.readouterr().out == "ID\n"


def test_control_characters_of_a_peer_are_shown_and_not_sent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table(["said"], [("\x1b[2Jgone\n",)])
    assert capsys.readouterr().out == "SAID\n\\x1b[2Jgone\\n\n"


def test_a_terminal_gets_bold_headers_and_no_markup_from_cells() -> None:
    out = on_a_terminal()
    assert "\x1b[1m" in out
    assert "[red]x[/red]" in out


def test_no_color_is_kept_on_a_terminal() -> None:
    assert "\x1b[3" not in on_a_terminal(NO_COLOR="1")


def test_a_line_of_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_line({"b": [1, 2], "a": "ä\n"})
    assert capsys.readouterr().out == '{"b": [1, 2], "a": "ä\\n"}\n'


def test_json_keeps_the_order_of_keys(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"b": 1, "a": "ä"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"b": 1, "a": "ä"}
    assert out.index('"b"') < out.index('"a"')
    assert "ä" in out


def test_an_error_is_one_line_with_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    error = CliError("file: x: missing; make it", 65)
    error.show()
    assert isinstance(error, click.ClickException)
    assert error.exit_code == 65
    assert capsys.readouterr().err == "error: file: x: missing; make it\n"
