"""The walk-through of policies/README.md, run as it stands there: a change, rolled out and back.

In the section a line that begins with `$` is a command, one with `>` goes on with it, all others
are what it prints. `...` stands for anything in a line, alone for any lines; columns may be wider
than they are printed there. A command that prints an error has to fail, and no other.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent.parent / "policies" / "README.md"
HEADING = "## Walk-through"
INDENT = "    "
END = "end of output"


@dataclass(slots=True)
class Step:
    """One command of the section, and the lines that it prints."""

    command: str
    printed: list[str] = field(default_factory=list)

    def check(self, output: str, status: int) -> None:
        fails = any(line.startswith("error:") for line in self.printed)
        assert bool(status) is fails, f"{self.command}: exit {status}\n{output}"
        if wanted := _plain(self.printed):
            pattern = "".join(map(_pattern, wanted))
            found = "".join(f"{line}\n" for line in _plain(output.splitlines()))
            assert re.fullmatch(pattern, found), f"{self.command}:\n{output}"


def _plain(lines: Iterable[str]) -> list[str]:
    """Without what only makes columns, and without empty ones."""
    return [" ".join(line.split()) for line in lines if line.strip()]


def _pattern(line: str) -> str:
    if line == "...":
        return r"(?:.*\n)*"
    return ".*".join(re.escape(part) for part in line.split("...")) + r"\n"


def steps() -> list[Step]:
    section = README.read_text().split(HEADING, 1)[1].split("\n## ", 1)[0]
    found: list[Step] = []
    for line in section.splitlines():
        if not line.startswith(INDENT):
            continue
        said = line.removeprefix(INDENT)
        if said.startswith("$ "):
            found.append(Step(said[2:]))
        elif said.startswith("> "):
            found[-1].command += "\n" + said[2:]
        else:
            found[-1].printed.append(said)
    return found


@contextmanager
def running(command: str, until: str, folder: Path, env: dict[str, str]) -> Iterator[str]:
    """A command that goes on; what it printed until that line. Ended as Ctrl-C ends it."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"], cwd=folder, env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        seen = ""
        try:
            for line in child.stdout:
                seen += line
                if line.rstrip("\n") == until:
                    break
            assert child.poll() is None, seen
            yield seen
        finally:
            child.send_signal(signal.SIGINT)
            status = child.wait(timeout=30)
    assert status == 0


class Shell:
    """One bash that runs a command at a time and keeps what the one before has set."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, command: str) -> tuple[str, int]:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f'{command}\necho "{END} $?"\n')
        self._bash.stdin.flush()
        lines = []
        for line in self._bash.stdout:
            said, end, status = line.partition(END)
            lines.append(said)
            if end:
                return "".join(lines), int(status)
        raise AssertionError(f"{command}: the shell ended\n{''.join(lines)}")

    def close(self) -> None:
        self._bash.communicate(timeout=30)


@pytest.mark.redis
def test_every_command_of_the_walk_through_does_what_the_page_says(tmp_path: Path) -> None:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    demo, *rest = steps()
    assert len(rest) >= 15
    with running(demo.command, demo.printed[-1], tmp_path, env) as seen:
        demo.check(seen, 0)
        shell = Shell(tmp_path, env)
        try:
            for step in rest:
                step.check(*shell.run(step.command))
        finally:
            shell.close()


def test_what_is_printed_is_compared() -> None:
    """A page that says something else than what is printed has to be noticed."""
    step = Step("x", ["A  B", "...", "demo-... yes"])
    step.check("A   B\n\nanything\ndemo-1   yes\n", 0)
    for output, status in (("A B\ndemo-1 no", 0), ("demo-1 yes", 0), ("A B\nx\ndemo-1 yes", 1)):
        with pytest.raises(AssertionError, match="x:"):
            step.check(output, status)
    with pytest.raises(AssertionError, match="exit 0"):
        Step("x", ["error: no"]).check("error: no", 0)
