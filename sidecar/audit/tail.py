"""The end of a journal for people who watch it: unverified lines, also while it grows."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sidecar.audit import segments


@dataclass(slots=True)
class Position:
    """Where reading stands: number of a segment, and byte offset in it."""

    number: int
    offset: int


def last(folder: Path, count: int) -> tuple[list[bytes], Position]:
    """The last whole lines, oldest first, and where the one after them will stand.

    Reads whole segments, newest first, until there are enough.

    Args:
        folder: Of the journal.
        count: At most so many lines.

    Raises:
        ProtocolError: a segment is missing.
        OSError: it cannot be read.
    """
    lines: list[bytes] = []
    numbers = [segments.number_of(path) for path in segments.find(folder)] or [0]
    end = position = Position(numbers[-1], 0)
    for number in reversed(numbers):
        if len(lines) >= count and number < end.number:
            break
        position = Position(number, 0)
        lines = [*deque(_rest(folder, position), maxlen=count), *lines]
        end = position if number == end.number else end
    return lines[max(len(lines) - count, 0) :], end


def fresh(folder: Path, position: Position) -> Iterator[bytes]:
    """Whole lines from a position on, without newline, across segments; moves it along."""
    while True:
        # Asked before reading: once the next segment has content, this one is complete.
        complete = _size(folder, position.number + 1) > 0
        yield from _rest(folder, position)
        if not complete:
            return
        position.number, position.offset = position.number + 1, 0


def _rest(folder: Path, position: Position) -> Iterator[bytes]:
    if not _size(folder, position.number):
        return
    for line in segments.read(folder / segments.name(position.number), position.offset):
        if not line.endswith(b"\n"):
            return
        position.offset += len(line)
        yield line[:-1]


def _size(folder: Path, number: int) -> int:
    try:
        return (folder / segments.name(number)).stat().st_size
    except FileNotFoundError:
        return 0
