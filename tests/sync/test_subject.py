"""What is known of one file or folder, and for how long."""

import os
from pathlib import Path

import pytest

from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.sync.digest import ALONE, Tree
from sidecar.sync.subject import TICK_MS, Subject

LATER_MS = 10 * TICK_MS


def at(subject: Subject, ms: int) -> Now:
    """So long after the last change of what is measured."""
    changed_ms = max(stamp.ctime_ns for stamp in subject.seen.values()) // NS_PER_MS
    return Now(BootNs(ms * NS_PER_MS), WallMs(changed_ms + ms))


def learn(subject: Subject, name: str, sha256: str, ms: int = LATER_MS, took_ms: int = 1) -> None:
    subject.learn(name, subject.seen[name], sha256, at(subject, ms - took_ms), at(subject, ms))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / "tree" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(name.encode() * 100)
    return tmp_path / "tree"


@pytest.fixture
def known(folder: Path) -> Subject:
    """Both files were read."""
    subject = Subject("model", Tree(folder))
    subject.look()
    learn(subject, "a", "1" * 64)
    learn(subject, "b", "2" * 64)
    return subject


def test_has_a_digest_once_every_file_was_read(folder: Path) -> None:
    subject = Subject("model", Tree(folder))
    assert (subject.sha256, subject.problem) == (None, "was not looked at yet")
    subject.look()
    assert (subject.wanted, subject.known_bytes, subject.total_bytes) == ({"a", "b"}, 0, 200)
    learn(subject, "a", "1" * 64)
    assert (subject.wanted, subject.known_bytes, subject.sha256) == ({"b"}, 100, None)
    learn(subject, "b", "2" * 64)
    assert subject.sha256 is not None
    assert (subject.wanted, subject.known_bytes, subject.problem) == (set(), 200, "")


def test_a_changed_file_has_no_digest_until_it_was_read_again(known: Subject, folder: Path) -> None:
    before = known.sha256
    (folder / "b").write_bytes(b"other")
    known.look()
    assert (known.sha256, known.wanted, known.problem) == (None, {"b"}, "")
    learn(known, "b", "3" * 64)
    assert known.sha256 not in (None, before)


def test_a_date_that_was_set_back_does_not_hide_a_change(known: Subject, folder: Path) -> None:
    before = (folder / "b").stat()
    (folder / "b").write_bytes(b"c" * 100)
    os.utime(folder / "b", ns=(before.st_atime_ns, before.st_mtime_ns))
    known.look()
    assert known.wanted == {"b"}


def test_what_is_known_outlives_a_look_that_fails(known: Subject, folder: Path) -> None:
    before = known.sha256
    os.mkfifo(folder / "x")
    known.look()
    assert (known.sha256, known.wanted, known.problem) == (None, set(), "x: is no plain file")
    (folder / "x").unlink()
    known.look()
    assert (known.sha256, known.wanted, known.problem) == (before, set(), "")


def test_a_file_that_is_gone_or_new_changes_the_whole(known: Subject, folder: Path) -> None:
    before = known.sha256
    (folder / "b").rename(folder / "c")
    known.look()
    assert (known.sha256, known.wanted) == (None, {"c"})
    (folder / "c").unlink()
    known.look()
    assert known.sha256 not in (None, before)


def test_a_file_that_cannot_be_read_is_tried_again_with_the_next_look(known: Subject) -> None:
    known.fail("b", "changed while it was read")
    assert (known.sha256, known.problem) == (None, "b: changed while it was read")
    assert (known.wanted, known.known_bytes) == (set(), 100)
    known.look()
    assert (known.wanted, known.problem) == ({"b"}, "b: changed while it was read")
    learn(known, "b", "2" * 64)
    assert (known.wanted, known.problem, known.known_bytes) == (set(), "", 200)


def test_a_digest_of_what_is_no_longer_there_is_not_taken(known: Subject, folder: Path) -> None:
    stamp = known.seen["b"]
    (folder / "b").write_bytes(b"other")
    known.look()  # while it was being read
    known.learn("b", stamp, "2" * 64, at(known, LATER_MS), at(known, LATER_MS))
    assert known.sha256 is None
    known.look()
    assert known.wanted == {"b"}


def test_everything_is_read_again_after_the_period(known: Subject) -> None:
    period_ns = 1_000 * NS_PER_MS
    assert known.overdue(at(known, LATER_MS + 1_000).boot, period_ns) == []
    assert known.overdue(at(known, LATER_MS + 1_001).boot, period_ns) == ["a", "b"]


def test_what_takes_long_to_read_is_read_less_often(folder: Path) -> None:
    subject = Subject("model", Tree(folder))
    subject.look()
    learn(subject, "a", "1" * 64, took_ms=1_000)
    assert subject.overdue(at(subject, LATER_MS + 9_000).boot, 1) == []
    assert subject.overdue(at(subject, LATER_MS + 9_001).boot, 1) == ["a"]


def test_what_was_changed_just_before_it_was_read_is_read_once_more(folder: Path) -> None:
    subject = Subject("model", Tree(folder))
    subject.look()
    learn(subject, "b", "1" * 64, ms=TICK_MS)
    assert subject.overdue(at(subject, TICK_MS + 100).boot, 60_000 * NS_PER_MS) == ["b"]
    learn(subject, "b", "1" * 64, ms=2 * TICK_MS)
    assert subject.overdue(at(subject, 2 * TICK_MS + 100).boot, 60_000 * NS_PER_MS) == []


def test_a_file_by_itself_has_its_own_digest_and_its_problem_no_name(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"1")
    subject = Subject("weights", Tree(tmp_path / "weights"))
    subject.look()
    learn(subject, ALONE, "1" * 64)
    assert subject.sha256 == "1" * 64
    subject.fail(ALONE, "is damaged")
    assert subject.problem == "is damaged"
    (tmp_path / "weights").unlink()
    subject.look()
    assert [subject.sha256, subject.problem] == [None, "No such file or directory"]
