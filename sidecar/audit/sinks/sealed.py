"""How many records of one log stand under its newest signed checkpoint.

Asked of the file, not of whoever writes the log: a worker's log is written by another process.

While a look is under way or fails, nobody knows whether records wait. `blind_ms` says for how long
already; a required sink counts that as lag.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.audit import checkpoints
from sidecar.clock import Clock
from sidecar.core.instant import NS_PER_MS, BootNs, Now
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable


class Sealed:
    """What is signed of one log.

    Args:
        folder: Of the journal.
        key: Verifies its checkpoints; bears the name of the log.
        clock: Both clocks.

    Attributes:
        size: Records under the newest checkpoint that was seen.
        grew: Told the new size; one for each sink.
        why: Why it cannot be told at present; empty: it can.
    """

    def __init__(self, folder: Path, key: NoteKey, clock: Clock) -> None:
        self.folder = folder
        self.log = key.name
        self.size = 0
        self.grew: list[Callable[[int], None]] = []
        self.why = ""
        self._key = key
        self._clock = clock
        self._raw: bytes | None = None
        self._blind: BootNs | None = None

    def blind_ms(self, now: Now) -> int:
        """For how long nothing has been seen, since a look that has not succeeded yet."""
        return 0 if self._blind is None else (now.boot - self._blind) // NS_PER_MS

    def begin(self) -> None:
        """A look is under way."""
        if self._blind is None:
            self._blind = self._clock().boot

    def look(self) -> int | str:
        """Read the checkpoint. Blocks: run it in a thread, one look at a time.

        Returns:
            Records under it; or why that cannot be told.
        """
        try:
            raw = checkpoints.held(self.folder)
            if raw is None or raw == self._raw:
                return self.size
            size = checkpoints.opened(raw, self._key).size
        except (OSError, ProtocolError) as error:
            return str(error)
        self._raw = raw
        return size

    def take(self, found: int | str) -> None:
        """Take over what a look found, in the event loop."""
        if isinstance(found, str):
            self.why = found
            return
        self._blind, self.why = None, ""
        if found > self.size:
            self.size = found
            for told in self.grew:
                told(found)
