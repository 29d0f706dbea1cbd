"""Replacing a small file so that it survives a crash at any point: the one owner of that order.

    write a temporary file -> fsync it -> rename it over the old one -> fsync the folder

After `replace` returns, the new bytes are there whatever fails next; before, the old ones are. An
error is raised and never retried here: after a failed fsync nobody knows what is on the disk.

Source: fsync(2), rename(2).
"""

import os
from pathlib import Path


def replace(path: Path, body: bytes, mode: int = 0o600) -> None:
    """Put new bytes in the place of a file. Blocks; call it off the event loop.

    Args:
        path: The file; its folder must exist.
        body: All of its new content.
        mode: Permissions of the new file, whatever the umask: who has to read it, can.

    Raises:
        OSError: the new bytes may or may not be there; the old ones are never damaged.
    """
    temporary = path.with_name(path.stem + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, mode)
    try:
        os.fchmod(descriptor, mode)
        view = memoryview(body)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable: created, renamed and removed files.

    Raises:
        OSError: they may or may not be.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
