"""The state file of one authority replica, replaced as a whole.

Rules:

* Replaced as a whole and durably (`durable`).
* One process at a time: two replicas on one state file would use one number twice. The lock ends
  with the process.
* Only a file that is not there is a first boot. A damaged one refuses to start: what it knew may be
  a number that must not be used again.

Source: protocol b.12; flock(2).
"""

import fcntl
import os
from pathlib import Path

from sidecar import durable
from sidecar.core import issued
from sidecar.core.issued import State
from sidecar.core.reason import ProtocolError

FILE = "authority.json"
LOCK = "authority.lock"


class StateError(Exception):
    """The state cannot be used; the message says which file, why, and what to do."""


class StateStore:
    """The state file in a folder that belongs to this replica.

    Args:
        folder: Made when missing; must survive restarts.

    Raises:
        StateError: when another process uses it, or it cannot be used at all.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"{folder}: cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise StateError(
                f"{folder}: another authority uses this state; give each replica its own folder "
                "and its own beat key"
            ) from None

    def load(self, domain: str, issuer: str) -> State | None:
        """What was stored for this key, or None on a first boot.

        Raises:
            StateError: when the file is there and is not what it must be.
        """
        try:
            return issued.decode(self.path.read_bytes(), domain, issuer)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self.path}: cannot be read: {error.strerror}") from None
        except ProtocolError as error:
            raise StateError(
                f"{self.path}: damaged, or of another key: {error.detail}; restore it, or give "
                "this replica a new beat key. Removing it is safe only while the peers still hold "
                "the latest beat of this key: the next one begins above it"
            ) from None

    def save(self, body: bytes) -> None:
        """Make the bytes durable. Blocks; call it off the event loop.

        Raises:
            OSError: the bytes may or may not be there; the old ones are never damaged.
        """
        durable.replace(self.path, body)

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._lock)
