"""What one sidecar has been shown, and what it has done: reckoned beside the code under test."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.core import marks
from sidecar.core.accepted import JUMP_MAX, LATCHES_MAX
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.lease import PPM, Lease
from sidecar.core.objects import halt
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.halt import NO_HALTS, Halts
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.quorum import PeerId
from sidecar.core.snapshot import Hold
from tests.simulation.peers import Found
from tests.simulation.scenario import Scenario
from tests.simulation.truth import Made, Named, SignedBeat, Truth

IsLive = Callable[[Beat], bool]


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
        process: Name and life of its machine.
        since: Version of the trust document from which it has walked, restarts included.
        version: Version of the one in force.
        stored_version: The highest that is durable, restarts included.
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
        offered: Digest of a beat -> when the reads left that first brought it to this process, of
            those that it has not forgotten since.
        forgot_ns: True time at which it last had to forget what beats gave, -1 for never.
        fetched: Digests of epochs shown since the last lease.
        proved: Digest of a beat -> the report of this process that it covers, as a proof that came
            with it showed.
        used: Digests of beats that a lease has leaned on, restarts included.
        taken: Digests of orders that snapshots have carried, restarts included.
        served: Digests of epochs that leases were for, restarts included.
        holds: Those of the latest snapshot.
        lease: What the latest snapshot carried.
        lease_sent: When the reads behind it were sent.
        best_seq: Highest epoch number behind a permit, restarts included.
        ticked: Both clocks at the last tick.
        stepped_ns: True time of the last tick that found the clocks apart, -1 for never.
    """

    process: tuple[str, int] = ("", 0)
    since: int = 1
    version: int = 1
    stored_version: int = 1
    rounds: dict[int, dict[PeerId, set[Named]]] = field(default_factory=dict)
    sent: dict[int, Sent] = field(default_factory=dict)
    storing_round: int = 0
    orders: Halts = NO_HALTS
    active: tuple[halt.Order, ...] = ()
    cleared: frozenset[str] = frozenset()
    heard: dict[tuple[str, int], bytes] = field(default_factory=dict)
    conflicts: list[frozenset[bytes]] = field(default_factory=list)
    ahead: dict[int, Beat] = field(default_factory=dict)
    offered: dict[str, Sent] = field(default_factory=dict)
    forgot_ns: int = -1
    fetched: set[str] = field(default_factory=set)
    proved: dict[str, Made] = field(default_factory=dict)
    told: dict[frozenset[bytes], str] = field(default_factory=dict)
    evidence: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    served: set[str] = field(default_factory=set)
    holds: tuple[Hold, ...] = ()
    lease: Lease | None = None
    lease_sent: Sent | None = None
    best_seq: int = 0
    ticked: Now | None = None
    stepped_ns: int = -1

    def restarted(self, stored: marks.Marks | None, process: tuple[str, int], trust: Trust) -> None:
        """Forget what a new process cannot know."""
        self.process, self.version = process, trust.version
        if stored is None:
            self.since = trust.version
        self.rounds.clear()
        self.sent.clear()
        self.lease, self.holds, self.ticked, self.stepped_ns = None, (), None, -1
        self.heard, self.conflicts = {}, []
        self._order(NO_HALTS)
        self.ahead, self.fetched, self.proved = {}, set(), {}
        self.forget(-1)
        if stored is not None:
            self._order(NO_HALTS.union(halt.reread(raw.encode()) for raw in stored.halts))
            kept = [(_pair(*latch.envelopes), latch.evidence) for latch in stored.latches]
            self.conflicts = [pair for pair, _ in kept]
            for pair, evidence in kept:
                self.told.setdefault(pair, evidence)
            self.heard = {
                (issuer, mark.seq): mark.envelope.encode() for issuer, mark in stored.beats.items()
            }

    def forget(self, true_ns: int) -> None:
        """No lease is reckoned any more from a beat of a round that began before."""
        self.offered, self.forgot_ns = {}, true_ns

    def adopted(self, before: Trust, after: Trust, true_ns: int) -> None:
        """Another trust document is in force: what it takes back is not held against anybody."""
        self.version = after.version
        self.forget(true_ns)
        keys = after.keys[Role.BEAT]
        self.ahead = {seq: beat for seq, beat in self.ahead.items() if beat.issuer in keys}
        if before.keys[Role.EPOCH] != after.keys[Role.EPOCH]:
            self.ahead = {}
            floor = after.body.floors.epoch
            self.served = self.served if floor is None else set()
            # What stolen keys drove ahead falls back to what root says.
            self.best_seq = min(self.best_seq, 0 if floor is None else floor.seq)

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
        self._prove(truth, found)
        served = self.rounds.setdefault(round_number, {}).setdefault(peer, set())
        doc, sent = truth.trusts[self.version], self.sent[round_number]
        for key, values in found.items():
            if truth.beat_keys.get(key) in doc.keys[Role.BEAT]:
                for signed in [
                    truth.beats_by_raw[raw] for raw in values if raw in truth.beats_by_raw
                ]:
                    if sent.true_ns >= self.forgot_ns:
                        self.offered.setdefault(signed.beat.sha256, sent)
                    self._beat(signed, values[0], served, doc, is_live)
            elif key in truth.epochs_by_key:
                epoch, raw = truth.epochs_by_key[key]
                if values and values[0] == raw:
                    self.fetched.add(epoch.sha256)
            elif key == truth.halts_key:
                self.ordered(truth, values)

    def _prove(self, truth: Truth, found: Found) -> None:
        # A proof counts with its beat: without the root that this signs it proves nothing.
        raws = (raw for values in found.values() for raw in values)
        here = {truth.beats_by_raw[raw].beat.sha256 for raw in raws if raw in truth.beats_by_raw}
        for beat_sha256, report_sha256 in truth.proved(found):
            made = truth.reports.get(report_sha256)
            if beat_sha256 in here and made is not None and made.process == self.process:
                self.proved[beat_sha256] = made

    def ordered(self, truth: Truth, raws: tuple[bytes, ...]) -> None:
        """Orders reach the follower."""
        shown = [order for raw in raws if (order := truth.orders.get(raw)) is not None]
        known = [order for order in shown if truth.readable(order, self.since, self.version)]
        if known:
            self._order(self.orders.union(known))

    def _order(self, orders: Halts) -> None:
        if orders.seq != self.orders.seq:
            self.orders = orders
            # Reckoned here once more: the code under test has its own opinion about both.
            self.cleared = frozenset(o.says.clears for o in orders.orders if o.says.clears)
            self.active = tuple(
                order
                for order in orders.orders
                if order.says.clears is None
                and order.says.scope.kind != "drill"
                and order.says.halt_id not in self.cleared
            )

    def _beat(
        self,
        signed: SignedBeat,
        raw: bytes,
        served: set[Named],
        doc: Trust,
        is_live: IsLive,
    ) -> None:
        if signed.beat.issuer not in doc.keys[Role.BEAT]:
            return
        first = self.heard.setdefault((signed.beat.issuer, signed.beat.seq), raw)
        if first != raw and len(self.conflicts) < LATCHES_MAX:  # more are not kept, by design
            self.conflicts.append(frozenset((first, raw)))
        if signed.beat.says.trust.sha256 != doc.sha256:
            return
        served.add(signed.named)
        floor = doc.body.floors.epoch
        known = self.ahead.get(signed.named[0])
        newer = known is None or known.says.issued_at < signed.beat.says.issued_at
        named = floor is None or floor.seq < signed.named[0]
        if newer and named and signed.beat.seq < JUMP_MAX and is_live(signed.beat):
            self.ahead[signed.named[0]] = signed.beat

    def is_live(self, shown: Beat, scenario: Scenario, now: Now) -> bool:
        """Whether a lease might lean on a beat now: the rule once more, in other words."""
        ttl_ms = min(shown.says.ttl_ms, scenario.ttl_ms)
        if scenario.freshness == "nonce":
            made = self.proved.get(shown.sha256)
            if made is None:
                return False
            left_ns = ttl_ms * NS_PER_MS * (PPM - scenario.drift_ppm) // PPM
            return now.boot < made.now.boot + left_ns and now.wall < made.now.wall + ttl_ms
        dated, skew_ms = shown.says.issued_at, scenario.skew_ms
        return dated - skew_ms <= now.wall < dated + ttl_ms - skew_ms


def _pair(*envelopes: str) -> frozenset[bytes]:
    return frozenset(raw.encode() for raw in envelopes)
