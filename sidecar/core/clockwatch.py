"""Whether the clocks go on as clocks do: no steps, no standing still, no going back.

Rules:

* Both clocks count the same time. Where they part by more than a step from one look to the next,
  the wall clock was set: a lease that leans on it is given up (EG105).
* A look that comes more than half a ttl late means that this process, or the machine, stood still.
  What was true before is not relied on (EG107).
* A wall clock that shows less than when marks were last stored, by more than the skew, is wrong now
  or was wrong then: no lease leans on it (EG106).

Looking is no second line of defence for a deadline: every request compares both clocks itself.

Source: protocol b.7; hardening K01, K04, K05, I20.
"""

from sidecar.core.instant import NS_PER_MS, Now, WallMs
from sidecar.core.lease import Terms
from sidecar.core.reason import Reason

PERIOD_MS = 100  # from one look to the next


class ClockWatch:
    """Compares the clocks again and again.

    Args:
        step_ms: How far the clocks may part between two looks.
        last_wall: Wall clock when marks were stored, or 0.
    """

    def __init__(self, step_ms: int, last_wall: int) -> None:
        self._step_ms = step_ms
        self._last_wall = last_wall
        self._seen: Now | None = None

    def look(self, now: Now, terms: Terms) -> Reason | None:
        """Compare with the look before; what to give a lease up for, or None."""
        before, self._seen = self._seen, now
        if before is None:
            return None
        boot_ms = (now.boot - before.boot) / NS_PER_MS
        if boot_ms < 0 or boot_ms > PERIOD_MS + terms.ttl_ms / 2:
            return Reason.SUSPEND_GAP
        # Where only a nonce counts, the wall clock may do what it likes.
        if terms.freshness != "nonce" and abs(now.wall - before.wall - boot_ms) > self._step_ms:
            return Reason.CLOCK_STEP
        return None

    def regressed(self, wall: WallMs, terms: Terms) -> bool:
        """Whether the wall clock is behind its own past."""
        return terms.freshness != "nonce" and wall < self._last_wall - terms.skew_ms
