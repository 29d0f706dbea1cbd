"""How far a long job is: a bar where stderr is a terminal, else one plain line every few seconds.

Source: conventions 2.
"""

import sys

import click

from sidecar import clock
from sidecar.cli.journals import CLEAR

WIDTH = 30  # characters of the bar
PAUSE_NS = 5_000_000_000  # between plain lines
REDRAW_NS = 100_000_000


class Progress:
    """Tells on stderr how much of one log has been read.

    Args:
        name: Of the log.
        total: What `done` will be at the end; 0: unknown.
    """

    def __init__(self, name: str, total: int) -> None:
        self._name = name
        self._total = total
        self._bar = sys.stderr.isatty()
        self._pause_ns = REDRAW_NS if self._bar else PAUSE_NS
        self._due = clock.now().boot + self._pause_ns

    def tell(self, records: int, done: int) -> None:
        """So far; shown when it is time to."""
        now = clock.now().boot
        if now < self._due:
            return
        self._due = now + self._pause_ns
        share = min(done / self._total, 1.0) if self._total else 0.0
        said = f"{share:4.0%}  {records:,} records  {self._name}"
        if self._bar:
            full = round(share * WIDTH)
            said = f"{CLEAR}[{'#' * full}{'.' * (WIDTH - full)}] {said}"
        click.echo(said, nl=not self._bar, err=True)

    def end(self) -> None:
        """Leave nothing of the bar on the terminal."""
        if self._bar:
            click.echo(CLEAR, nl=False, err=True)
