"""One authority replica: looks at the peers, then vouches for the current epoch.

A beat takes steps, and each step is finished before the next begins:

    read the fleet's reports -> sample `issued_at` -> read all peers -> walk trust, fetch what a new
    epoch needs -> store -> repair the peers -> write down what is new -> sign -> write

Rules:

* `issued_at` is sampled after the reports were read and before the look at orders and epochs. So a
  beat is younger than each nonce that it covers, and knows of all that was written before it says
  that it was made. However long we are stopped in between, a lease gains nothing by it.
* A beat names the union of all orders that any peer or the own state holds, and goes out after the
  peers that lacked some were given them.
* Nothing is signed that was not stored first: number, epoch, orders, trust document (`issued`).
* Where a governance log is kept, a beat names nothing that is not in it, durable and under its
  signed checkpoint; without that there is no beat. Peers are given orders before, so the log delays
  no halt.
* A newer trust document ends the look that found it: all is read again under the new one.
* A beat needs answers of `r` peers: what w peers acknowledged is then among them, the own stream, a
  newer epoch and every halt too. An authority that cannot look must not vouch.
* An epoch is adopted only when it verifies, follows ours link by link, is valid by now, and its
  policy and routes are on the peers and compile. Until then the old one is vouched for.
* Two verified epochs with one number, or two trust documents: no beat. Vouching for either would be
  taking sides.
* A peer's `head` is put right only where it names an older epoch or nothing: overwriting a name
  that we cannot judge yet could hide the epoch that comes next.
* Reports are read by themselves: whoever floods them delays no halt and no epoch.
* `w` acknowledgements commit a beat. Fewer is told; the next beat is the retry.

Source: protocol b.1, b.3, b.6, b.10, b.11; codebases 11.2.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from sidecar.core import canonical, issuing, layout
from sidecar.core import events as ev
from sidecar.core.cover import Cover
from sidecar.core.fleet import KEEP_MIN_MS, KEEP_TTLS, Census, Fleet, Member
from sidecar.core.governed import Governed
from sidecar.core.instant import Now, WallMs
from sidecar.core.issued import Issued, State
from sidecar.core.issuing import (
    BeatDue,
    BeatEnded,
    Conditions,
    Fact,
    PeerWrote,
    Sign,
    Signed,
    SignFailed,
    WriteCommand,
    WritePeer,
)
from sidecar.core.objects import beat
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.trust import Role, Trust, TrustRef
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.rotation import Rotation
from sidecar.core.search import Search
from sidecar.core.step import Phase, Step
from sidecar.core.view import View, Viewer, repairs
from sidecar.core.vouch import Setting, expiring, refusals, says

READ_MAX_BYTES = 4 * 1024 * 1024  # one peer: head, own beat, trust, every order a domain may hold
FETCH_MAX_BYTES = 4 * 1024 * 1024  # one peer: an epoch or a blob per candidate
REPORTS_MAX_BYTES = 32 * 1024 * 1024  # one peer: the fleet's reports, 8 KiB each


class Issuer:
    """Turns looks at the peers into beats.

    Args:
        trust: The trust document in force (`issued.in_force`); it must give the key the role beat.
        setting: What it is told once.
        state: What was stored, or None on a first boot.
        governed: What the governance log holds; None: none is kept.

    Raises:
        ProtocolError: KEY_UNKNOWN when the key may not sign beats.
    """

    def __init__(
        self, trust: Trust, setting: Setting, state: State | None, governed: Governed | None = None
    ) -> None:
        if setting.key_id not in trust.keys[Role.BEAT]:
            raise ProtocolError(
                Reason.KEY_UNKNOWN, f"key {setting.key_id[:16]} has no role beat in the trust file"
            )
        self._setting = setting
        self._issued = Issued(trust, setting.key_id, state)
        self._rotation = Rotation(trust, self._issued)
        self._search = Search(trust, self._issued)
        self._viewer = Viewer(trust, setting.key_id, setting.public)
        keep_ms = max(KEEP_MIN_MS, KEEP_TTLS * setting.ttl_ms)
        self._governed = governed
        self._forked: issuing.Contradiction | None = None
        self._fleet = Fleet(trust.domain, keep_ms)
        self._census: Census | None = None
        self._cover = Cover(trust.domain, setting.key_id)
        self._reports = layout.reports_key(trust.domain)
        self._at = Step()
        self._views: dict[PeerId, View] = {}
        self._lacking: dict[PeerId, tuple[WriteCommand, ...]] = {}
        self._overdue = False
        self._issued_at = WallMs(0)
        self._beat: beat.Body | None = None
        self._beat_sha256 = ""
        self._conditions = Conditions()
        self._out: list[issuing.Command] = []

    @property
    def trust(self) -> Trust:
        """The trust document in force, for people."""
        return self._rotation.trust

    @property
    def fleet(self) -> Fleet:
        """Who reports, for people."""
        return self._fleet

    @property
    def covered(self) -> Sequence[Member]:
        """Whom the latest beat covers, for people."""
        return () if self._census is None else self._census.members

    def handle(self, event: issuing.Event, now: Now) -> list[issuing.Command]:
        """Take one event.

        Args:
            event: What happened.
            now: Both clocks, read for this call.

        Returns:
            What to do, in this order.
        """
        match event:
            case BeatDue():
                self._begin(now)
            case ev.PeerReplied() | PeerWrote() | ev.PeerFailed():
                if self._at.take(event):
                    self._advance(now)
            case ev.Stored() | ev.StoreFailed():
                if self._at.phase is Phase.STORING and event.generation == self._issued.generation:
                    self._stored(event, now)
            case Signed() | SignFailed():
                if self._at.phase is Phase.SIGNING:
                    self._signed(event, now)
            case issuing.Recorded() | issuing.RecordFailed():
                if self._at.phase is Phase.RECORDING:
                    self._recorded(event, now)
            case _:  # pragma: no cover
                assert_never(event)
        out, self._out = self._out, []
        return out

    # -- looking ---------------------------------------------------------------------------------

    def _begin(self, now: Now) -> None:
        if self._at.phase is not Phase.IDLE:
            self._overdue = True
            self._set(Fact.OVERDUE, f"a beat takes longer than {self._setting.interval_ms} ms")
            return
        self._out.append(ev.WakeAfter(self._setting.interval_ms))
        self._collect(now)

    def _collect(self, now: Now) -> None:
        keys, stale = (self._reports,), self._cover.tidy(self._fleet.unlisted())
        # Not of who was silent in the last look: the look that follows waits for them again.
        peers = tuple(self._views) or self._setting.peers
        self._at.enter(Phase.COLLECTING, peers)
        self._out += [
            ev.ReadPeer(peer, self._at.number, (), keys, REPORTS_MAX_BYTES, writes=stale)
            for peer in peers
        ]
        self._advance(now)

    def _collected(self, now: Now) -> None:
        failed = ", ".join(f"{peer}: {kind}" for peer, kind in sorted(self._at.failed.items()))
        self._set(Fact.REPORTS_UNREAD, failed)
        self._fleet.look([found.get(self._reports, ()) for found in self._at.answers.values()], now)
        self._set(Fact.LOG_SHRUNK, self._fleet.shrunk)
        self._look(now)

    def _look(self, now: Now) -> None:
        self._issued_at = now.wall
        bare = any(view.head is None for view in self._views.values())
        documents = self._rotation.keys(now.wall, check=bare)
        strings = (*self._viewer.strings, *documents)
        self._read(Phase.READING, self._setting.peers, strings, self._viewer.hashes)
        self._advance(now)

    # -- from step to step -----------------------------------------------------------------------

    def _advance(self, now: Now) -> None:
        if self._at.waiting:
            return
        match self._at.phase:
            case Phase.READING:
                self._looked(now)
            case Phase.FETCHING:
                self._fetched(now)
            case Phase.REPAIRING:
                self._repaired(now)
            case Phase.COLLECTING:
                self._collected(now)
            case Phase.WRITING:
                self._written(now)
            case _:  # pragma: no cover - the other phases wait for no peer
                raise AssertionError(self._at.phase)

    def _looked(self, now: Now) -> None:
        self._rotation.take(self._at.answers.values(), now.wall)
        if self._rotation.successor is not None:
            self._store(now)
            return
        self._views = {
            peer: self._viewer.look(found, now.wall) for peer, found in self._at.answers.items()
        }
        self._lacking = {
            peer: self._rotation.lacking(found, empty=self._views[peer].head is None)
            for peer, found in self._at.answers.items()
        }
        for own in (view.own for view in self._views.values() if view.own is not None):
            self._own(own)
        orders = [order for view in self._views.values() for order in view.orders]
        if self._issued.take(orders):
            self._set(Fact.HALTS_CHANGED, f"{self._issued.halts.seq} orders")
        self._search.begin(frozenset(view.head_sha256 for view in self._views.values()))
        self._fetch(now)

    def _own(self, own: Beat) -> None:
        forked = self._issued.contradicts(own)
        if forked is not None:
            self._set(Fact.STREAM_FORKED, f"another beat carries our number {own.seq}")
            self._forked = forked
        if self._governed is not None:
            self._governed.heard(own.says.gov_log)
        if self._issued.seen(own):
            self._set(Fact.STREAM_AHEAD, f"a peer holds our number {own.seq}; going above it")

    def _fetched(self, now: Now) -> None:
        for found in self._at.answers.values():
            self._search.add(found)
        self._fetch(now)

    def _fetch(self, now: Now) -> None:
        wanted = self._search.step(now.wall) if self._views else ()
        if wanted:
            self._read(Phase.FETCHING, tuple(self._views), wanted, (), FETCH_MAX_BYTES)
            return
        informed = len(self._views) >= self.trust.body.quorum.r
        for fact, detail in self._search.finish(informed=informed):
            self._set(fact, detail)
        active = self._issued.halts.active
        self._set(Fact.HALTED, ", ".join(order.says.halt_id for order in active))
        self._store(now)

    def _store(self, now: Now) -> None:
        if not self._issued.must_store:
            self._go_on(now)
            return
        self._at.phase = Phase.STORING
        body = self._issued.body()
        self._out.append(ev.Store(self._issued.generation, body))

    def _stored(self, event: ev.Stored | ev.StoreFailed, now: Now) -> None:
        if isinstance(event, ev.Stored):
            self._issued.stored()
            self._set(Fact.STORE_FAILED, "")
            self._go_on(now)
        else:
            self._issued.not_stored()
            self._set(Fact.STORE_FAILED, "state cannot be stored; no beat")
            self._end(now)

    def _go_on(self, now: Now) -> None:
        if self._rotation.successor is None:
            self._repair(now)
            return
        trust = self._rotation.adopt()
        self._viewer = Viewer(trust, self._setting.key_id, self._setting.public)
        self._search.renew(trust)
        self._set(Fact.TRUST_ADOPTED, f"{trust.version} {trust.sha256[:16]}")
        self._look(now)

    def _repair(self, now: Now) -> None:
        known = (self._issued, self._search.archive, self._search.judged.older)
        writes = {
            peer: (*self._lacking[peer], *repairs(self.trust.domain, view, *known))
            for peer, view in self._views.items()
        }
        self._write(Phase.REPAIRING, {peer: lines for peer, lines in writes.items() if lines})
        self._advance(now)

    def _repaired(self, now: Now) -> None:
        if self._governed is None:
            self._sign_or_end(now)
            return
        self._at.phase = Phase.RECORDING
        news = self._governed.news(self._issued, [*self._conflicts, self._forked])
        self._out.append(issuing.Record(news))

    def _recorded(self, event: issuing.Recorded | issuing.RecordFailed, now: Now) -> None:
        assert self._governed is not None, "else nothing was to be recorded"
        self._governed.take(event)
        for fact, detail in self._governed.facts(self.trust).items():
            self._set(fact, detail)
        self._sign_or_end(now)

    def _sign_or_end(self, now: Now) -> None:
        if self._refused(now) or (self._governed is not None and self._governed.fails):
            self._end(now)
        else:
            self._sign()

    def _sign(self) -> None:
        head = self._governed.head if self._governed else None
        current, trust, at = self._issued.epoch, self.trust, self._issued_at
        assert current is not None, "else it was refused"
        under = TrustRef(version=trust.version, sha256=trust.sha256)
        self._census = self._fleet.census(current, under, self._issued.halts)
        self._beat = says(
            trust, self._setting, self._issued, current, self._census.said, at, head=head
        )
        payload = canonical.dump(self._beat)
        self._beat_sha256 = canonical.digest(payload)
        self._issued.signing(self._beat_sha256)
        self._at.phase = Phase.SIGNING
        self._out.append(Sign(beat.PAYLOAD_TYPE, payload))

    def _signed(self, event: Signed | SignFailed, now: Now) -> None:
        if isinstance(event, SignFailed):
            self._set(Fact.SIGN_FAILED, event.detail)
            self._end(now)
            return
        self._set(Fact.SIGN_FAILED, "")
        assert self._census is not None, "made with the beat"
        domain = self.trust.domain
        lines = (
            *self._cover.lines(self._census, self._beat_sha256),
            ("SET", layout.beat_key(domain, self._setting.key_id), event.envelope),
            ("PUBLISH", layout.push_channel(domain), b""),
        )
        self._write(Phase.WRITING, dict.fromkeys(self._setting.peers, lines))
        self._advance(now)

    def _written(self, now: Now) -> None:
        assert self._beat is not None, "a beat was written"
        acks, need = len(self._at.acks), self.trust.body.quorum.w
        said, self._beat = self._beat, None
        short = "" if acks >= need else f"{acks} of {need} peers took the beat"
        self._set(Fact.UNCOMMITTED, short)
        took = (acks, acks >= need)
        self._out.append(BeatEnded(said.seq, said.epoch.seq, said.issued_at, *took, said.fleet))
        self._end(now)

    def _end(self, now: Now) -> None:
        self._at.phase = Phase.IDLE
        if self._overdue:
            self._overdue = False
            self._begin(now)
        else:
            self._set(Fact.OVERDUE, "")

    # -- small things ----------------------------------------------------------------------------

    def _refused(self, now: Now) -> bool:
        self._set(Fact.KEY_EXPIRING, expiring(self.trust, self._setting, now.wall))
        self._set(Fact.TRUST_CONFLICT, str(self._rotation.conflict or ""))
        found = refusals(self.trust, self._setting, self._issued, len(self._views), now.wall)
        for fact, detail in found.items():
            self._set(fact, detail)
        return any(found.values()) or any(self._conflicts)

    @property
    def _conflicts(self) -> tuple[issuing.Contradiction | None, ...]:
        return self._rotation.conflict, self._search.judged.conflict

    def _read(
        self,
        phase: Phase,
        peers: tuple[PeerId, ...],
        strings: tuple[str, ...],
        hashes: tuple[str, ...],
        max_bytes: int = READ_MAX_BYTES,
    ) -> None:
        self._at.enter(phase, peers)
        for peer in peers:
            self._out.append(ev.ReadPeer(peer, self._at.number, strings, hashes, max_bytes))

    def _write(self, phase: Phase, lines: Mapping[PeerId, Iterable[WriteCommand]]) -> None:
        self._at.enter(phase, lines)
        for peer, commands in lines.items():
            self._out.append(WritePeer(peer, self._at.number, tuple(commands)))

    def _set(self, fact: Fact, detail: str) -> None:
        self._out += self._conditions.set(fact, detail)
