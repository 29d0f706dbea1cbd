"""What commands print: one error form, tables for people, JSON for programs.

* Errors are one line on stderr, `error: <what>: <where>; <what to do>`, and an exit code.
* A table is drawn by rich on a terminal and is plain aligned columns anywhere else, so that `grep`
  and `awk` see no frames and no escape codes. rich itself keeps to NO_COLOR.
* Cells may hold what a peer or a file said. Control characters in them are shown, not sent.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

OK = 0
FAILURE = 1
TESTS_FAILED = 2
USAGE = 64
BAD_DATA = 65
UNAVAILABLE = 69
INTERNAL = 70
PERMISSION = 77
CONFIGURATION = 78
VERIFICATION_FAILED = 80
UNVERIFIABLE = 81
DIFFERENT = 83


class CliError(click.ClickException):
    """A command cannot do what it was asked.

    Args:
        message: `<what>: <where>; <what to do>`, one line.
        exit_code: One of the numbers above.
    """

    def __init__(self, message: str, exit_code: int = FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click's own way to set it

    def show(self, file: IO[str] | None = None) -> None:
        """Print the one line."""
        click.echo(f"error: {self.format_message()}", file=file or sys.stderr)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their headers on stdout.

    Args:
        headers: One short name per column.
        rows: Cells of any type; None is printed as `-`.
    """
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415, as in `drawn`

        Console(highlight=False).print(drawn(headers, rows))
        return
    cells = [[_cell(value) for value in row] for row in rows]
    lines = [[header.upper() for header in headers], *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def drawn(headers: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> "Table":
    """A table for a terminal, as `table` draws it.

    Args:
        headers: One short name per column.
        rows: Cells of any type; None is shown as `-`.
        caption: A line below it.
    """
    # Imported here: a pipe needs no rich, and importing it costs more than most commands.
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    made = Table(box=None, pad_edge=False, header_style="bold", caption=caption or None,
                 caption_justify="left")  # fmt: skip
    for header in headers:
        made.add_column(header.upper(), overflow="fold")
    for row in rows:
        made.add_row(*(Text(_cell(value)) for value in row))  # Text: [brackets] are no markup
    return made


def print_json(value: object) -> None:
    """Print a value as indented JSON on stdout, keys in the order given."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_line(value: object) -> None:
    """Print a value as JSON on one line of stdout, at once."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))
    sys.stdout.flush()


def _cell(value: object) -> str:
    if value is None:
        return "-"
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode()
