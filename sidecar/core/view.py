"""What one peer holds, as an authority sees it, and what it lacks.

Rules:

* Orders are verified, each distinct byte string once. What does not verify is as good as absent, so
  a peer with rubbish in its hash is given the real order again.
* A head is put right only where there is none or where it names an older epoch. A name that we
  cannot judge yet may be the epoch that comes next; overwriting it could hide it for good.

Source: protocol b.2, b.10.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sidecar.core import canonical, layout
from sidecar.core.archive import Archive
from sidecar.core.envelope import KeyId, PublicKey
from sidecar.core.instant import WallMs
from sidecar.core.issued import Issued, open_own
from sidecar.core.issuing import WriteCommand
from sidecar.core.objects import epoch as epochs
from sidecar.core.objects import halt
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.halt import Order
from sidecar.core.objects.trust import Trust
from sidecar.core.reason import ProtocolError

CACHE_MAX = 8192  # digests remembered as an order or as none; above what one reply can hold
FORGERIES_MAX = 16  # orders that fail to verify, per answer; the rest waits for the next look

_SHA256 = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class View:
    """What one peer holds.

    Attributes:
        head: What stands there as the name of the newest epoch, or None.
        own: The latest beat of our own key there, or None.
        orders: Those that verified.
    """

    head: bytes | None
    own: Beat | None
    orders: tuple[Order, ...]

    @property
    def head_sha256(self) -> str | None:
        """The digest that it names, or None when it names none."""
        if self.head is None or not _SHA256.fullmatch(self.head):
            return None
        return self.head.decode()


class Viewer:
    """Reads answers of peers.

    Args:
        trust: The trust document in force.
        key_id: Of this replica's beat key.
        public: The same key, 32 bytes.
    """

    def __init__(self, trust: Trust, key_id: KeyId, public: PublicKey) -> None:
        self._trust = trust
        self._key_id = key_id
        self._public = public
        self._orders: dict[str, Order | None] = {}  # by the digest of the envelope

    @property
    def strings(self) -> tuple[str, ...]:
        """String keys to read."""
        domain = self._trust.domain
        return layout.head_key(domain), layout.beat_key(domain, self._key_id)

    @property
    def hashes(self) -> tuple[str, ...]:
        """Hash keys to read."""
        return (layout.halts_key(self._trust.domain),)

    def look(self, found: Mapping[str, tuple[bytes, ...]], now: WallMs) -> View:
        """Verify what a peer answered.

        Args:
            found: Key -> values, untrusted.
            now: Wall clock.
        """
        heads, beats = (found.get(key, ()) for key in self.strings)
        return View(
            head=heads[0] if heads else None,
            own=self._own(beats[0]) if beats else None,
            orders=tuple(self._read_orders(found.get(self.hashes[0], ()), now)),
        )

    def _own(self, raw: bytes) -> Beat | None:
        try:
            return open_own(raw, self._key_id, self._public)
        except ProtocolError:
            return None  # rubbish under our name; our next beat replaces it

    def _read_orders(self, raws: Iterable[bytes], now: WallMs) -> Iterator[Order]:
        failed = 0
        for raw in raws:
            key = canonical.digest(raw)
            if key not in self._orders:
                if failed == FORGERIES_MAX:
                    continue  # one peer's forgeries must not delay the beat of everybody
                self._orders[key] = self._open(raw, now)
                failed += self._orders[key] is None
            order = self._orders[key]
            if order is not None:
                yield order
        while len(self._orders) > CACHE_MAX:
            del self._orders[next(iter(self._orders))]

    def _open(self, raw: bytes, now: WallMs) -> Order | None:
        try:
            return halt.open_order(raw, self._trust, now)
        except ProtocolError:
            return None


def repairs(
    domain: str, view: View, issued: Issued, archive: Archive, older: Collection[str]
) -> tuple[WriteCommand, ...]:
    """What to write to a peer so that it holds what we know; nothing when it does.

    Args:
        domain: Of the fleet.
        view: What it holds.
        issued: What we know.
        archive: Holds the blobs of the epoch.
        older: Digests of epochs that come before the current one.
    """
    held = {order.sha256 for order in view.orders}
    lines: list[WriteCommand] = [
        ("HSET", layout.halts_key(domain), layout.order_field(order.sha256), order.raw)
        for order in issued.halts.orders
        if order.sha256 not in held
    ]
    if view.head is None or view.head_sha256 in older:
        lines += _epoch_lines(domain, issued, archive)
    return tuple(lines)


def _epoch_lines(domain: str, issued: Issued, archive: Archive) -> list[WriteCommand]:
    current, mark = issued.epoch, issued.mark
    if current is None or mark is None:
        return []
    try:
        blobs = {sha256: archive.envelope(sha256) for sha256 in epochs.blobs(current.says)}
    except KeyError:
        return []  # a head without its blobs would look whole and never be put right
    return [
        *(("SET", layout.blob_key(domain, sha256), raw) for sha256, raw in blobs.items()),
        ("SET", layout.epoch_key(domain, current.sha256), mark.envelope.encode()),
        ("SET", layout.head_key(domain), current.sha256),
    ]
