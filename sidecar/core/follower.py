"""The sidecar's side of the protocol: events in, commands out.

Rules:

1. A round reads every peer once. Its lease counts from the instant the reads were sent, and only
   answers to *this* round count: a late one is dropped.
2. One valid order on one peer stops at once; a quorum is needed to run. So halts are applied as
   each reply arrives, before anything is stored, and a lease only when enough peers agree.
3. Stored before published: a lease reaches the gate after the marks behind it are durable. A
   restriction is published first and stored after: stopping never waits for a disk.
4. A failed round publishes no lease. Nothing is taken away either: the old lease runs out.
5. A lease is extended only by a beat that is strictly newer than the newest one used before, also
   across restarts (marks).
6. A verified, live beat for a higher epoch on any peer forbids renewal under a lower one. If that
   epoch says `immediate`, the lease under the lower one ends now.
7. A contradiction between two signed objects latches, is kept as evidence, and is told.
8. What runs here must be what the epoch demands: no lease else, and a running one is held at once.
9. All decisions are functions of (state, event, now); sets are never iterated; no randomness.

One round at a time, one store at a time. This is the one place that branches on events; each step
belongs to who owns the concept: `reply`, `quorum`, `archive`, `lease` (deadlines), `runtime`.

Source: protocol b.3; hardening E-G1..E-G4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from sidecar.core import events as ev
from sidecar.core import lease
from sidecar.core.accepted import Accepted
from sidecar.core.archive import Archive, Missing
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.lease import Lease, Terms
from sidecar.core.marks import Marks
from sidecar.core.objects import epoch
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import Mark, Trust
from sidecar.core.quorum import Agreement, PeerId, Split, TooFew, Vote
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.reply import Heard, Verifier
from sidecar.core.round import Round, rank
from sidecar.core.runtime import Integrity
from sidecar.core.snapshot import Hold, Snapshot

JITTER = 0.1  # of the poll interval: sidecars that started together drift apart
READ_MAX_BYTES = 4 * 1024 * 1024  # per reply; 256 halts and a handful of beats are below 3 MiB


@dataclass(frozen=True, slots=True)
class Setting:
    """What a follower is told once.

    Attributes:
        service: The service behind, as epochs name it.
        region: Where it runs, as epochs name it.
        peers: All of them, in a fixed order.
        quorum: Peers that must agree.
        terms: Bounds of every lease.
        poll_ms: From the start of one round to the start of the next.
        integrity_max_age_ms: How old a measurement of what runs here may be (EG404).
    """

    service: str
    region: str
    peers: tuple[PeerId, ...]
    quorum: int
    terms: Terms
    poll_ms: int
    integrity_max_age_ms: int = 120_000


class Follower:
    """Turns replies of peers into snapshots.

    Args:
        trust: The trust document in force.
        setting: What it is told once.
        marks: What was stored, or None on a first boot.
    """

    def __init__(self, trust: Trust, setting: Setting, marks: Marks | None) -> None:
        self._trust = trust
        self._setting = setting
        self._verifier = Verifier(trust, setting.terms)
        self._archive = Archive(trust)
        self._accepted = Accepted(trust, marks)
        self._now = Now(BootNs(0), WallMs(0))  # of the event being handled
        self._round = Round(0, self._now, 0.0, ())
        self._integrity = Integrity(setting.integrity_max_age_ms)
        self._again = False
        self._ahead: Beat | None = None  # the live beat for the highest epoch seen
        self._ended = 0  # leases under epochs below this number were ended at once, for good
        self._passing: tuple[Hold, ...] = ()  # what the latest beats ask for
        self._storing: tuple[int, Lease | None, Snapshot] | None = None
        self._unstored = False  # whether the latest store failed
        self._snapshot = Snapshot(trust_version=trust.version, routes=self._accepted.routes)
        self._snapshot = self._effective()

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
        self._now = now = self._accepted.corrected(now, self._setting.terms)
        match event:
            case ev.RoundDue(jitter=jitter) | ev.Hinted(jitter=jitter):
                return self._begin(jitter, now)
            case ev.PeerReplied() | ev.PeerFailed():
                if event.round != self._round.number or event.peer not in self._round.waiting:
                    return []  # rule 1: an answer to another round proves nothing about this one
                return self._answered(event, now)
            case ev.Stored() | ev.StoreFailed():
                return self._stored(event)
            case ev.Measured(found=found):
                self._integrity.found = found
                return self._publish() if self._effective() != self._snapshot else []
            case _:  # pragma: no cover
                assert_never(event)

    # -- a round ---------------------------------------------------------------------------------

    def _begin(self, jitter: float, now: Now) -> list[ev.Command]:
        if self._round.waiting:
            self._again = True
            return []
        self._again = False
        peers = self._setting.peers
        self._round = Round(self._round.number + 1, now, jitter, peers)
        self._verifier.forget()
        strings, hashes = self._verifier.keys()
        return [
            ev.ReadPeer(peer, self._round.number, strings, hashes, READ_MAX_BYTES) for peer in peers
        ]

    def _answered(self, event: ev.PeerReplied | ev.PeerFailed, now: Now) -> list[ev.Command]:
        this = self._round
        key = this.waiting.pop(event.peer)
        commands: list[ev.Command] = []
        if isinstance(event, ev.PeerFailed):
            this.results[event.peer] = event.kind
        elif key is None:
            commands += self._vote(event, now)
        else:
            self._fetched(event, key)
        commands += self._conclude(now)
        if not this.waiting:
            commands += self._end(now)
        return commands

    def _vote(self, event: ev.PeerReplied, now: Now) -> list[ev.Command]:
        heard = self._verifier.hear(event.found, now.wall)
        this = self._round
        faults = dict.fromkeys(heard.faults)
        commands = self._contradictions(heard)
        usable = []
        for beat, _ in heard.beats:
            if self._accepted.outdated(beat.says.epoch):
                faults[Reason.ROLLBACK] = None
            else:
                usable.append(beat)
                self._look_ahead(beat, now)
        if any(self._accepted.behind(beat) for beat, _ in heard.stale):
            # Older than what it served before: that says more than that it is too old.
            faults.pop(Reason.BEAT_STALE, None)
            faults[Reason.ROLLBACK] = None
        this.votes[event.peer] = Vote(tuple(usable))
        this.faults.update(faults)
        nothing = "ok" if heard.beats or faults else "empty"
        this.results[event.peer] = min((reason.code for reason in faults), default=nothing)
        if self._accepted.add_orders(heard.orders):
            commands += [*self._publish(), *self._store(None)]
        commands += self._obey(usable, now)
        return commands

    def _contradictions(self, heard: Heard) -> list[ev.Command]:
        commands: list[ev.Command] = []
        for beat, raw in (*heard.beats, *heard.stale):
            conflict = self._accepted.witness(beat, raw)
            if conflict is not None:
                commands += self._latch(conflict)
        return commands

    def _latch(self, conflict: ev.Conflict) -> list[ev.Command]:
        if not self._accepted.latch(conflict):
            return []
        return [conflict, *self._publish(), *self._store(None)]

    def _look_ahead(self, beat: Beat, now: Now) -> None:
        ahead = self._ahead
        if ahead is None or not self._live(now, ahead) or rank(beat) > rank(ahead):
            self._ahead = beat

    def _obey(self, beats: Sequence[Beat], now: Now) -> list[ev.Command]:
        holds = self._accepted.demanded(beats, partial(self._live, now))
        if set(holds) <= set(self._passing):
            return []
        self._passing = tuple(dict.fromkeys((*self._passing, *holds)))
        return self._publish()

    def _live(self, now: Now, beat: Beat) -> bool:
        return lease.judge(beat, self._setting.terms, now.wall) is None

    # -- agreement -------------------------------------------------------------------------------

    def _conclude(self, now: Now) -> list[ev.Command]:
        result = self._round.tally(self._setting.quorum)
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
                    self._round.fault(error.reason)
                # A newer epoch that cannot be entered, or not yet, may still end the older lease.
                return [*commands, *self._look_up_ahead(now)]

    def _look_up_ahead(self, now: Now) -> list[ev.Command]:
        """Rule 6: a newer epoch may end the lease under the older one at once."""
        ahead, current = self._ahead, self._snapshot.lease
        if ahead is None or current is None or ahead.says.epoch.seq <= current.epoch_seq:
            return []
        try:
            found = self._archive.epoch(ahead.says.epoch, self._accepted.epoch, now.wall)
        except ProtocolError as error:
            self._round.fault(error.reason)
            return []
        if isinstance(found, Missing):
            return self._ask(found)
        return self._supersede(found)

    def _supersede(self, newer: Epoch) -> list[ev.Command]:
        activation = newer.says.activation
        if activation.mode != "immediate" or not activation.supersedes:
            return []
        self._ended = max(self._ended, newer.seq)
        self._snapshot = replace(self._snapshot, lease=None, absent=Reason.EPOCH_SUPERSEDED)
        return self._publish()

    def _advance(self, agreed: Agreement, now: Now) -> list[ev.Command]:
        if self._behind(agreed.epoch_seq):
            self._round.fault(Reason.EPOCH_SUPERSEDED)
            return []
        if self._trust.expired(now.wall):
            raise ProtocolError(Reason.TRUST_EXPIRED, "no lease under an expired trust document")
        conflict = self._accepted.contradicts(agreed)
        if conflict is not None:
            return self._latch(conflict)
        named = Mark(seq=agreed.epoch_seq, sha256=agreed.epoch_sha256)
        found = self._archive.epoch(named, self._accepted.epoch, now.wall)
        if isinstance(found, Missing):
            return self._ask(found)
        return self._enter(agreed, found, now)

    def _enter(self, agreed: Agreement, found: Epoch, now: Now) -> list[ev.Command]:
        """Serve under a verified epoch that a quorum vouches for, if nothing else forbids it."""
        wrong = epoch.inadmissible(found, self._setting.service, self._setting.region, now.wall)
        against = self._integrity.judge(found.says.runtime, now) if wrong is None else (wrong,)
        for reason in against:
            self._round.fault(reason)
        if against:
            raise ProtocolError(against[0], "epoch does not admit this sidecar now")
        policy = self._archive.policy(found.says.policy)
        if isinstance(policy, Missing):
            return self._ask(policy)
        routes = self._archive.routes(found.says.routes)
        if isinstance(routes, Missing):
            return self._ask(routes)
        granted = self._grant(agreed, found)
        if granted is None:
            return []
        ready = replace(self._snapshot, lease=granted, epoch=found, policy=policy, routes=routes)
        self._accepted.accept(found, granted.beat, self._archive, now)
        return self._store((granted, ready))

    def _grant(self, agreed: Agreement, found: Epoch) -> Lease | None:
        """A lease from a strictly newer beat, if it is better than the one there is."""
        if self._storing is not None:
            return None  # one store at a time; the beat stays newer and is used with the next reply
        newer = [beat for beat in agreed.beats if self._accepted.newer(beat)]
        latest = WallMs(min(found.says.not_after, self._trust.body.expires))
        best = lease.best(agreed, newer, self._round.sent, self._setting.terms, latest)
        if isinstance(best, Reason):
            self._round.fault(best)
            return None
        current = self._snapshot.lease
        if best is None or current is None or current.epoch_seq != found.seq:
            return best
        return best if best.deadline > current.deadline else None

    def _ask(self, missing: Missing) -> list[ev.Command]:
        """Fetch one object from every peer that voted and is not busy."""
        this = self._round
        free = [peer for peer in this.votes if peer not in this.waiting]
        commands: list[ev.Command] = []
        for peer in free:
            if (peer, missing.key) not in this.asked:
                this.asked[peer, missing.key] = missing.mismatch
                this.waiting[peer] = missing.key
                commands.append(
                    ev.ReadPeer(peer, this.number, (missing.key,), (), epoch.BLOB_MAX_BYTES * 2)
                )
        if not commands and not any(key == missing.key for key in this.waiting.values()):
            this.fault(missing.reason)
        return commands

    def _fetched(self, event: ev.PeerReplied, key: str) -> None:
        values = event.found.get(key, ())
        if values and not self._archive.add(key, values[0]):
            wrong = self._round.asked[event.peer, key]
            self._round.fault(wrong)
            self._round.results[event.peer] = wrong.code

    # -- what follows ----------------------------------------------------------------------------

    def _end(self, now: Now) -> list[ev.Command]:
        this = self._round
        outcome = this.finish(self._setting.quorum)
        if self._unstored:
            this.fault(Reason.STATE_UNWRITABLE)
        faults = this.sorted_faults
        spent_ms = this.spent_ms(now)
        beats = [beat for vote in this.votes.values() for beat in vote.beats]
        if beats:
            self._passing = self._accepted.demanded(beats, partial(self._live, now))
        before = self._snapshot
        on_its_way = self._storing is not None and self._storing[1] is not None
        if before.lease is None and before.absent is Reason.STARTING and not on_its_way:
            self._snapshot = replace(before, absent=Reason.NOT_SYNCED)
        self._snapshot = replace(self._snapshot, faults=faults)
        commands: list[ev.Command] = self._publish() if self._effective() != before else []
        if self._accepted.dirty:
            commands += self._store(None)
        commands.append(ev.RoundEnded(this.number, this.results, outcome, spent_ms, faults))
        pause_ms = int(self._setting.poll_ms * (1 + JITTER * (2 * this.jitter - 1)))
        commands.append(ev.WakeAfter(0 if self._again else max(1, pause_ms - spent_ms)))
        return commands

    def _effective(self) -> Snapshot:
        passing = (*self._passing, *self._integrity.holds(self._snapshot, self._now))
        holds = self._accepted.holds(*passing)
        return replace(self._snapshot, halts=self._accepted.halts, holds=holds)

    def _publish(self) -> list[ev.Command]:
        self._snapshot = self._effective()
        return [ev.Publish(self._snapshot)]

    def _store(self, ready: tuple[Lease, Snapshot] | None) -> list[ev.Command]:
        if self._storing is not None:
            return []  # what changed meanwhile is stored by the next one: `_stored` looks
        body = self._accepted.encode()
        granted, after = ready if ready is not None else (None, self._snapshot)
        self._storing = (self._accepted.generation, granted, after)
        return [ev.Store(self._accepted.generation, body)]

    def _stored(self, event: ev.Stored | ev.StoreFailed) -> list[ev.Command]:
        if self._storing is None or self._storing[0] != event.generation:
            return []
        _, granted, after = self._storing
        self._storing = None
        self._unstored = isinstance(event, ev.StoreFailed)
        commands: list[ev.Command] = []
        if self._unstored:
            self._accepted.dirty = True  # tried again at the end of the next round
            self._round.fault(Reason.STATE_UNWRITABLE)
            self._snapshot = replace(self._snapshot, faults=self._round.sorted_faults)
            return self._publish()
        # Between the store and its answer another reply may have shown a newer epoch.
        if granted is not None and not self._behind(granted.epoch_seq):
            faults = self._snapshot.faults
            self._snapshot = replace(after, faults=faults, absent=Reason.LEASE_EXPIRED)
            if after.epoch is not None:
                self._archive.keep(after.epoch)
            commands += self._publish()
        if self._accepted.dirty:
            commands += self._store(None)
        return commands

    def _behind(self, epoch_seq: int) -> bool:
        """Rule 6: whether a newer epoch forbids a lease under this one."""
        ahead = 0 if self._ahead is None else self._ahead.says.epoch.seq
        return epoch_seq < max(ahead, self._ended)
