"""What is being measured right now, and how long the rest will take."""

import click

from sidecar import clock

NS_PER_S = 1_000_000_000
MINUTE_S = 60


class Progress:
    """A line on stderr for each step.

    Args:
        planned_s: What all steps together should take; corrected by what they do take.
    """

    def __init__(self, planned_s: float) -> None:
        self._planned_s = planned_s
        self._done_s = 0.0
        self._current_s = 0.0
        self._began = clock.now().boot

    def step(self, what: str, planned_s: float) -> None:
        """A step begins, and with it the one before is done."""
        self._done_s += self._current_s
        self._current_s = planned_s
        click.echo(f"{what}; {self._left()} left", err=True)

    def _left(self) -> str:
        left_s = max(0.0, self._planned_s - self._done_s)
        if self._done_s:
            left_s *= (clock.now().boot - self._began) / NS_PER_S / self._done_s
        if left_s < MINUTE_S:
            return f"about {left_s:.0f} s"
        return f"about {left_s / MINUTE_S:.0f} min"
