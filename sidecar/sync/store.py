"""The marks file: what must survive a restart, replaced as a whole.

Rules:

* Replaced as a whole and durably (`durable`): after `save` the new bytes are there, whatever
  fails next; before, the old ones are.
* Absent and unreadable are different things. Only a file that is not there is a first boot.
* An error is raised, never retried here: the follower decides what it means.

Source: protocol b.12.
"""

from pathlib import Path

from sidecar import durable

FILE = "marks.json"


class MarksStore:
    """One marks file in a folder that belongs to this process.

    Args:
        folder: Must exist and survive restarts.
    """

    def __init__(self, folder: Path) -> None:
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
        durable.replace(self._path, body)
