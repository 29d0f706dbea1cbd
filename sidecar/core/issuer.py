"""One authority replica: looks at the peers, then vouches for the current epoch.

A beat takes steps, and each step is finished before the next begins:

    read all peers -> fetch what a new epoch needs -> store -> repair the peers -> sign -> write

Rules:

* `issued_at` is sampled after every read of the same beat was answered. So a beat never claims to
  know of a halt or an epoch later than it looked.
* A beat names the union of all orders that any peer or the own state holds, and goes out after the
  peers that lacked some were given them.
* Nothing is signed that was not stored first: number, epoch, orders (`issued`).
* A beat needs answers of `r` peers: what w peers acknowledged is then among them, the own stream, a
  newer epoch and every halt too. An authority that cannot look must not vouch.
* An epoch is adopted only when it verifies, follows ours link by link, is valid by now, and its
  policy and routes are on the peers and compile. Until then the old one is vouched for.
* Two verified epochs with one number: no beat. Vouching for either would be taking sides.
* A peer's `head` is put right only where it names an older epoch or nothing: overwriting a name
  that we cannot judge yet could hide the epoch that comes next.
* `w` acknowledgements commit a beat. Fewer is told; the next beat is the retry.

Source: protocol b.1, b.3, b.6, b.10; codebases 11.2.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import assert_never

from sidecar.core import canonical, issuing, layout
from sidecar.core.archive import Archive
from sidecar.core.events import (
    PeerFailed,
    PeerReplied,
    ReadPeer,
    Store,
    Stored,
    StoreFailed,
    WakeAfter,
)
from sidecar.core.instant import Now
from sidecar.core.issued import SEQ_MAX, Issued, State
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
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.succession import Succession
from sidecar.core.view import View, Viewer, repairs
from sidecar.core.vouch import Setting, says

READ_MAX_BYTES = 4 * 1024 * 1024  # one peer: head, own beat, and every order a domain may hold
FETCH_MAX_BYTES = 4 * 1024 * 1024  # one peer: an epoch or a blob per candidate
FETCHES_MAX = 8  # steps per beat; a longer chain is walked on during the next beats
HEADS_MAX = 16  # names of epochs looked at per beat
ARCHIVE_MAX_BYTES = 16 * 1024 * 1024  # fetched and not yet adopted


class _Phase(Enum):
    """Which answers are awaited."""

    IDLE = 0
    READING = 1
    FETCHING = 2
    STORING = 3
    REPAIRING = 4
    SIGNING = 5
    WRITING = 6


class Issuer:
    """Turns looks at the peers into beats.

    Args:
        trust: The trust document in force; it must give the key the role beat.
        setting: What it is told once.
        state: What was stored, or None on a first boot.

    Raises:
        ProtocolError: KEY_UNKNOWN when the key may not sign beats.
    """

    def __init__(self, trust: Trust, setting: Setting, state: State | None) -> None:
        if setting.key_id not in trust.keys[Role.BEAT]:
            raise ProtocolError(
                Reason.KEY_UNKNOWN, f"key {setting.key_id[:16]} has no role beat in the trust file"
            )
        self._trust = trust
        self._setting = setting
        self._issued = Issued(trust.domain, setting.key_id, state)
        self._archive = Archive(trust)
        self._archived_bytes = 0
        self._viewer = Viewer(trust, setting.key_id, setting.public)
        self._phase = _Phase.IDLE
        self._step = 0
        self._waiting: set[PeerId] = set()
        self._views: dict[PeerId, View] = {}
        self._found: dict[str, dict[bytes, None]] = {}
        self._acks: list[PeerId] = []
        self._fetches = 0
        self._succession = self._succeed()
        self._informed = False  # whether enough peers answered the latest look
        self._overdue = False
        self._beat: beat.Body | None = None
        self._conditions = Conditions()
        self._out: list[issuing.Command] = []

    @property
    def issued(self) -> Issued:
        """What it vouches for, for people."""
        return self._issued

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
            case PeerReplied() | PeerWrote() | PeerFailed():
                if event.round == self._step and event.peer in self._waiting:
                    self._waiting.remove(event.peer)
                    self._answered(event, now)
            case Stored() | StoreFailed():
                if self._phase is _Phase.STORING and event.generation == self._issued.generation:
                    self._stored(event, now)
            case Signed() | SignFailed():
                if self._phase is _Phase.SIGNING:
                    self._signed(event, now)
            case _:  # pragma: no cover
                assert_never(event)
        out, self._out = self._out, []
        return out

    # -- looking ---------------------------------------------------------------------------------

    def _begin(self, now: Now) -> None:
        if self._phase is not _Phase.IDLE:
            self._overdue = True
            self._set(Fact.OVERDUE, f"a beat takes longer than {self._setting.interval_ms} ms")
            return
        self._out.append(WakeAfter(self._setting.interval_ms))
        self._views, self._fetches = {}, 0
        viewer = self._viewer
        self._read(_Phase.READING, self._setting.peers, viewer.strings, viewer.hashes)
        self._advance(now)

    def _answered(self, event: PeerReplied | PeerWrote | PeerFailed, now: Now) -> None:
        if isinstance(event, PeerWrote):
            self._acks.append(event.peer)
        elif isinstance(event, PeerReplied) and self._phase is _Phase.READING:
            self._views[event.peer] = self._viewer.look(event.found, now.wall)
        elif isinstance(event, PeerReplied):
            for key, values in event.found.items():
                self._found.setdefault(key, {}).update(dict.fromkeys(values))
        self._advance(now)

    # -- from step to step -----------------------------------------------------------------------

    def _advance(self, now: Now) -> None:
        if self._waiting:
            return
        match self._phase:
            case _Phase.READING:
                self._looked(now)
            case _Phase.FETCHING:
                self._fetched(now)
            case _Phase.REPAIRING:
                self._sign(now)
            case _Phase.WRITING:
                self._written(now)
            case _:  # pragma: no cover - the other phases wait for no peer
                raise AssertionError(self._phase)

    def _looked(self, now: Now) -> None:
        for view in self._views.values():
            if view.own is not None:
                self._own(view.own)
        orders = [order for view in self._views.values() for order in view.orders]
        if self._issued.take(orders):
            self._set(Fact.HALTS_CHANGED, f"{self._issued.halts.seq} orders")
        self._informed = len(self._views) >= self._trust.body.quorum.r
        self._succession = self._succeed()
        self._found = {}
        self._fetched(now)

    def _own(self, own: Beat) -> None:
        if self._issued.contradicts(own):
            self._set(Fact.STREAM_FORKED, f"another beat carries our number {own.seq}")
        if self._issued.seen(own):
            self._set(Fact.STREAM_AHEAD, f"a peer holds our number {own.seq}; going above it")

    def _fetched(self, now: Now) -> None:
        self._archived_bytes += sum(len(raw) for values in self._found.values() for raw in values)
        found = {key: tuple(values) for key, values in self._found.items()}
        learned = any(found.values()) or self._fetches == 0
        wanted = self._succession.step(found, now.wall)
        if wanted and learned and self._fetches < FETCHES_MAX and self._views:
            self._fetches += 1
            self._found = {}
            self._read(_Phase.FETCHING, tuple(self._views), wanted, (), FETCH_MAX_BYTES)
            return
        self._adopt()
        self._store(now)

    def _adopt(self) -> None:
        found = self._succession
        chosen = found.chosen
        if chosen is not None and self._informed and found.conflict is None:
            self._issued.adopt(chosen, self._archive.envelope(chosen.sha256))
            self._set(Fact.EPOCH_ADOPTED, f"{chosen.seq} {chosen.sha256[:16]}")
        self._set(Fact.EPOCH_DENIED, _lines(found.denied))
        self._set(Fact.EPOCH_PENDING, _lines(found.waiting))
        self._set(Fact.EPOCH_CONFLICT, found.conflict or "")
        active = self._issued.halts.active
        self._set(Fact.HALTED, ", ".join(order.says.halt_id for order in active))
        self._forget()

    def _forget(self) -> None:
        # Half a chain is kept for the next beats. What a hostile peer makes us fetch is not kept
        # for ever.
        current = self._issued.epoch
        if self._archived_bytes > ARCHIVE_MAX_BYTES or not self._succession.waiting:
            self._archived_bytes = 0
            if current is None:
                self._archive = Archive(self._trust)
            else:
                self._archive.keep(current)

    def _store(self, now: Now) -> None:
        if not self._issued.must_store:
            self._repair(now)
            return
        self._phase = _Phase.STORING
        body = self._issued.body()
        self._out.append(Store(self._issued.generation, body))

    def _stored(self, event: Stored | StoreFailed, now: Now) -> None:
        if isinstance(event, Stored):
            self._issued.stored()
            self._set(Fact.STORE_FAILED, "")
            self._repair(now)
        else:
            self._issued.not_stored()
            self._set(Fact.STORE_FAILED, "state cannot be stored; no beat")
            self._end(now)

    def _repair(self, now: Now) -> None:
        writes = {
            peer: repairs(
                self._trust.domain, view, self._issued, self._archive, self._succession.older
            )
            for peer, view in self._views.items()
        }
        self._write(_Phase.REPAIRING, {peer: lines for peer, lines in writes.items() if lines})
        self._advance(now)

    def _sign(self, now: Now) -> None:
        refusal = self._refusal()
        for fact in (Fact.NO_EPOCH, Fact.TOO_FEW_PEERS, Fact.STREAM_FULL):
            self._set(fact, refusal[1] if refusal and refusal[0] is fact else "")
        current = self._issued.epoch
        if refusal is not None or current is None:
            self._end(now)
            return
        self._beat = says(self._trust, self._setting, self._issued, current, now.wall)
        payload = canonical.dump(self._beat)
        self._issued.signing(canonical.digest(payload))
        self._phase = _Phase.SIGNING
        self._out.append(Sign(beat.PAYLOAD_TYPE, payload))

    def _signed(self, event: Signed | SignFailed, now: Now) -> None:
        if isinstance(event, SignFailed):
            self._set(Fact.SIGN_FAILED, event.detail)
            self._end(now)
            return
        self._set(Fact.SIGN_FAILED, "")
        domain = self._trust.domain
        lines: tuple[WriteCommand, ...] = (
            ("SET", layout.beat_key(domain, self._setting.key_id), event.envelope),
            ("PUBLISH", layout.push_channel(domain), b""),
        )
        self._write(_Phase.WRITING, dict.fromkeys(self._setting.peers, lines))
        self._advance(now)

    def _written(self, now: Now) -> None:
        assert self._beat is not None, "a beat was written"
        acks, need = len(self._acks), self._trust.body.quorum.w
        said, self._beat = self._beat, None
        short = "" if acks >= need else f"{acks} of {need} peers took the beat"
        self._set(Fact.UNCOMMITTED, short)
        self._out.append(
            BeatEnded(said.seq, said.epoch.seq, said.issued_at, acks, committed=acks >= need)
        )
        self._end(now)

    def _end(self, now: Now) -> None:
        self._phase = _Phase.IDLE
        if self._overdue:
            self._overdue = False
            self._begin(now)
        else:
            self._set(Fact.OVERDUE, "")

    # -- what a beat says, and whether there may be one ------------------------------------------

    def _refusal(self) -> tuple[Fact, str] | None:
        if self._succession.conflict is not None:
            return Fact.EPOCH_CONFLICT, self._succession.conflict
        if not self._informed:
            need = self._trust.body.quorum.r
            return Fact.TOO_FEW_PEERS, f"{len(self._views)} of {need} peers answered"
        if self._issued.epoch is None:
            return Fact.NO_EPOCH, "no peer holds an epoch to vouch for"
        if self._issued.used >= SEQ_MAX:
            return Fact.STREAM_FULL, f"number {self._issued.used} is used; replace the key"
        return None

    # -- small things ----------------------------------------------------------------------------

    def _succeed(self) -> Succession:
        current = self._issued.epoch
        sha256 = None if current is None else current.sha256
        heads = {view.head_sha256 for view in self._views.values()}
        named = sorted(head for head in heads if head is not None and head != sha256)
        return Succession(
            self._trust.domain,
            self._archive,
            self._issued,
            named[:HEADS_MAX],
            complete=bool(heads - {sha256}),
        )

    def _read(
        self,
        phase: _Phase,
        peers: tuple[PeerId, ...],
        strings: tuple[str, ...],
        hashes: tuple[str, ...],
        max_bytes: int = READ_MAX_BYTES,
    ) -> None:
        self._enter(phase, peers)
        for peer in peers:
            self._out.append(ReadPeer(peer, self._step, strings, hashes, max_bytes))

    def _write(self, phase: _Phase, lines: Mapping[PeerId, Iterable[WriteCommand]]) -> None:
        self._enter(phase, lines)
        for peer, commands in lines.items():
            self._out.append(WritePeer(peer, self._step, tuple(commands)))

    def _enter(self, phase: _Phase, peers: Iterable[PeerId]) -> None:
        self._phase = phase
        self._step += 1
        self._waiting = set(peers)
        self._acks = []

    def _set(self, fact: Fact, detail: str) -> None:
        self._out += self._conditions.set(fact, detail)


def _lines(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{sha256[:16]}: {why}" for sha256, why in sorted(reasons.items()))
