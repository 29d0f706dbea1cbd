"""The newest epoch that anybody vouches for, and which leases it forbids or has ended.

Rules:

* A live beat for a higher epoch on any one peer forbids renewal under a lower one.
* Where such an epoch says `immediate`, the leases below it have ended for good: they stay ended
  when its beat grows old, or whoever serves older beats would bring them back.
* What an issuer said counts only while it has its role: a stolen key may have named an epoch that
  nobody ever signed.

Source: protocol b.3 step 5.
"""

from collections.abc import Callable, Collection

from sidecar.core.objects.beat import Beat

EPOCHS_MAX = 64  # whoever holds a beat key can name any number


class Horizon:
    """What was seen ahead.

    Attributes:
        ahead: The live beat for the highest epoch seen, or None.
    """

    def __init__(self) -> None:
        self._beats: dict[int, Beat] = {}  # by the number of the epoch that they name
        self._ended = 0  # leases under epochs below this number were ended at once

    def look(self, beat: Beat, live: Callable[[Beat], bool]) -> None:
        """Take a live beat."""
        # One for each epoch: what names the highest need not be what lives longest.
        held = {seq: one for seq, one in self._beats.items() if live(one)}
        named = beat.says.epoch.seq
        known = held.get(named)
        if known is None or beat.says.issued_at > known.says.issued_at:
            held[named] = beat
        while len(held) > EPOCHS_MAX:
            del held[min(held)]
        self._beats = held

    @property
    def ahead(self) -> Beat | None:
        """The one that names the highest epoch."""
        return self._beats[max(self._beats)] if self._beats else None

    def keep(self, issuers: Collection[str]) -> None:
        """Forget what others than these said lies ahead; what has ended stays ended."""
        self._beats = {seq: one for seq, one in self._beats.items() if one.issuer in issuers}

    def end_below(self, epoch_seq: int) -> None:
        """An immediate epoch ends every lease below it."""
        self._ended = max(self._ended, epoch_seq)

    def forbids(self, epoch_seq: int) -> bool:
        """Whether a newer epoch forbids a lease under this one."""
        ahead = 0 if self.ahead is None else self.ahead.says.epoch.seq
        return epoch_seq < max(ahead, self._ended)
