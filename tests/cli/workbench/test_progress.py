"""How far a job is: a bar on a terminal, else a line now and then."""

import pytest

from sidecar.cli.journals import CLEAR
from sidecar.cli.workbench import progress
from sidecar.cli.workbench.progress import Progress


def test_a_pipe_gets_whole_lines_when_it_is_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Progress("log", 100).tell(1000, 50)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "PAUSE_NS", 0)
    shown = Progress("log", 100)
    shown.tell(1000, 50)
    shown.end()
    assert capsys.readouterr().err == " 50%  1,000 records  log\n"


def test_a_terminal_gets_a_bar_that_leaves_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr(progress, "REDRAW_NS", 0)
    shown = Progress("log", 0)
    shown.tell(7, 50)
    shown.end()
    said = capsys.readouterr().err
    assert "[" + "." * progress.WIDTH + "]   0%  7 records  log" in said
    assert said.endswith(CLEAR)
    assert "\n" not in said
