"""Several logs of one sidecar: each with the key of its name, none in another's place."""

import shutil
from pathlib import Path

import pytest

from sidecar.audit import collection, reader
from sidecar.audit.journal import Journal
from sidecar.core.log.note import NoteKey
from tests import builders
from tests.audit.journals import BOOT, SEGMENT_BYTES, SIGNER

NAMES = ("follower", "worker-0", "worker-1")


def key(name: str) -> NoteKey:
    return NoteKey(f"epochgate/test/chat-{name}", SIGNER.public)


KEYS = [key(name) for name in NAMES]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        journal = Journal(tmp_path / name, SEGMENT_BYTES)
        journal.recover(SIGNER, key(name).name, BOOT, "pod", builders.now())
        journal.close()
    return tmp_path


def failed(folder: Path, keys: list[NoteKey]) -> dict[str, str]:
    reports = collection.verify(collection.find(folder), keys)
    return {path.name: report.fault.why for path, report in reports.items() if report.fault}


def test_the_logs_below_are_found(folder: Path) -> None:
    (folder / "lost+found").mkdir()
    assert collection.find(folder) == [folder / name for name in NAMES]


def test_a_log_beside_the_folders_is_one_of_them(folder: Path) -> None:
    """Its sidecar had one process before it had several."""
    Journal(folder, SEGMENT_BYTES).close()
    (folder / "00000000.jsonl").touch()
    assert collection.find(folder) == [folder, *(folder / name for name in NAMES)]


def test_a_gap_in_the_segments_does_not_hide_a_log(folder: Path) -> None:
    for path in (folder / "worker-1").iterdir():
        path.unlink()
    (folder / "worker-1" / "00000005.jsonl").touch()
    assert folder / "worker-1" in collection.find(folder)


def test_a_folder_without_any_log_is_what_is_looked_at(tmp_path: Path) -> None:
    assert collection.find(tmp_path) == [tmp_path]


def test_each_is_checked_with_the_key_of_its_name(folder: Path) -> None:
    assert failed(folder, KEYS) == {}


def test_a_log_without_a_key_is_not_passed_over(folder: Path) -> None:
    assert list(failed(folder, KEYS[:2])) == ["worker-1"]


def test_a_missing_log_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "worker-0")
    [why] = failed(folder, KEYS).values()
    assert "chat-worker-0" in why


def test_one_log_in_two_places_is_found(folder: Path) -> None:
    shutil.rmtree(folder / "worker-1")
    shutil.copytree(folder / "worker-0", folder / "worker-1")
    assert "worker-1" in failed(folder, KEYS)


def test_a_copy_is_found_without_the_keys(folder: Path) -> None:
    shutil.copytree(folder / "worker-0", folder / "worker-2")
    reports = {path: reader.verify(path, KEYS[1]) for path in collection.find(folder)}
    collection.find_copies(reports)
    assert reports[folder / "worker-0"].fault is None
    fault = reports[folder / "worker-2"].fault
    assert fault is not None
    assert "worker-0 is it too" in fault.why


def test_a_log_that_only_says_that_it_is_another_is_found(folder: Path) -> None:
    path = folder / "worker-1" / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"worker-1", b"worker-9"))
    assert list(failed(folder, [*KEYS[:2], key("worker-9")])) == ["worker-1"]


def test_a_log_without_its_checkpoint_is_found(folder: Path) -> None:
    (folder / "worker-1" / "checkpoint").unlink()
    assert list(failed(folder, KEYS)) == ["worker-1"]
