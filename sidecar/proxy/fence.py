"""Seals a permitted request, so that the service behind can refuse one that arrives too late.

    fence = hex(BLAKE2s(key, size 16, person "eg-fence",
                        method LF target LF decision-id LF epoch LF not-after))

None of the parts can hold a line feed, so no two requests have the same bytes. `sidecar/fence/`
holds what checks it; it shares no code with this file, so that it can be copied alone, and a test
holds the two against each other.

Source: hardening E-G7; RFC 7693.
"""

import hashlib

from sidecar.core.instant import NS_PER_MS
from sidecar.core.lease import Lease

KEY_BYTES = 32
MAC_BYTES = 16
PERSON = b"eg-fence"


def not_after(lease: Lease) -> bytes:
    """Both deadlines in whole milliseconds, rounded down: wall clock; boot-time clock."""
    return b"%d;boot=%d" % (lease.wall_deadline, lease.deadline // NS_PER_MS)


class Fence:
    """The MAC over permitted requests.

    Args:
        key: 32 random bytes, new for each start.
    """

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a fence key has {KEY_BYTES} bytes")
        self._keyed = hashlib.blake2s(key=key, digest_size=MAC_BYTES, person=PERSON)

    def line(self, method: bytes, target: bytes, decision_id: bytes, bound: bytes) -> bytes:
        """The header line.

        Args:
            method: As it is forwarded.
            target: Request target, as it is forwarded.
            decision_id: Of the permit.
            bound: Epoch, line feed, not-after, as their headers have them.
        """
        mac = self._keyed.copy()
        mac.update(b"%b\n%b\n%b\n%b" % (method, target, decision_id, bound))
        return b"x-epochgate-fence: %b\r\n" % mac.hexdigest().encode()
