"""How much room a journal takes, how much there is left, and what follows from it.

Rules:

* LOW is said early: from `LOW_PERCENT` of the budget on, when the file system has less left than
  two segments, or when there was no room for the next one. The gate does not care.
* FULL is the whole budget: nothing is permitted until there is room again (EG703). Denials are
  still written down. It ends when old segments are pruned, or with another budget.
* What is counted are the blocks of the files, so a segment counts in full from its beginning on.

Source: hardening E-J1, E-J10, J02.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

PERIOD_S = 5.0
LOW_PERCENT = 80
SEGMENTS_LEFT = 2
SECTOR_BYTES = 512  # of st_blocks, whatever the file system


@dataclass(frozen=True, slots=True)
class Use:
    """Room, in bytes.

    Attributes:
        taken_bytes: By the journal, what was taken in advance included.
        free_bytes: Left to us on its file system.
    """

    taken_bytes: int
    free_bytes: int


class Level(Enum):
    """How things stand."""

    ENOUGH = "enough"
    LOW = "low"
    FULL = "full"


class Pruner(Protocol):
    """What makes room."""

    async def turn(self) -> None:
        """Take the next step, if there is one."""


def measure(folder: Path) -> Use:
    """Look at the files of a journal, and at their file system.

    Raises:
        OSError: it cannot be asked.
    """
    taken = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                taken += entry.stat(follow_symlinks=False).st_blocks * SECTOR_BYTES
    system = os.statvfs(folder)
    return Use(taken, system.f_bavail * system.f_frsize)


def judge(use: Use, budget_bytes: int, segment_bytes: int, *, cramped: bool) -> Level:
    """What follows.

    Args:
        use: As measured.
        budget_bytes: 0: none.
        segment_bytes: Of a whole segment.
        cramped: Whether there was no room for one.
    """
    if budget_bytes and use.taken_bytes >= budget_bytes:
        return Level.FULL
    if budget_bytes and use.taken_bytes * 100 >= budget_bytes * LOW_PERCENT:
        return Level.LOW
    if cramped or use.free_bytes < SEGMENTS_LEFT * segment_bytes:
        return Level.LOW
    return Level.ENOUGH


class Watch:
    """Looks again and again, and says when the level changes.

    Args:
        folder: Of the journal.
        budget_bytes: 0: none.
        segment_bytes: Of a whole segment.
        cramped: Whether there was no room for one, the last time.
        see: Told each measurement, and how things stand.
        tell: Told each change of level.
        pruner: Gets its turn before each look; None: nothing is ever pruned.

    Attributes:
        level: The last one.
    """

    def __init__(
        self,
        folder: Path,
        budget_bytes: int,
        segment_bytes: int,
        *,
        cramped: Callable[[], bool],
        see: Callable[[Use, Level], None],
        tell: Callable[[Level, Use], None],
        pruner: Pruner | None = None,
    ) -> None:
        self._folder = folder
        self._budget_bytes = budget_bytes
        self._segment_bytes = segment_bytes
        self._cramped = cramped
        self._see = see
        self._tell = tell
        self._pruner = pruner
        self.level = Level.ENOUGH

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(PERIOD_S)

    async def look(self) -> None:
        """Prune what is due, and measure."""
        if self._pruner is not None:
            await self._pruner.turn()
        try:
            use = await asyncio.to_thread(measure, self._folder)
        except OSError:
            return  # whether it can be written is the journal's business
        level = judge(use, self._budget_bytes, self._segment_bytes, cramped=self._cramped())
        self._see(use, level)
        if level is not self.level:
            self.level = level
            self._tell(level, use)
