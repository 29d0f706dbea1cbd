"""The order of a durable replacement, and that a failure leaves what was there."""

import os
from pathlib import Path

import pytest

from sidecar import durable


def test_the_bytes_are_synced_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rename(2) is atomic, but neither file nor folder is durable by itself."""
    calls: list[str] = []
    sync, rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        calls.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112
        sync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        calls.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    durable.replace(tmp_path / "x.json", b"x")
    assert calls == ["file", "rename", "folder"]


def test_a_failure_leaves_the_old_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    durable.replace(path, b"old")
    (tmp_path / "x.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        durable.replace(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    """Else somebody who may write to the folder could have another file overwritten."""
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    (tmp_path / "x.new").symlink_to(other)
    with pytest.raises(OSError, match="symbolic"):
        durable.replace(tmp_path / "x.json", b"new")
    assert other.read_bytes() == b"precious"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_a_new_file_has_the_mode_that_was_asked_for_whatever_the_umask(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        durable.replace(tmp_path / "x.json", b"x", 0o640)
    finally:
        os.umask(before)
    assert (tmp_path / "x.json").stat().st_mode & 0o777 == 0o640
