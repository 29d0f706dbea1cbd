"""How long the oldest record that a sink has not acknowledged has been waiting.

Counted on the boot-time clock from when the record was first seen under a checkpoint, so that no
step of the wall clock hides a dead sink or invents one. What was waiting already when the process
started is as old as the record says it is, by the wall clock of that moment.
"""

from collections import deque

from sidecar.core.instant import NS_PER_MS, Now

SEEN_MAX = 4096  # about an hour of checkpoints; then neighbours share the older one's time


class Lag:
    """The lag of one sink in one log."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()  # records below, first seen (boot ns)

    def seen(self, size: int, now: Now, age_ms: int = 0) -> None:
        """There are so many records now, or more.

        Args:
            size: Records under the newest checkpoint.
            now: Both clocks.
            age_ms: How long they have been there already.
        """
        self._seen.append((size, now.boot - age_ms * NS_PER_MS))
        if len(self._seen) > SEEN_MAX:
            pairs = list(self._seen)
            self._seen = deque(
                (pairs[min(at + 1, len(pairs) - 1)][0], pairs[at][1])
                for at in range(0, len(pairs), 2)
            )

    def acknowledged(self, seq: int) -> None:
        """All records before this one arrived."""
        while self._seen and self._seen[0][0] <= seq:
            self._seen.popleft()

    def ms(self, now: Now) -> int:
        """The lag at an instant; 0: nothing waits."""
        if not self._seen:
            return 0
        return max(0, (now.boot - self._seen[0][1]) // NS_PER_MS)
