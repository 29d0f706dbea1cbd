"""Virtual time: one heap of things to do.

True time is an integer of nanoseconds that only the simulation knows. Nodes see it through their
clocks.
"""

import hashlib
import heapq
from collections import deque
from collections.abc import Callable
from random import Random

from sidecar.core.instant import NS_PER_MS

TAIL = 120  # lines of trace kept for a failure

Action = Callable[[], None]


class World:
    """Runs actions in the order of their times; ties in the order in which they were planned.

    Args:
        rng: The one source of randomness of a run.
        tell: Takes each line of the trace; None to keep only the tail.
    """

    def __init__(self, rng: Random, tell: Callable[[str], None] | None = None) -> None:
        self.rng = rng
        self.now_ns = 0
        self.steps = 0
        self.tail: deque[str] = deque(maxlen=TAIL)
        self._tell = tell
        self._digest = hashlib.sha256()
        self._heap: list[tuple[int, int, Action]] = []
        self._planned = 0

    def at(self, when_ns: int, action: Action) -> None:
        """Plan an action; one in the past runs next."""
        self._planned += 1
        heapq.heappush(self._heap, (max(when_ns, self.now_ns), self._planned, action))

    def after(self, delay_ns: int, action: Action) -> None:
        """Plan an action some nanoseconds from now."""
        self._planned += 1
        heapq.heappush(self._heap, (self.now_ns + delay_ns, self._planned, action))

    def every(self, mean_ms: float, until_ns: int, action: Action) -> None:
        """Plan an action at random instants, so many milliseconds apart on average."""
        delay_ns = int(self.rng.expovariate(1 / mean_ms) * NS_PER_MS) + 1

        def again() -> None:
            action()
            self.every(mean_ms, until_ns, action)

        if self.now_ns + delay_ns < until_ns:
            self.after(delay_ns, again)

    def run(self, until_ns: int) -> None:
        """Take everything up to an instant."""
        heap, take = self._heap, heapq.heappop
        while heap and heap[0][0] <= until_ns:
            self.now_ns, _, action = take(heap)
            self.steps += 1
            action()
        self.now_ns = until_ns

    def say(self, who: str, what: str) -> None:
        """One line of trace."""
        line = f"{self.now_ns / NS_PER_MS:12.6f} {who:<10} {what}"
        self._digest.update(line.encode())
        self.tail.append(line)
        if self._tell is not None:
            self._tell(line)

    @property
    def digest(self) -> str:
        """One number for all that happened."""
        return self._digest.hexdigest()[:16]
