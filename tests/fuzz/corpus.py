"""Inputs that fuzzing found worth keeping: one text file per decoder, one input per line.

A line is the input as Python would write it inside of quotes, so a reader sees what it is, and a
change of the corpus can be reviewed like any other.
"""

import ast
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"


def load(target: str) -> list[bytes]:
    """The kept inputs; none for a decoder that has no file yet."""
    path = FOLDER / f"{target}.txt"
    if not path.exists():
        return []
    return [unwritten(line) for line in path.read_text("ascii").splitlines()]


def store(target: str, inputs: list[bytes]) -> None:
    """Replace the kept inputs; shortest first."""
    lines = sorted({written(data) for data in inputs}, key=lambda line: (len(line), line))
    (FOLDER / f"{target}.txt").write_text("".join(f"{line}\n" for line in lines), "ascii")


def written(data: bytes) -> str:
    """An input as one line of ASCII."""
    return repr(b'"' + data)[3:-1]  # with a quote in it, repr always picks the same quotes


def unwritten(line: str) -> bytes:
    """The input of a line."""
    return bytes(ast.literal_eval(f"b'{line}'"))
