"""The only reader of the clocks.

Boot time comes first, wall time second: a pause between the two reads makes the wall reading later
and so can only shorten a lease. CLOCK_BOOTTIME rather than CLOCK_MONOTONIC, because it runs on
while the machine is suspended (a lease must not survive a closed lid).

Whoever needs time is handed a `Clock`; `now` is the real one. Source: clock_gettime(2); E-G5.
"""

import time
from collections.abc import Callable

from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs

Clock = Callable[[], Now]

_boottime = time.CLOCK_BOOTTIME
_read = time.clock_gettime_ns
_wall = time.time_ns


def now() -> Now:
    """Both clocks, boot time first."""
    return Now(BootNs(_read(_boottime)), WallMs(_wall() // NS_PER_MS))
