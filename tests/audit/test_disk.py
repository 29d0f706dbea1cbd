"""Room for the journal: what is taken, what is left, and who is told when."""

import os
from pathlib import Path

import pytest

from sidecar.audit import disk, segments
from sidecar.audit.disk import Level, Use
from tests.audit import journals

SEGMENT = 1024 * 1024
PLENTY = 100 * SEGMENT


@pytest.mark.parametrize(
    ("taken", "free", "budget", "cramped", "level"),
    [
        (0, PLENTY, 0, False, Level.ENOUGH),
        (PLENTY, PLENTY, 0, False, Level.ENOUGH),
        (0, 2 * SEGMENT, 0, False, Level.ENOUGH),
        (0, 2 * SEGMENT - 1, 0, False, Level.LOW),
        (0, PLENTY, 0, True, Level.LOW),
        (799, PLENTY, 1000, False, Level.ENOUGH),
        (800, PLENTY, 1000, False, Level.LOW),
        (999, PLENTY, 1000, True, Level.LOW),
        (1000, PLENTY, 1000, False, Level.FULL),
        (1000, 0, 1000, True, Level.FULL),
    ],
)
def test_levels(*, taken: int, free: int, budget: int, cramped: bool, level: Level) -> None:
    assert disk.judge(Use(taken, free), budget, SEGMENT, cramped=cramped) is level


def test_what_a_segment_takes_in_advance_counts(tmp_path: Path) -> None:
    before = disk.measure(tmp_path)
    descriptor = segments.create(tmp_path, 0)
    assert segments.reserve(descriptor, SEGMENT)
    use = disk.measure(tmp_path)
    os.close(descriptor)
    assert use.taken_bytes - before.taken_bytes >= SEGMENT
    assert 0 < use.free_bytes <= os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize


def test_what_is_no_file_of_the_journal_itself_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "x").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to(tmp_path / "below" / "x")
    assert disk.measure(tmp_path).taken_bytes == 0


class Pruner:
    """Counts its turns."""

    def __init__(self) -> None:
        self.turns = 0

    async def turn(self) -> None:
        self.turns += 1


async def test_a_change_of_level_is_told_once_and_each_measurement_seen(folder: Path) -> None:
    journals.make_journal(folder, 3, 3)
    pruner, told, seen = Pruner(), list[Level](), list[tuple[int, Level]]()
    cramped = True
    watch = disk.Watch(
        folder, 0, 1, cramped=lambda: cramped, pruner=pruner,
        see=lambda use, level: seen.append((use.taken_bytes, level)),
        tell=lambda level, use: told.append(level),
    )  # fmt: skip
    await watch.look()
    await watch.look()
    cramped = False
    await watch.look()
    assert told == [Level.LOW, Level.ENOUGH]
    assert [level for _, level in seen] == [Level.LOW, Level.LOW, Level.ENOUGH]
    assert all(taken > 0 for taken, _ in seen)
    assert pruner.turns == 3


async def test_a_folder_that_cannot_be_read_is_no_reason_to_stop(tmp_path: Path) -> None:
    seen: list[Level] = []
    watch = disk.Watch(
        tmp_path / "gone", 1, 1, cramped=lambda: False,
        see=lambda use, level: seen.append(level), tell=lambda level, use: None,
    )  # fmt: skip
    await watch.look()
    assert seen == []
    assert watch.level is Level.ENOUGH
