"""Whether a client reads the answer that waits for it.

Source: hardening T04.
"""

from sidecar.core.instant import NS_PER_MS, Now


class Pace:
    """A piece of `piece_bytes` within each `piece_ms`, for as long as anything waits.

    Args:
        piece_bytes: What has to be read; 0: any byte will do.
        piece_ms: How long that may take; 0: for ever.

    Attributes:
        due: Boot time at which `kept` has to be asked; 0: never.
    """

    __slots__ = ("_pending", "_piece_bytes", "_piece_ns", "due")

    def __init__(self, piece_bytes: int, piece_ms: int) -> None:
        self._piece_bytes = max(1, piece_bytes)
        self._piece_ns = piece_ms * NS_PER_MS
        self._pending = 0
        self.due = 0

    def begin(self, pending: int, now: Now) -> None:
        """Count from now: so many bytes wait to be read."""
        self._pending = pending
        self.due = now.boot + self._piece_ns if pending and self._piece_ns else 0

    def more(self, size: int) -> None:
        """So many more wait."""
        self._pending += size

    def kept(self, pending: int, now: Now) -> bool:
        """Whether enough was read since, or nothing waits any more; if so the next piece begins."""
        read = self._pending - pending
        self.begin(pending, now)
        return not pending or read >= self._piece_bytes
