"""Two clocks, two types that cannot be mixed.

* `BootNs` counts nanoseconds on this machine's boot-time clock (CLOCK_BOOTTIME). It runs on while
  the machine is suspended and nobody can step it. Deadlines live here.
* `WallMs` counts milliseconds since 1970 UTC. Signed times use it. It can be stepped, so it is only
  ever compared with signed times, and only in the direction that denies.

Why both: boot time catches a wall clock that was set back, wall time catches a paused virtual
machine whose boot clock stood still. Every permit needs both (protocol b.4).
"""

from typing import NamedTuple, NewType

BootNs = NewType("BootNs", int)
WallMs = NewType("WallMs", int)

NS_PER_MS = 1_000_000
NS_PER_US = 1_000


class Now(NamedTuple):
    """Both clocks, read together, boot first: a pause between the reads only shortens a lease.

    Attributes:
        boot: Nanoseconds on the boot-time clock.
        wall: Milliseconds since the Unix epoch.
    """

    boot: BootNs
    wall: WallMs


def boot_after(start: BootNs, duration_ms: int) -> BootNs:
    """The instant `duration_ms` milliseconds after `start` on the same boot-time clock."""
    return BootNs(start + duration_ms * NS_PER_MS)


def ms_until(deadline: BootNs, now: BootNs) -> int:
    """Whole milliseconds from `now` to `deadline`, rounded down; negative once it has passed."""
    return (deadline - now) // NS_PER_MS
