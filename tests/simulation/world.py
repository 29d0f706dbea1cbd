"""Virtual time: one heap of things to do, and a pair of clocks for each node.

True time is an integer of nanoseconds that only the simulation knows. Nodes see it through clocks
that are wrong within the bounds that the protocol admits: a wall clock with an offset, a boot clock
with another zero and another rate.
"""

import hashlib
import heapq
from collections import deque
from collections.abc import Callable
from random import Random

from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from tests import builders

PPM = 1_000_000
TAIL = 120  # lines of trace kept for a failure
TRUE_EPOCH_NS = builders.NOW * NS_PER_MS  # wall time of true instant 0

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


class NodeClocks:
    """The two clocks of one machine, wrong within bounds.

    Args:
        world: True time.
        offset_ns: Wall clock minus true time.
        rate_ppm: How much too fast the boot clock runs.
        zero_ns: What the boot clock showed at true instant 0.
    """

    def __init__(self, world: World, *, offset_ns: int, rate_ppm: int, zero_ns: int) -> None:
        self._world = world
        self._rate_ppm = rate_ppm
        self._zero_ns = zero_ns
        self.offset_ns = offset_ns
        self._read = (-1, 0, Now(BootNs(0), WallMs(0)))  # true time, offset, what they showed

    def now(self) -> Now:
        """Both clocks, now."""
        true_ns, offset_ns = self._world.now_ns, self.offset_ns
        then_ns, then_offset_ns, shown = self._read
        if (true_ns, offset_ns) == (then_ns, then_offset_ns):
            return shown  # asked again within one event
        boot_ns = self._zero_ns + true_ns * (PPM + self._rate_ppm) // PPM
        wall_ns = TRUE_EPOCH_NS + true_ns + offset_ns
        shown = Now(BootNs(boot_ns), WallMs(wall_ns // NS_PER_MS))
        self._read = (true_ns, offset_ns, shown)
        return shown

    def true_of_boot(self, boot: BootNs) -> int:
        """The first true instant at which the boot clock shows `boot` or more."""
        return -((self._zero_ns - boot) * PPM // (PPM + self._rate_ppm))

    def true_of_wall(self, wall: WallMs) -> int:
        """The first true instant at which the wall clock, as it goes now, shows `wall` or more."""
        return wall * NS_PER_MS - TRUE_EPOCH_NS - self.offset_ns
