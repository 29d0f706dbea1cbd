"""What the follower has accepted: marks, halts, latched holds, and what contradicts them.

Rules:

* Numbers only grow. A beat is newer only above the mark of its issuer, an epoch only above the
  marked one.
* Two objects with one number and different content are a contradiction, whichever came first. Both
  are kept. The hold they latch ends only with a clear that names their evidence id.
* Orders only accumulate; a hold is in force exactly while its halt is not cleared.
* Stored orders are not verified again: they were when they were accepted, the file carries a
  digest, and a key that has expired since must not end a halt.
* With a newer trust document, marks of keys that lost their role are forgotten. Where the keys of
  role epoch changed, the epoch's mark falls back to the signed floor: a stolen key may have driven
  it ahead. Nothing else ever lowers a mark. What is stored with a successor is stored as it will be
  under it: a crash before it is in force must not leave it half done.

Source: protocol b.3 (4a, 4c, 6), b.9, b.10, b.11, b.12; TUF 1.0.34 section 5.3.11.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sidecar.core import events, marks, reply, routes, scoped
from sidecar.core.archive import Archive
from sidecar.core.instant import NS_PER_MS, Now, WallMs
from sidecar.core.lease import PPM, Terms
from sidecar.core.marks import Latch, Marks, ObjectMark
from sidecar.core.objects import epoch as epochs
from sidecar.core.objects import halt
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS, Order
from sidecar.core.objects.trust import Mark, Role, Trust, TrustRef
from sidecar.core.quorum import Agreement
from sidecar.core.reason import BY_CODE, Reason
from sidecar.core.removals import Listed
from sidecar.core.routes import NO_ROUTES
from sidecar.core.snapshot import Hold, HoldKind, Snapshot, hardest_first

K = TypeVar("K")
V = TypeVar("V")

HEARD_MAX = 1024  # beats remembered for contradictions: minutes of them, and megabytes
LATCHES_MAX = 16  # contradictions kept; the gate is held by the first, more add nothing
JUMP_MAX = 1_000_000_000  # numbers that a stream may go ahead at once: fifteen years of beats


class Accepted:
    """The follower's memory, and the part of it that is stored.

    Args:
        trust: The trust document in force.
        stored: What was stored, or None on a first boot.
        service: The service behind; empty: unknown, and every service is meant.
        instance: Name of this sidecar; likewise.

    Attributes:
        epoch: Mark of the highest epoch accepted.
        held_since: When that epoch was first leaned on by this process, or None.
        successor: A verified newer trust document that is being stored, or None.
        halts: Every order known.
        routes: Route table of the marked epoch.
        generation: Counts what was handed out to be stored.
        dirty: Whether something changed since.
    """

    def __init__(
        self, trust: Trust, stored: Marks | None, service: str = "", instance: str = ""
    ) -> None:
        self._trust = trust
        self._service, self._instance = service, instance
        self._beats: dict[str, ObjectMark] = {} if stored is None else dict(stored.beats)
        self._latches: tuple[Latch, ...] = () if stored is None else stored.latches
        self._heard: dict[tuple[str, int], tuple[str, bytes]] = {
            (issuer, mark.seq): (mark.sha256, mark.envelope.encode())
            for issuer, mark in self._beats.items()
        }
        self._raws: dict[str, bytes] = {}  # beat digest -> its envelope; two may share a number
        self._demanding: dict[str, Beat] = {}  # issuer -> the beat of it that demands most
        self._route_text = None if stored is None else stored.routes
        self._last_wall = 0 if stored is None else stored.last_wall
        self._proved: Now | None = None  # what the wall clock must have shown by a boot time
        # What was pinned is in the pinned file; what came over the peers is nowhere else.
        self._carried = stored is not None and stored.trust_envelope is not None
        self.epoch = None if stored is None else _floored(stored.epoch, trust, fallen=False)
        self.held_since: Now | None = None
        self.successor: Trust | None = None
        self.generation = 0 if stored is None else stored.generation
        self.halts = NO_HALTS
        self._taken: Sequence[Order] = ()
        self.routes = NO_ROUTES
        self.dirty = False
        if stored is not None:
            self.halts = NO_HALTS.union(halt.reread(raw.encode()) for raw in stored.halts)
        self._standing = self.halts.standing(trust)
        if self._route_text is not None:
            self.routes = routes.parse(self._route_text.encode())

    def corrected(self, now: Now, terms: Terms) -> Now:
        """Both clocks, the wall clock not behind what accepted beats prove.

        Each had been issued when it came, and the boot clock has counted since. A wall clock that
        was set back further than two clocks may differ would take beats that somebody held back
        for fresh ones, and renew a lease with them for as long as it is wrong.
        """
        if self._proved is None or terms.freshness == "nonce":
            return now
        # Twice: the authority's clock may have been corrected too, within the same bound.
        least = _proved_by(self._proved, now, terms) - 2 * terms.skew_ms
        return Now(now.boot, max(now.wall, WallMs(least)))

    def outdated(self, named: Mark) -> bool:
        """Whether an epoch is older than the accepted one, or than the trust document permits."""
        floor = self._trust.body.floors.epoch
        if floor is not None and (named.seq < floor.seq or _other(named, floor)):
            return True
        return self.epoch is not None and named.seq < self.epoch.seq

    def newer(self, beat: Beat) -> bool:
        """Whether a beat is strictly newer than every one that a lease has leaned on."""
        mark = self._beats.get(beat.issuer)
        floor = self._trust.body.floors.beat.get(beat.issuer, 0)
        return beat.seq >= floor and (mark is None or beat.seq > mark.seq)

    def behind(self, beat: Beat) -> bool:
        """Whether a beat is older than one that a lease has leaned on."""
        mark = self._beats.get(beat.issuer)
        return mark is not None and beat.seq < mark.seq

    def listed(self) -> Listed | None:
        """What the marked epoch lists; None where that is not kept: a first boot, or a floor.

        The name of its policy is not kept either; the ceremony looks at that.
        """
        if self.epoch is None or not self.epoch.envelope or self._route_text is None:
            return None
        said = epochs.reread(self.epoch.envelope.encode())
        return Listed(said.scope.services, routes.parse(self._route_text.encode()), "")

    def jumps(self, beat: Beat) -> bool:
        """Whether a number is further ahead than any stream can have come."""
        mark = self._beats.get(beat.issuer)
        floor = self._trust.body.floors.beat.get(beat.issuer, 0)
        return beat.seq > max(floor, 0 if mark is None else mark.seq) + JUMP_MAX

    def accept(
        self, epoch: Epoch, beats: Iterable[Beat], archive: Archive, now: Now, terms: Terms
    ) -> None:
        """Raise the marks to what a lease is about to lean on."""
        raw = archive.envelope(epoch.sha256).decode()
        if self.held_since is None or self.epoch is None or self.epoch.sha256 != epoch.sha256:
            self.held_since = now
        self.epoch = ObjectMark(seq=epoch.seq, sha256=epoch.sha256, envelope=raw)
        for beat in beats:
            if self.newer(beat):
                self._beats[beat.issuer] = ObjectMark(
                    seq=beat.seq, sha256=beat.sha256, envelope=self._raw(beat).decode()
                )
                self._prove(beat, now, terms)
        self._route_text = archive.route_bytes(epoch.says.routes.sha256).decode()
        self._last_wall = now.wall
        self.dirty = True

    def _prove(self, beat: Beat, now: Now, terms: Terms) -> None:
        # What proves most is kept: beats that somebody holds back, each a little longer than the
        # one before, must not lead a slow clock along.
        proved = self._proved
        if proved is None or beat.says.issued_at > _proved_by(proved, now, terms):
            self._proved = Now(now.boot, WallMs(beat.says.issued_at))

    def adopt(self) -> Trust:
        """The successor is durable: it is in force from now on."""
        after = self.successor
        assert after is not None, "stored"
        self.epoch, self._beats = self._marks_under(after)
        self._demanding = _of(after, self._demanding)
        self._trust, self.successor, self._carried = after, None, True
        self._standing = self.halts.standing(after)
        return after

    def rivals(self, successor: Trust) -> events.Conflict | None:
        """A conflict if root signed another successor than the one that is being stored."""
        known = self.successor
        if known is None or known.sha256 == successor.sha256:
            return None
        named = (known.sha256, successor.sha256)
        return _contradiction(Reason.EQUIVOCATION, named, (known.raw, successor.raw))

    def _marks_under(self, after: Trust) -> tuple[ObjectMark | None, dict[str, ObjectMark]]:
        fallen = self._trust.changed(after, Role.EPOCH)
        return _floored(self.epoch, after, fallen=fallen), _of(after, self._beats)

    def add_orders(self, orders: Sequence[Order]) -> bool:
        """Take verified orders; say whether any was new."""
        if orders is self._taken:
            return False  # as most replies hold what the one before did
        halts, self._taken = self.halts.union(orders), orders
        if halts.seq == self.halts.seq:
            return False
        self.halts = halts
        self._standing = halts.standing(self._trust)
        self.dirty = True
        return True

    def holds(self, *passing: Hold) -> tuple[Hold, ...]:
        """Every hold in force: halts, latches that no clear names, and the passing ones."""
        cleared = self._cleared_evidence()
        halts = (
            Hold(reason, HoldKind.STICKY, order.says.halt_id)
            for order in self.halts.active
            if (reason := scoped.stops(order.says.scope, self._service, self._instance))
        )
        latches = (
            Hold(BY_CODE[latch.reason], HoldKind.LATCHED, latch.evidence)
            for latch in self._latches
            if latch.evidence not in cleared
        )
        # The trust document says how many orders there are at least: fewer are not all of them.
        if self.halts.seq < self._trust.body.floors.halt:
            passing = (*passing, Hold(Reason.HALT_WITHHELD, HoldKind.PASSING))
        return hardest_first((*halts, *latches, *passing))

    def imposed(self, on: Snapshot, *passing: Hold) -> Snapshot:
        """A snapshot under every order and latch known, and the passing holds."""
        compiled = scoped.compiled(self.halts, on.epoch, on.policy, on.scoped)
        return replace(on, halts=self.halts, scoped=compiled, holds=self.holds(*passing))

    def demanded(
        self, beats: Iterable[Beat], live: Callable[[Beat], bool] = lambda _: False
    ) -> tuple[Hold, ...]:
        """What beats order beyond their epoch: to stop, and to know every halt.

        A demand stands until it is met, or until its beat is too old for a lease to lean on it.
        Else whoever serves an older beat in the next round would lift it.

        Args:
            beats: What peers serve now.
            live: Whether a beat from before still counts.
        """
        self._demanding = {key: beat for key, beat in self._demanding.items() if live(beat)}
        holds: dict[Hold, None] = {}
        for beat in (*beats, *self._demanding.values()):
            orders = self._ordered(beat)
            holds |= dict.fromkeys(orders)
            known = self._demanding.get(beat.issuer)
            if orders and (known is None or _demand(beat) > _demand(known)):
                self._demanding[beat.issuer] = beat
        return tuple(holds)

    def _ordered(self, beat: Beat) -> tuple[Hold, ...]:
        # What a revocation voided and a clear settled is named by authorities no more.
        pinned, ours, standing = beat.says.halts, self.halts, self._standing
        if pinned.seq < standing.seq:
            return ()  # a smaller set is only older than ours
        holds = []
        if beat.says.state == "halt" and not ours.stops_everything:
            holds.append(Hold(Reason.HALT_GLOBAL, HoldKind.PASSING))
        # An equal number with another digest means that two authorities each know an order that
        # the other lacks: not yet a lie, so it is waited for like any order that cannot be read.
        same = ((known.seq, known.sha256) for known in (ours, standing))
        if (pinned.seq, pinned.sha256) not in same:
            holds.append(Hold(Reason.HALT_WITHHELD, HoldKind.PASSING))
        return tuple(holds)

    def _cleared_evidence(self) -> frozenset[str]:
        # Who holds a halt key chooses the id of a halt. One that is also the id of some evidence
        # must not get that cleared together with the halt: such a clear ends the halt alone.
        halts = (order for order in self.halts.orders if order.says.action == "halt")
        return self.halts.cleared - {order.says.halt_id for order in halts}

    def witness(self, beat: Beat, raw: bytes) -> events.Conflict | None:
        """Remember a verified beat; return a conflict if another one has its number."""
        key = (str(beat.issuer), beat.seq)
        _remember(self._raws, beat.sha256, raw)
        known = self._heard.get(key, (beat.sha256, raw))
        _remember(self._heard, key, known)
        if known[0] == beat.sha256:
            return None
        # The id is that of the signed bytes: anybody may wrap them anew, and would else latch them
        # again after their clear.
        return _contradiction(Reason.EQUIVOCATION, (known[0], beat.sha256), (known[1], raw))

    def split(self, one: Beat, other: Beat) -> events.Conflict:
        """Two live beats that name one epoch number with different digests."""
        named = (one.says.epoch.sha256, other.says.epoch.sha256)
        return _contradiction(Reason.AUTHORITY_CONFLICT, named, (self._raw(one), self._raw(other)))

    def contradicts(self, agreed: Agreement) -> events.Conflict | None:
        """A quorum for another epoch with the number that we have accepted."""
        mark = self.epoch
        if mark is None or mark.seq != agreed.epoch_seq or mark.sha256 == agreed.epoch_sha256:
            return None
        named = (mark.sha256, agreed.epoch_sha256)
        # A floor has no envelope: the trust document that names it is its evidence.
        raws = (mark.envelope.encode() or self._trust.raw, self._raw(agreed.beats[0]))
        return _contradiction(Reason.EQUIVOCATION, named, raws)

    @property
    def quarantined(self) -> bool:
        """Whether a contradiction is not cleared yet."""
        cleared = self._cleared_evidence()
        return any(latch.evidence not in cleared for latch in self._latches)

    def latch(self, conflict: events.Conflict) -> bool:
        """Hold the gate until a clear names the evidence; False when it is held already."""
        if any(latch.evidence == conflict.evidence for latch in self._latches):
            return False
        cleared = self._cleared_evidence()
        if sum(latch.evidence not in cleared for latch in self._latches) >= LATCHES_MAX:
            return False
        latch = Latch(
            reason=conflict.reason.code,
            evidence=conflict.evidence,
            envelopes=tuple(raw.decode() for raw in conflict.envelopes),
        )
        self._latches = (*self._latches, latch)
        self.dirty = True
        return True

    def encode(self) -> bytes:
        """The bytes to store now."""
        self.generation += 1
        self.dirty = False
        trust, carried = self._trust, self._carried
        epoch, beats = self.epoch, self._beats
        if self.successor is not None:
            trust, carried = self.successor, True
            epoch, beats = self._marks_under(trust)
        return marks.encode(
            Marks(
                type=marks.TYPE,
                domain=self._trust.domain,
                generation=self.generation,
                trust=TrustRef(version=trust.version, sha256=trust.sha256),
                trust_envelope=trust.raw.decode() if carried else None,
                epoch=epoch,
                beats=beats,
                halts=tuple(order.raw.decode() for order in self.halts.orders),
                latches=self._latches,
                routes=self._route_text,
                last_wall=self._last_wall,
                former=marks.former(trust),
            )
        )

    def _raw(self, beat: Beat) -> bytes:
        return self._raws[beat.sha256]


def _floored(mark: ObjectMark | None, trust: Trust, *, fallen: bool) -> ObjectMark | None:
    # What root says about the past is final: also that another epoch was meant by this number.
    floor = trust.body.floors.epoch
    if floor is None or (mark is not None and mark.sha256 == floor.sha256):
        return mark
    if mark is not None and mark.seq > floor.seq and not fallen:
        return mark
    return ObjectMark(seq=floor.seq, sha256=floor.sha256, envelope="")


def _proved_by(proved: Now, now: Now, terms: Terms) -> int:
    """The least that the authority's clock can show now, milliseconds since 1970."""
    passed_ms = (now.boot - proved.boot) // NS_PER_MS * (PPM - terms.drift_ppm) // PPM
    return proved.wall + passed_ms


def _of(trust: Trust, said: Mapping[str, V]) -> dict[str, V]:
    """What issuers said that still have their role."""
    return {issuer: item for issuer, item in said.items() if issuer in trust.keys[Role.BEAT]}


def _remember(memory: dict[K, V], key: K, value: V) -> None:
    """Keep the latest `HEARD_MAX` entries; what is heard again is late again."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > HEARD_MAX:
        del memory[next(iter(memory))]


def _other(one: Mark, two: Mark) -> bool:
    return one.seq == two.seq and one.sha256 != two.sha256


def _demand(beat: Beat) -> tuple[int, bool, int]:
    """How much a beat demands: the set with more orders is the harder one to have met."""
    return (beat.says.halts.seq, beat.says.state == "halt", beat.says.issued_at)


def _contradiction(
    reason: Reason, named: tuple[str, str], envelopes: tuple[bytes, bytes]
) -> events.Conflict:
    """Two objects with one number, by their digests. What proves it may come in many envelopes.

    For a forked epoch the id is that of the epochs: each new beat proves the same again.
    """
    evidence = reply.evidence_id(sha256.encode() for sha256 in named)
    return events.Conflict(reason, evidence, envelopes)
