"""Runs one variant: spin makes a program of the model, which visits every state once it is built.

A search that was not complete proves nothing and is an error, never `holds`.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.model.variants import Variant

HINT = "Debian, Ubuntu: apt-get install spin gcc"
DEPTH_MAX = 1_000_000  # steps of one path; a longer one is an error
MEMORY_MAX_MIB = 2048
LIMIT_S = 300  # of each program, on a machine that does other things as well

_VIOLATED = re.compile(r"^pan:\d+: assertion violated +!\((\w+)\)", re.MULTILINE)
_STATES = re.compile(r"^ *(\d+) states, stored", re.MULTILINE)
_ERRORS = re.compile(r"errors: (\d+)$", re.MULTILINE)
_INCOMPLETE = ("max search depth too small", "Search not completed", "out of memory")


class MissingToolError(Exception):
    """spin or gcc is not here; the message says which and how to get it."""


class ModelError(Exception):
    """A model could not be run to its end; the message says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a variant.

    Attributes:
        variant: Which one.
        broke: The property that was violated, or None.
        states: How many were visited.
        seconds: Of the search alone, by the wall clock.
    """

    variant: Variant
    broke: str | None
    states: int
    seconds: float

    @property
    def seen(self) -> str:
        """In a table."""
        return "holds" if self.broke is None else f"violated: {self.broke}"

    @property
    def as_expected(self) -> bool:
        """Whether it did what the table says, for the reason that the table says."""
        return self.broke == self.variant.breaks


def need_tools() -> None:
    """Nothing, when spin is here and gcc, which spin calls by that name as well.

    Raises:
        MissingToolError: one of them is missing.
    """
    missing = [name for name in ("spin", "gcc") if shutil.which(name) is None]
    if missing:
        raise MissingToolError(f"not found: {' and '.join(missing)} ({HINT})")


def run(variant: Variant, folder: Path) -> Result:
    """Visit every state of a variant.

    Args:
        variant: Which one.
        folder: Empty; what spin makes is left in it.

    Raises:
        MissingToolError: spin or gcc is missing.
        ModelError: the search did not come to an end.
    """
    need_tools()
    shutil.copy(variant.path, folder)  # spin looks for a trail beside the model
    _call(["spin", *_flags(variant), "-a", variant.path.name], folder)
    # What is violated is found soon: there, building fast is worth more.
    speed = "-Og" if variant.breaks is None else "-O0"
    limits = [f"-DMEMLIM={MEMORY_MAX_MIB}", "-DSAFETY"]
    _call(["gcc", speed, "-w", *limits, "-o", "pan", "pan.c"], folder)
    began = time.perf_counter()
    told = _call(["./pan", "-E", "-n", "-w20", f"-m{DEPTH_MAX}"], folder)
    return read(variant, told, time.perf_counter() - began)


def read(variant: Variant, told: str, seconds: float) -> Result:
    """What the output of a search means.

    Raises:
        ModelError: the search was not complete, or stopped for something that is no property.
    """
    states, errors = _STATES.search(told), _ERRORS.search(told)
    violated = _VIOLATED.search(told)
    wrong = next((line for line in _INCOMPLETE if violated is None and line in told), None)
    if states is None or errors is None or wrong is not None:
        raise ModelError(f"{variant.id}: {wrong or 'no result'}\n{told}")
    if (violated is None) != (errors[1] == "0"):
        raise ModelError(f"{variant.id}: an error that is no property\n{told}")
    return Result(variant, None if violated is None else violated[1], int(states[1]), seconds)


def trail(variant: Variant, folder: Path) -> str:
    """The steps that led to a violation, after `run` in the same folder."""
    return _call(["spin", *_flags(variant), "-t", "-p", "-g", "-l", variant.path.name], folder)


def _flags(variant: Variant) -> list[str]:
    return [f"-D{name}" for name in variant.defines]


def _call(command: Sequence[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ModelError(f"{command[0]} takes longer than {LIMIT_S} s") from None
    if done.returncode != 0:
        raise ModelError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
