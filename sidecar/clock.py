"""The only reader of the clocks.

Boot time comes first, wall time second: a pause between the two reads makes the wall reading later
and so can only shorten a lease. CLOCK_BOOTTIME rather than CLOCK_MONOTONIC, because it runs on
while the machine is suspended (a lease must not survive a closed lid).

Whoever needs time is handed a `Clock`; `now` is the real one. Source: clock_gettime(2); E-G5.
"""

import time
from collections.abc import Callable

from sidecar.core.instant import NS_PER_MS, Now

Clock = Callable[[], Now]

_boottime = time.CLOCK_BOOTTIME
_read = time.clock_gettime_ns
_wall = time.time_ns


def now() -> Now:
    """Both clocks, boot time first."""
    # Typed by hand: calling the two NewTypes costs as much as reading a clock.
    return Now(_read(_boottime), _wall() // NS_PER_MS)  # type: ignore[arg-type]
