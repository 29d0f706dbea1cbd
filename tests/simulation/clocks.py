"""The two clocks of one machine, and whether the promise may lean on them.

* Within the bounds that the protocol admits: a wall clock with an offset of at most half the skew,
  which may be stepped; a boot clock with another zero and another rate.
* Beyond them, where only nonces count: a wall clock that shows anything, and is set at any time.
* Beyond them: a wall clock that somebody set wrong, and clocks that stood still with their virtual
  machine. Every permit needs both clocks, so one of them in order is enough for the promise.
"""

from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from tests import builders
from tests.simulation.world import World

PPM = 1_000_000
TRUE_EPOCH_NS = builders.NOW * NS_PER_MS  # wall time of true instant 0
NEVER_NS = -1
NOISE_NS = 200 * NS_PER_MS  # a sidecar may take more for a step, when its own drift is added
WILD_NS = 10 * builders.DAY_MS * NS_PER_MS


class NodeClocks:
    """The clocks of one machine.

    Args:
        world: True time.
        offset_ns: Wall clock minus true time.
        half_skew_ns: How far that may be off.
        rate_ppm: How much too fast the boot clock runs.
        zero_ns: What the boot clock showed at true instant 0.
        wild: Whether there is no bound: it may show anything.

    Attributes:
        stood_still_ns: True time at which the boot clock last went on after standing still.
        wrong_ns: True time at which the wall clock was last seen wrong, or put right.
        set_ns: True time at which it was last set at all.
        stepped_ns: The same by more than the sidecar takes for noise.
    """

    def __init__(
        self,
        world: World,
        *,
        offset_ns: int,
        half_skew_ns: int,
        rate_ppm: int,
        zero_ns: int,
        wild: bool = False,
    ) -> None:
        self._world = world
        self._half_skew_ns = half_skew_ns
        self._rate_ppm = rate_ppm
        self._zero_ns = zero_ns
        self._lost_ns = 0  # how long the boot clock stood still altogether
        self._offset_ns = self._right_ns = offset_ns
        self.stood_still_ns = NEVER_NS
        self.wrong_ns = self.set_ns = self.stepped_ns = NEVER_NS
        self.wild = wild
        self._read = (NEVER_NS, Now(BootNs(0), WallMs(0)))  # true time, what they showed

    def now(self) -> Now:
        """Both clocks, now."""
        true_ns = self._world.now_ns
        then_ns, shown = self._read
        if true_ns == then_ns:
            return shown  # asked again within one event
        boot_ns = self._zero_ns + (true_ns - self._lost_ns) * (PPM + self._rate_ppm) // PPM
        wall_ns = TRUE_EPOCH_NS + true_ns + self._offset_ns
        shown = Now(BootNs(boot_ns), WallMs(wall_ns // NS_PER_MS))
        self._read = (true_ns, shown)
        return shown

    def true_of_boot(self, boot: BootNs) -> int:
        """The first true instant at which the boot clock, as it goes now, shows `boot` or more."""
        return self._lost_ns - ((self._zero_ns - boot) * PPM // (PPM + self._rate_ppm))

    def true_of_wall(self, wall: WallMs) -> int:
        """The first true instant at which the wall clock, as it goes now, shows `wall` or more."""
        return wall * NS_PER_MS - TRUE_EPOCH_NS - self._offset_ns

    @property
    def right(self) -> bool:
        """Whether the wall clock is within its bound now."""
        return self.wild or abs(self._offset_ns) <= self._half_skew_ns

    def set_wall(self, offset_ns: int) -> None:
        """Somebody sets the wall clock."""
        if not self.right:
            self.wrong_ns = self._world.now_ns
        self.set_ns = self._world.now_ns
        if abs(offset_ns - self._offset_ns) > NOISE_NS:
            self.stepped_ns = self._world.now_ns
        self._offset_ns = offset_ns
        self._read = (NEVER_NS, self._read[1])
        if self.right:
            self._right_ns = offset_ns

    def put_right(self) -> None:
        """Somebody sets the wall clock to what it was before it went wrong."""
        self.set_wall(self._right_ns)

    def stand_still(self, for_ns: int) -> None:
        """The machine does not run for a while: neither clock counts. Ask again afterwards."""
        end_ns = self._world.now_ns + for_ns
        # Stopped again while it stands still: only what goes beyond is lost, or time went back.
        more_ns = max(0, end_ns - max(self._world.now_ns, self.stood_still_ns))
        self._lost_ns += more_ns
        self.stood_still_ns = max(end_ns, self.stood_still_ns)
        self.set_wall(self._offset_ns - more_ns)
