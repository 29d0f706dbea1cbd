"""What is true in a run, kept by the simulation alone: who signed what, and who was shown what.

Neither is known to the code under test; the checkers compare it with what that does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sidecar.core import layout, marks
from sidecar.core.accepted import LATCHES_MAX
from sidecar.core.instant import Now
from sidecar.core.lease import Lease
from sidecar.core.objects import halt
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS, Halts
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.quorum import PeerId
from sidecar.core.snapshot import Hold
from tests import builders
from tests.simulation.peers import Found

Named = tuple[int, str]  # number and digest of an epoch
IsLive = Callable[[Beat], bool]


@dataclass(frozen=True, slots=True)
class SignedBeat:
    """A beat that an authority's own key signed, when in true time, and whether it did itself."""

    beat: Beat
    signed_ns: int
    own: bool

    @property
    def named(self) -> Named:
        """The epoch it vouches for."""
        return (self.beat.says.epoch.seq, self.beat.says.epoch.sha256)


class Truth:
    """Everything that was really signed.

    Args:
        trust: To read the objects; whoever calls `*_signed` has just made them.
    """

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self.beats: dict[str, SignedBeat] = {}
        self.beats_by_raw: dict[bytes, SignedBeat] = {}
        self.vouched_ns: dict[Named, int] = {}
        self.epochs: dict[int, Epoch] = {}
        self.orders: dict[bytes, halt.Order] = {}
        self.active: dict[str, tuple[str, ...]] = {NO_HALTS.sha256: ()}
        self.halts = NO_HALTS
        self.numbers: set[tuple[str, int]] = set()  # issuer and number of each beat of its own
        self.stolen = False  # whether somebody else has signed with a beat key
        self.troubled_ns = -1  # when the last order came, or an epoch that ends another at once
        self.committed: set[tuple[str, int]] = set()  # those of them that w peers acknowledged
        self.restored: set[str] = set()  # issuers that went on from an older state file
        self.named_by: dict[str, int] = {}  # issuer -> number of the epoch it vouched for last
        self.epochs_by_key: dict[str, tuple[Epoch, bytes]] = {}
        self.halts_key = layout.halts_key(trust.domain)
        self.beat_keys = {
            layout.beat_key(trust.domain, key) for key in trust.role(Role.BEAT).keyids
        }

    def beat_signed(self, raw: bytes, now_ns: int, *, own: bool = True) -> None:
        """An authority, or somebody with its key, signed a beat."""
        signed = SignedBeat(builders.open_beat(raw, self.trust), now_ns, own)
        self.beats[signed.beat.sha256] = self.beats_by_raw[raw] = signed
        self.stolen = self.stolen or not own
        if own:
            self.numbers.add((signed.beat.issuer, signed.beat.seq))
        self.vouched_ns[signed.named] = max(now_ns, self.vouched_ns.get(signed.named, 0))

    def epoch_signed(self, raw: bytes, now_ns: int) -> Epoch:
        """A threshold of epoch keys signed the next epoch."""
        made = builders.open_epoch(raw, self.trust)
        self.epochs[made.seq] = made
        if made.says.activation.mode == "immediate":
            self.troubled_ns = now_ns
        self.epochs_by_key[layout.epoch_key(self.trust.domain, made.sha256)] = (made, raw)
        return made

    def order_signed(self, order: halt.Order, now_ns: int) -> None:
        """A holder of the right keys signed a halt or a clear."""
        self.orders[order.raw] = order
        self.troubled_ns = now_ns
        self.halts = self.halts.union((order,))

    def more(self, orders: Halts, raws: Iterable[bytes]) -> Halts:
        """A set of orders, and those among some bytes that were really signed."""
        shown = [order for raw in raws if (order := self.orders.get(raw)) is not None]
        return orders.union(shown) if shown else orders

    def note_set(self, halts: Halts) -> None:
        """A set of orders that a beat may pin: which halts in it are in force."""
        self.active.setdefault(halts.sha256, tuple(order.says.halt_id for order in halts.active))


@dataclass(frozen=True, slots=True)
class Sent:
    """When the reads of a round left: both clocks, true time, and whether the wall was right."""

    now: Now
    true_ns: int
    right: bool


