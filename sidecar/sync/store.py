"""The marks file: what must survive a restart, replaced as a whole.

Rules:

* Write to a temporary file, fsync it, rename it over the old one, fsync the folder. After `save`
  returns, the new bytes are there whatever fails next; before, the old ones are.
* Absent and unreadable are different things. Only a file that is not there is a first boot.
* An error is raised, never retried here: the follower decides what it means.

Source: protocol b.12; fsync(2), rename(2).
"""

import os
from pathlib import Path

FILE = "marks.json"


class MarksStore:
    """One marks file in a folder that belongs to this process.

    Args:
        folder: Must exist and survive restarts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE

    @property
    def path(self) -> Path:
        """Where the marks are, for messages to people."""
        return self._path

    def load(self) -> bytes | None:
        """The stored bytes, or None on a first boot.

        Raises:
            OSError: if the file is there and cannot be read.
        """
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def save(self, body: bytes) -> None:
        """Make the bytes durable. Blocks; call it off the event loop.

        Raises:
            OSError: the bytes may or may not be there; the old ones are never damaged.
        """
        temporary = self._path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            view = memoryview(body)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self._path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
