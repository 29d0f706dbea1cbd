"""The sidecar's side of the protocol: events in, commands out.

Rules:

1. A round reads every peer once. Its lease counts from the instant the reads were sent, and only
   answers to *this* round count: a late one is dropped.
2. One valid order on one peer stops at once; a quorum is needed to run. So halts are applied as
   each reply arrives, before anything is stored, and a lease only when enough peers agree.
3. Stored before published: a lease reaches the gate after the marks behind it are durable. A
   restriction is published first and stored after: stopping never waits for a disk. A newer trust
   document is stored before it is used, one version at a time; no lease is granted meanwhile.
4. A failed round publishes no lease. Nothing is taken away either: the old lease runs out.
5. A lease is extended only by a beat that is strictly newer than the newest one used before, also
   across restarts (marks).
6. A verified, live beat for a higher epoch on any peer forbids renewal under a lower one. If that
   epoch says `immediate`, the lease under the lower one ends now.
7. A contradiction between two signed objects latches, is kept as evidence, and is told.
8. What runs here must be what the epoch demands: no lease else, and a running one is held at once.
9. All decisions are functions of (state, event, now); sets are never iterated; no randomness.

One round at a time, one store at a time. This is the one place that branches on events; each step
is a function in the file that owns the concept: `reply` (votes), `quorum` (counting), `granting`
(from an agreement to a lease), `reporter` (reports and what covers them), `horizon` (newer epochs),
`lifecycle` (how far a round came).

Source: protocol b.3; hardening E-G1 to E-G4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from sidecar.core import events as ev
from sidecar.core import lifecycle as steps
from sidecar.core.accepted import Accepted
from sidecar.core.archive import Missing
from sidecar.core.granting import Granted, Granting
from sidecar.core.hearing import Hearing
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.lifecycle import Course
from sidecar.core.marks import Marks
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.halt import Order
from sidecar.core.objects.trust import Role, Trust, TrustRef
from sidecar.core.quorum import Agreement, PeerId, Split, TooFew, Vote
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.reporter import Said
from sidecar.core.round import Round
from sidecar.core.setting import JITTER, Setting
from sidecar.core.snapshot import Hold, Snapshot

__all__ = ["Follower", "Setting"]

GLANCE = 0  # number of reads that belong to no round


@dataclass(frozen=True, slots=True)
class _Storing:
    """What is on its way to the disk, and what to do once it is there."""

    generation: int
    granted: Granted | None
    rotates: bool


class Follower:
    """Turns replies of peers into snapshots.

    Args:
        trust: The trust document in force.
        setting: What it is told once.
        marks: What was stored, or None on a first boot.
    """

    def __init__(self, trust: Trust, setting: Setting, marks: Marks | None) -> None:
        self._setting = setting
        self._accepted = Accepted(trust, marks, setting.service, setting.instance)
        last_wall = WallMs(0 if marks is None else marks.last_wall)
        self._granting = Granting(trust, setting, self._accepted, last_wall)
        self._reporter, self._integrity = self._granting.reporter, self._granting.integrity
        self._hearing = Hearing(self._accepted, self._granting)
        self._trust = trust
        self._now = Now(BootNs(0), WallMs(0))  # of the event being handled
        self._round = Round(0, self._now, 0.0, ())
        self._course = Course()
        self._again = False
        self._glances: set[PeerId] = set()
        self._passing: tuple[Hold, ...] = ()  # what the latest beats ask for
        self._storing: _Storing | None = None
        self._unstored = False  # whether the latest store failed
        first = Snapshot(routes=self._accepted.routes).under(trust)
        self._snapshot = self._accepted.imposed(first)

    @property
    def snapshot(self) -> Snapshot:
        """What was last published, or what to publish first."""
        return self._snapshot

    def handle(self, event: ev.Event, now: Now) -> list[ev.Command]:
        """Take one event.

        Args:
            event: What happened.
            now: Both clocks, read for this call.

        Returns:
            What to do, in this order.
        """
        if isinstance(event, ev.Ticked):
            return self._compare_clocks(now)
        self._now = now = self._accepted.corrected(now, self._granting.tight)
        match event:
            case ev.RoundDue() | ev.Hinted():
                return self._begin(event, now)
            case ev.PeerReplied() | ev.PeerFailed():
                if event.round == GLANCE:
                    return self._glanced(event, now)
                if event.round != self._round.number or event.peer not in self._round.waiting:
                    return []  # rule 1: an answer to another round proves nothing about this one
                return self._answered(event, now)
            case ev.Stored() | ev.StoreFailed():
                return self._stored(event, now)
            case ev.Measured(found=found):
                self._integrity.found = found
                return self._publish() if self._effective() != self._snapshot else []
            case _:  # pragma: no cover
                assert_never(event)

    # -- a round ---------------------------------------------------------------------------------

    def _begin(self, event: ev.RoundDue | ev.Hinted, now: Now) -> list[ev.Command]:
        self._again = bool(self._round.waiting)
        if self._again or (isinstance(event, ev.Hinted) and event.peer is not None):
            return self._glance(event)
        peers = self._setting.peers
        self._round = Round(self._round.number + 1, now, event.jitter, peers)
        self._course.begin(now, self._ground)
        self._hearing.forget()
        writes: tuple[ev.WriteCommand, ...] = ()
        if self._reporter is not None and event.nonce:
            writes = self._reporter.write(event.nonce, self._said(event.standing), now)
        return [self._hearing.read(peer, self._round.number, writes) for peer in peers]

    def _glance(self, event: ev.RoundDue | ev.Hinted) -> list[ev.Command]:
        """A peer says that something is new: orders do not wait for the rest, a round does."""
        peer = event.peer if isinstance(event, ev.Hinted) else None
        if peer is None or peer in self._round.waiting or peer in self._glances:
            return []
        self._glances.add(peer)
        return [self._hearing.glance(peer, GLANCE)]

    def _glanced(self, event: ev.PeerReplied | ev.PeerFailed, now: Now) -> list[ev.Command]:
        if event.peer not in self._glances:
            return []
        self._glances.discard(event.peer)
        commands: list[ev.Command] = []
        if isinstance(event, ev.PeerReplied):
            commands += self._take_orders(self._hearing.orders(event, now))
        return commands if self._round.waiting else [*commands, ev.WakeAfter(0)]

    def _answered(self, event: ev.PeerReplied | ev.PeerFailed, now: Now) -> list[ev.Command]:
        this = self._round
        key = this.waiting.pop(event.peer)
        commands: list[ev.Command] = []
        if isinstance(event, ev.PeerFailed):
            this.results[event.peer] = event.kind
        elif key is None:
            commands += self._vote(event, now)
        else:
            good = all(self._granting.archive.add(key, raw) for raw in event.found.get(key, ()))
            this.fetched(event.peer, key, good=good)
        commands += self._conclude(now)
        return commands if this.waiting else [*commands, *self._end(now)]

    def _vote(self, event: ev.PeerReplied, now: Now) -> list[ev.Command]:
        this, meant = self._round, self._hearing.hear(event, now)
        if event.wrote:
            this.took.add(event.peer)
        this.votes[event.peer] = Vote(meant.beats)
        this.faults.update(dict.fromkeys(meant.faults))
        this.results[event.peer] = meant.result
        commands = [command for found in meant.conflicts for command in self._latch(found)]
        if meant.successor is not None:
            commands += self._succeed(meant.successor)
        return [*commands, *self._take_orders(meant.orders), *self._obey(meant.beats, now)]

    def _latch(self, conflict: ev.Conflict) -> list[ev.Command]:
        new = self._accepted.latch(conflict)
        return [conflict, *self._publish(), *self._store(None)] if new else []

    def _take_orders(self, orders: Sequence[Order]) -> list[ev.Command]:
        new = self._accepted.add_orders(orders)
        return [*self._publish(), *self._store(None)] if new else []

    def _obey(self, beats: Sequence[Beat], now: Now) -> list[ev.Command]:
        holds = self._demanded(beats, now)
        if set(holds) <= set(self._passing):
            return []
        self._passing = tuple(dict.fromkeys((*self._passing, *holds)))
        return self._publish()

    def _demanded(self, beats: Sequence[Beat], now: Now) -> tuple[Hold, ...]:
        return self._accepted.demanded(beats, lambda beat: self._granting.live(beat, now))

    # -- trust -----------------------------------------------------------------------------------

    def _succeed(self, successor: Trust) -> list[ev.Command]:
        """A newer trust document is stored before it is used (rule 3)."""
        rival = self._accepted.rivals(successor)
        if rival is not None:
            return self._latch(rival)
        if self._accepted.successor is not None:
            return []
        self._accepted.successor = successor
        self._accepted.dirty = True
        return self._store(None)

    def _adopt(self) -> list[ev.Command]:
        before, after = self._trust, self._accepted.adopt()
        self._trust = after
        self._granting.under(after)
        self._hearing.under(after)
        self._round.void = True  # its votes were judged by the document before
        self._snapshot = self._snapshot.under(after)
        current = self._snapshot.lease
        if current is not None:
            mark = self._accepted.epoch
            if not after.keys[Role.BEAT].keys() >= set(current.issuers):
                self._drop(Reason.KEY_REVOKED)
            elif mark is None or mark.sha256 != current.epoch_sha256:  # raised, or fell back
                self._drop(Reason.EPOCH_SUPERSEDED)
        self._again = True  # there may be a newer one still
        told = ev.TrustAdopted(after.version, after.sha256, before.sha256, after.raw)
        commands: list[ev.Command] = [told, *self._publish()]
        return commands if self._round.waiting else [*commands, ev.WakeAfter(0)]

    # -- agreement -------------------------------------------------------------------------------

    def _conclude(self, now: Now) -> list[ev.Command]:
        result = self._round.tally(self._granting.quorum)
        match result:
            case Split(one=one, other=other):
                # A cleared contradiction may still be served; a newer epoch ends the lease anyway.
                return [*self._latch(self._accepted.split(one, other)), *self._look_up_ahead(now)]
            case TooFew():
                return self._look_up_ahead(now)
            case Agreement():
                commands: list[ev.Command] = []
                try:
                    commands = self._advance(result, now)
                except ProtocolError as error:
                    self._round.deny(error.reason)
                # A newer epoch that cannot be entered, or not yet, may still end the older lease.
                return [*commands, *self._look_up_ahead(now)]

    def _look_up_ahead(self, now: Now) -> list[ev.Command]:
        """Rule 6: a newer epoch may end the lease under the older one at once."""
        current = self._snapshot.lease
        if current is None:
            return []
        try:
            found = self._granting.superseding(current, now)
        except ProtocolError as error:
            self._round.fault(error.reason)
            return []
        if isinstance(found, Missing):
            return [*self._round.ask(found)]
        if found is None:
            return []
        self._granting.horizon.end_below(found.seq)
        return self._drop(Reason.EPOCH_SUPERSEDED)

    def _advance(self, agreed: Agreement, now: Now) -> list[ev.Command]:
        evidence: steps.Evidence = {"peers": list(agreed.peers), "epoch": agreed.epoch_seq}
        self._course.passed(steps.SYNCHRONIZATION, now, evidence)
        conflict = self._accepted.contradicts(agreed)
        if conflict is not None:
            self._round.deny(conflict.reason)
            return self._latch(conflict)
        if self._round.void or self._storing is not None or self._accepted.successor is not None:
            return []  # one store at a time; the beat stays newer and is used with the next reply
        current = self._snapshot.lease
        found = self._granting.judge(agreed, self._round, current, self._course, now)
        if isinstance(found, Missing):
            return [*self._round.ask(found)]
        return [] if found is None else self._store(found)

    # -- what follows ----------------------------------------------------------------------------

    def _end(self, now: Now) -> list[ev.Command]:
        this = self._round
        outcome = this.finish(self._granting.quorum)
        if self._unstored:
            this.deny(Reason.STATE_UNWRITABLE)
        faults = this.sorted_faults
        spent_ms = this.spent_ms(now)
        beats = [beat for vote in this.votes.values() for beat in vote.beats]
        if beats:
            self._passing = self._demanded(beats, now)
        before = self._snapshot
        if before.lease is None and before.absent is Reason.STARTING and not self._pending:
            self._snapshot = replace(before, absent=Reason.NOT_SYNCED)
        self._snapshot = replace(self._snapshot, faults=faults, unmet=this.sorted_unmet)
        commands: list[ev.Command] = []
        if self._effective() != before:
            commands += self._publish()
        if this.unmet:
            commands += self._course.failed(now, this.sorted_unmet)
        if self._accepted.dirty:
            commands += self._store(None)
        commands.append(ev.RoundEnded(this.number, this.results, outcome, spent_ms, faults))
        pause_ms = int(self._granting.poll_ms * (1 + JITTER * (2 * this.jitter - 1)))
        commands.append(ev.WakeAfter(0 if self._again else max(1, pause_ms - spent_ms)))
        return commands

    def _compare_clocks(self, now: Now) -> list[ev.Command]:
        wrong = self._granting.watch.look(now, self._granting.tight)
        if wrong is None:
            return []
        self._round.deny(wrong)
        self._round.void = self._again = True
        # What beats gave leaned on that clock. Those that no lease leaned on are reckoned anew.
        self._granting.grants.forget()
        held = self._pending or self._snapshot.lease is not None
        commands = self._drop(wrong) if held else []
        return commands if self._round.waiting else [*commands, ev.WakeAfter(0)]

    def _drop(self, why: Reason) -> list[ev.Command]:
        """The lease ends now."""
        if self._storing is not None:
            self._storing = replace(self._storing, granted=None)
        self._snapshot = replace(self._snapshot, lease=None, absent=why)
        return self._publish()

    def _said(self, standing: ev.Standing) -> Said:
        trust = TrustRef(version=self._trust.version, sha256=self._trust.sha256)
        runtime, halts = self._integrity.reported, self._accepted.halts
        return Said(trust, halts, self._snapshot, self._course.latest, runtime, standing)

    def _effective(self) -> Snapshot:
        holds = (*self._passing, *self._integrity.holds(self._snapshot, self._now))
        return self._accepted.imposed(self._snapshot, *holds)

    def _publish(self) -> list[ev.Command]:
        self._snapshot = self._effective()
        return [ev.Publish(self._snapshot)]

    def _store(self, granted: Granted | None) -> list[ev.Command]:
        if self._storing is not None:
            return []  # what changed meanwhile is stored by the next one: `_stored` looks
        rotates = self._accepted.successor is not None
        body = self._accepted.encode()
        self._storing = _Storing(self._accepted.generation, granted, rotates)
        return [ev.Store(self._accepted.generation, body)]

    def parting(self) -> bytes | None:
        """What has to be stored before this process ends: restrictions are in force before."""
        unstored = self._storing is not None or self._accepted.dirty
        return self._accepted.encode() if unstored else None

    def _stored(self, event: ev.Stored | ev.StoreFailed, now: Now) -> list[ev.Command]:
        storing = self._storing
        if storing is None or storing.generation != event.generation:
            return []
        self._storing = None
        self._unstored = isinstance(event, ev.StoreFailed)
        if self._unstored:
            self._accepted.dirty = True  # tried again at the end of the next round
            self._round.deny(Reason.STATE_UNWRITABLE)
            self._snapshot = replace(
                self._snapshot, faults=self._round.sorted_faults, unmet=self._round.sorted_unmet
            )
            return self._publish()
        commands: list[ev.Command] = []
        if storing.granted is not None:
            commands += self._approve(storing.granted, now)
        if storing.rotates:
            commands += self._adopt()
        if self._accepted.dirty:
            commands += self._store(None)
        return commands

    def _approve(self, granted: Granted, now: Now) -> list[ev.Command]:
        # Between the store and its answer another reply may have shown a newer epoch or document.
        superseded = self._granting.horizon.forbids(granted.lease.epoch_seq)
        if superseded or self._accepted.successor is not None:
            return []
        self._snapshot = granted.on(self._snapshot)
        self._granting.lean(granted)
        evidence: steps.Evidence = {"epoch": granted.epoch.sha256, **self._ground}
        return [*self._publish(), *self._course.approved(granted.trail, now, evidence)]

    @property
    def _pending(self) -> bool:
        return self._storing is not None and self._storing.granted is not None

    @property
    def _ground(self) -> steps.Evidence:
        return {"trust": self._trust.sha256, "marks": self._accepted.generation}