@dataclass(slots=True)
class Seen:
    """What one sidecar has been shown, and what it has done.

    Attributes:
        rounds: Round -> peer -> epochs that a truly signed beat from it vouched for.
        sent: Round -> when its reads were sent.
        storing_round: The round in which the latest store was asked for; a lease that is published
            was granted in it.
        orders: Orders shown to this process or stored by one before it.
        active, cleared: What they amount to.
        heard: Issuer and number -> envelope of the first beat heard with it.
        conflicts: Contradictions shown, as pairs of envelopes.
        told: Genuine contradictions that it told of -> their evidence ids, restarts included.
        evidence: Evidence ids of genuine contradictions that it told of, restarts included.
        ahead: Epoch number -> the latest signed beat that was live when shown and vouches for it.
        fetched: Numbers of epochs shown since the last lease.
        used: Digests of beats that a lease has leaned on, restarts included.
        holds: Those of the latest snapshot.
        lease: What the latest snapshot carried.
        lease_sent: When the reads behind it were sent.
        best_seq: Highest epoch number behind a permit, restarts included.
    """

    rounds: dict[int, dict[PeerId, set[Named]]] = field(default_factory=dict)
    sent: dict[int, Sent] = field(default_factory=dict)
    storing_round: int = 0
    orders: Halts = NO_HALTS
    active: tuple[halt.Order, ...] = ()
    cleared: frozenset[str] = frozenset()
    heard: dict[tuple[str, int], bytes] = field(default_factory=dict)
    conflicts: list[frozenset[bytes]] = field(default_factory=list)
    ahead: dict[int, Beat] = field(default_factory=dict)
    fetched: set[int] = field(default_factory=set)
    told: dict[frozenset[bytes], str] = field(default_factory=dict)
    evidence: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    holds: tuple[Hold, ...] = ()
    lease: Lease | None = None
    lease_sent: Sent | None = None
    best_seq: int = 0

    def restarted(self, stored: marks.Marks | None) -> None:
        """Forget what a new process cannot know."""
        self.rounds.clear()
        self.sent.clear()
        self.lease, self.holds = None, ()
        self.heard, self.conflicts = {}, []
        self._order(NO_HALTS)
        self.ahead, self.fetched = {}, set()
        if stored is not None:
            self._order(NO_HALTS.union(halt.reread(raw.encode()) for raw in stored.halts))
            kept = [(_pair(*latch.envelopes), latch.evidence) for latch in stored.latches]
            self.conflicts = [pair for pair, _ in kept]
            for pair, evidence in kept:
                self.told.setdefault(pair, evidence)
            self.heard = {
                (issuer, mark.seq): mark.envelope.encode() for issuer, mark in stored.beats.items()
            }

    def shown(
        self, truth: Truth, round_number: int, peer: PeerId, found: Found, is_live: IsLive
    ) -> None:
        """A reply to the current round reaches the follower.

        Args:
            truth: What was signed.
            round_number: Of the round.
            peer: Who answered.
            found: What.
            is_live: Whether a beat is live by the clock of this sidecar, now. One from the future
                is not: it forbids nothing until it is served again.
        """
        served = self.rounds.setdefault(round_number, {}).setdefault(peer, set())
        for key, values in found.items():
            if key in truth.beat_keys:
                for raw in values:
                    self._beat(truth.beats_by_raw.get(raw), raw, served, is_live)
            elif key in truth.epochs_by_key:
                epoch, raw = truth.epochs_by_key[key]
                if values and values[0] == raw:
                    self.fetched.add(epoch.seq)
            elif key == truth.halts_key:
                self._order(truth.more(self.orders, values))

    def _order(self, orders: Halts) -> None:
        if orders.seq != self.orders.seq:
            self.orders = orders
            # Reckoned here once more: the code under test has its own opinion about both.
            self.cleared = frozenset(o.says.clears for o in orders.orders if o.says.clears)
            self.active = tuple(
                order
                for order in orders.orders
                if order.says.clears is None and order.says.halt_id not in self.cleared
            )

    def _beat(
        self, signed: SignedBeat | None, raw: bytes, served: set[Named], is_live: IsLive
    ) -> None:
        if signed is None:
            return
        served.add(signed.named)
        known = self.ahead.get(signed.named[0])
        newer = known is None or known.says.issued_at < signed.beat.says.issued_at
        if newer and is_live(signed.beat):
            self.ahead[signed.named[0]] = signed.beat
        first = self.heard.setdefault((signed.beat.issuer, signed.beat.seq), raw)
        if first != raw and len(self.conflicts) < LATCHES_MAX:  # more are not kept, by design
            self.conflicts.append(frozenset((first, raw)))


def _pair(*envelopes: str) -> frozenset[bytes]:
    return frozenset(raw.encode() for raw in envelopes)
