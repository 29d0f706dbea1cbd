"""From one peer's raw reply to its vote.

Rules:

* Nothing in a reply is believed before its signature was counted. What fails is dropped with a
  reason that is kept per peer; the rest of the reply still counts.
* Identical bytes are verified once. All peers hold the same beat, so a round usually costs one
  signature check, not one per peer.
* A reply may hold far more orders than there are: of those that fail only some are checked at
  once, and the next round goes on where this one stopped.
* A beat under another trust document cannot be judged: a newer one means that a rotation is being
  withheld from us (EG607), an older one that the peer lags (EG802), an equal number with other
  content that somebody signed two (EG803).

Source: protocol b.3 steps 3 and 4.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sidecar.core import canonical, envelope, layout, lease
from sidecar.core.instant import WallMs
from sidecar.core.lease import Terms
from sidecar.core.objects import beat, halt
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.halt import Order
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.reason import ProtocolError, Reason

FORGERIES_MAX = 16  # orders that fail to verify, per reply; the rest waits for the next round
BEATS_MAX = 512  # byte strings remembered
SETS_MAX = 8  # sets of orders remembered, in the order in which a peer gave them
KNOWN_ORDERS_MAX = 8192  # digests remembered; above what one reply can hold

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a reply amounts to.

    Attributes:
        beats: Verified and acceptable by their own times, with the envelopes that carried them.
            Where only a nonce counts, times are not judged here.
        stale: Verified and not acceptable: they prove nothing now, but still contradict each other.
        orders: Verified halts and clears.
        faults: Why other parts were dropped, without repeats, sorted by code.
    """

    beats: tuple[tuple[Beat, bytes], ...]
    stale: tuple[tuple[Beat, bytes], ...]
    orders: tuple[Order, ...]
    faults: tuple[Reason, ...]


class Verifier:
    """Verifies what peers serve, each distinct byte string once.

    Args:
        trust: The trust document in force.
        terms: Bounds for judging a beat's times.
    """

    def __init__(self, trust: Trust, terms: Terms) -> None:
        self._trust = trust
        self._terms = terms
        self._beats: dict[bytes, Beat | Reason] = {}
        self._orders: dict[str, Order | Reason] = {}  # by the digest of the envelope
        self._sets: list[tuple[tuple[bytes, ...], tuple[Order, ...]]] = []  # heard lately, all good

    @property
    def issuers(self) -> tuple[str, ...]:
        """Whose beats are read, sorted."""
        return tuple(sorted(self._trust.keys[Role.BEAT]))

    def keys(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What to read of a peer: string keys and hash keys."""
        domain = self._trust.domain
        beats = tuple(layout.beat_key(domain, issuer) for issuer in self.issuers)
        return beats, (layout.halts_key(domain),)

    def hear(self, found: Mapping[str, tuple[bytes, ...]], now: WallMs) -> Heard:
        """Verify one reply.

        Args:
            found: Key -> values, untrusted.
            now: Wall clock, read after the reply arrived.
        """
        strings, hashes = self.keys()
        good: list[tuple[Beat, bytes]] = []
        stale: list[tuple[Beat, bytes]] = []
        faults: set[Reason] = set()
        for raw in _values(found, strings):
            heard = self._beat(raw, now)
            if isinstance(heard, Reason):
                faults.add(heard)
                continue
            wrong = self._expired(heard, now) or self._foreign(heard)
            wrong = wrong or lease.judge(heard, self._terms, now)
            if wrong is None:
                good.append((heard, raw))
            else:
                stale.append((heard, raw))
                faults.add(wrong)
        orders = self._orders_among(tuple(_values(found, hashes)), now, faults)
        return Heard(tuple(good), tuple(stale), orders, _sorted(faults))

    def _orders_among(
        self, raws: tuple[bytes, ...], now: WallMs, faults: set[Reason]
    ) -> tuple[Order, ...]:
        # Most replies hold the orders that one before did, hundreds perhaps; peers sort them apart.
        for heard, orders in self._sets:
            if heard == raws:
                return orders
        orders = tuple(self._hear_orders(raws, now, faults))
        if len(orders) == len(raws):  # else what is wrong with the rest is told again
            self._sets = [(raws, orders), *self._sets[: SETS_MAX - 1]]
        return orders

    def _hear_orders(
        self, raws: Iterable[bytes], now: WallMs, faults: set[Reason]
    ) -> Iterator[Order]:
        failed = 0
        for raw in raws:
            key = canonical.digest(raw)
            order = self._orders.get(key)
            if order is None:
                # All are read, or the one that matters could hide behind others. But checking
                # hundreds of forgeries at once would keep the loop from everything else.
                if failed == FORGERIES_MAX:
                    faults.add(Reason.OVERSIZE)
                    continue
                order = self._orders[key] = _reason_of(self._open_order, raw, now)
                failed += isinstance(order, Reason)
            if isinstance(order, Reason):
                faults.add(order)
            else:
                yield order

    def forget(self) -> None:
        """Drop what was verified long ago; call once a round."""
        # Beats change with every interval, so a small cache is refilled within a round. Bad bytes
        # are kept as well: a peer must not make us verify its garbage again and again.
        _shrink(self._beats, BEATS_MAX)
        _shrink(self._orders, KNOWN_ORDERS_MAX)

    def _beat(self, raw: bytes, now: WallMs) -> Beat | Reason:
        known = self._beats.get(raw)
        if known is None:
            known = self._beats[raw] = _reason_of(self._open_beat, raw, now)
        return known

    def _open_beat(self, raw: bytes, now: WallMs) -> Beat:
        sealed = envelope.parse(raw, beat.MAX_BYTES)
        heard = beat.parse(self._trust.open_single(sealed, Role.BEAT, beat.PAYLOAD_TYPE, now))
        if heard.says.domain != self._trust.domain:
            raise ProtocolError(Reason.TYPE_CONFUSION, f"beat for {heard.says.domain}")
        return heard

    def _open_order(self, raw: bytes, now: WallMs) -> Order:
        return halt.open_order(raw, self._trust, now)

    def _expired(self, heard: Beat, now: WallMs) -> Reason | None:
        # Verified once, but judged each time: a beat dated ahead must not outlive its key in here.
        limit = self._trust.body.keys[heard.issuer].not_after
        return Reason.KEY_REVOKED if limit is not None and now >= limit else None

    def _foreign(self, heard: Beat) -> Reason | None:
        theirs = heard.says.trust
        if theirs.version > self._trust.version:
            return Reason.TRUST_WITHHELD
        if theirs.version < self._trust.version:
            return Reason.ROLLBACK
        return None if theirs.sha256 == self._trust.sha256 else Reason.EQUIVOCATION


def evidence_id(envelopes: Iterable[bytes]) -> str:
    """The id of a contradiction: 16 bytes of a digest over the sorted digests, hex."""
    digests = sorted(canonical.digest(raw) for raw in envelopes)
    return canonical.digest("\n".join(digests).encode())[:32]


def _values(found: Mapping[str, tuple[bytes, ...]], keys: Iterable[str]) -> Iterable[bytes]:
    return (raw for key in keys for raw in found.get(key, ()))


def _sorted(faults: Iterable[Reason]) -> tuple[Reason, ...]:
    return tuple(sorted(faults, key=lambda reason: reason.code))


def _shrink(cache: dict[K, T], limit: int) -> None:
    while len(cache) > limit:
        del cache[next(iter(cache))]


def _reason_of(verify: Callable[[bytes, WallMs], T], raw: bytes, now: WallMs) -> T | Reason:
    try:
        return verify(raw, now)
    except ProtocolError as error:
        return error.reason
