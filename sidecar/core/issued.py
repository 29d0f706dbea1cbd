"""What an authority replica remembers, and the part of it that is stored.

Rules:

* A number is used at most once, whatever happens to the disk or the process. Numbers are reserved
  on disk in blocks before the first of a block is used; a restart begins above the block.
* A beat of our own key on a peer counts as used too, whoever signed it: after a restored backup the
  state file knows less than the peers do.
* The epoch that was vouched for, every order ever seen and every trust document that was walked to
  are stored before a beat names them. A restart with empty peers goes back behind none of them.
* What root says about the past is final: no epoch below the floor of the trust document. Where a
  rotation also replaced epoch keys, a higher mark may be a lie of theirs and falls back to it.
* What a key ordered that was revoked since is named until a clear settles it, and no longer: a new
  sidecar cannot read it, and would wait for it for ever.
* Damaged state is *corrupt*, never *absent*.

Source: protocol b.1 (streams), b.11, b.12; hardening A03.
"""

import msgspec

from sidecar.core import canonical, envelope
from sidecar.core.canonical import Count, Name, Sha256, Strict
from sidecar.core.instant import WallMs
from sidecar.core.issuing import Contradiction
from sidecar.core.marks import ObjectMark
from sidecar.core.objects import beat, epoch, halt, trust
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS, Order
from sidecar.core.objects.trust import Role, Trust, TrustRef
from sidecar.core.reason import ProtocolError, Reason

TYPE = "urn:epochgate:issued:v1"
# Far above some hundred orders and one epoch: what we wrote must be readable again.
MAX_BYTES = 256 * 1024 * 1024
RESERVED_AHEAD = 256  # numbers per write to the disk: about two minutes of beats
NUMBER_MAX = canonical.INTEGER_LIMIT - 1
SEQ_MAX = NUMBER_MAX - RESERVED_AHEAD  # above it the stream is full
DIGEST_LINE = 65  # hex digest and a newline
DOCUMENTS_MAX = 64  # trust documents that are kept, for sidecars that missed some


class State(Strict, frozen=True):
    """Everything that is stored. `reserved`: the highest number that may have been used.

    `trust`: the document in force. `trusts`: the envelopes of the documents up to it, oldest first;
    none while it is the pinned one. Files of the version before this one have neither.
    """

    type: str = msgspec.field(name="_type")
    domain: Name
    issuer: Sha256
    generation: Count
    reserved: Count
    epoch: ObjectMark | None
    halts: tuple[str, ...]
    trust: TrustRef | None = None
    trusts: tuple[str, ...] = ()


def encode(state: State) -> bytes:
    """The bytes to store: a digest line and canonical JSON."""
    body = canonical.dump(state)
    return canonical.digest(body).encode() + b"\n" + body


def decode(raw: bytes, domain: str, issuer: str) -> State:
    """Read stored bytes.

    Raises:
        ProtocolError: STATE_CORRUPT, whatever is wrong, also when they belong to another key.
    """
    line, body = raw[:DIGEST_LINE], raw[DIGEST_LINE:]
    if line != canonical.digest(body).encode() + b"\n":
        raise ProtocolError(Reason.STATE_CORRUPT, "digest does not match")
    try:
        state = canonical.load(body, State, MAX_BYTES)
    except ProtocolError as error:
        raise ProtocolError(Reason.STATE_CORRUPT, error.detail) from None
    if (state.type, state.domain, state.issuer) != (TYPE, domain, issuer):
        raise ProtocolError(
            Reason.STATE_CORRUPT, f"state of key {state.issuer[:16]} for {state.domain}"
        )
    return state


def in_force(pinned: Trust, state: State | None, now: WallMs) -> Trust:
    """The newer one of the pinned trust document and the stored one.

    Raises:
        ProtocolError: EQUIVOCATION when the two contradict each other, STATE_CORRUPT when the
            stored one is none.
    """
    if state is None or state.trust is None or state.trust.version < pinned.version:
        return pinned
    kept = _walked(state.trusts, now)
    newest = kept.get(state.trust.version, pinned)
    if kept.get(pinned.version, pinned) != pinned:
        raise ProtocolError(
            Reason.EQUIVOCATION, f"version {pinned.version} of trust is another than was used here"
        )
    if (newest.version, newest.sha256) != (state.trust.version, state.trust.sha256):
        detail = f"trust version {state.trust.version} that was used here is not there"
        raise ProtocolError(Reason.EQUIVOCATION, detail)
    return newest


def _walked(raws: tuple[str, ...], now: WallMs) -> dict[int, Trust]:
    # Step by step, not the last alone: only who walked there knows the keys of before, and can read
    # the orders that these signed.
    kept: list[Trust] = []
    for raw in (raw.encode() for raw in raws):
        kept.append(kept[-1].rotate(raw, now) if kept else trust.parse(raw, now))
    return {document.version: document for document in kept}


class Issued:
    """The issuer's memory.

    Args:
        under: The trust document in force (`in_force`).
        issuer: Id of this replica's beat key.
        stored: What was stored, or None on a first boot.

    Attributes:
        epoch: What is vouched for, or None.
        mark: The same with its envelope; or, without an epoch, the floor that one has to reach. Its
            envelope is empty then.
        documents: Trust documents up to the newest, by version: their envelopes.
        halts: Every order known.
        used: The highest number that may have been used; the next beat carries a greater one.
        generation: Counts what was handed out to be stored.
        dirty: Whether something changed that has to be stored before a beat names it.
    """

    def __init__(self, under: Trust, issuer: str, stored: State | None) -> None:
        self._domain = under.domain
        self._issuer = issuer
        self._reserved = 0 if stored is None else stored.reserved
        self._pending = self._reserved
        self._last: tuple[int, str] | None = None
        self.used = self._reserved
        self.generation = 0 if stored is None else stored.generation
        self.halts = NO_HALTS
        self.mark = None if stored is None else stored.epoch
        self.epoch = None if self.mark is None else _reread(self.mark)
        if stored is not None:
            self.halts = NO_HALTS.union(halt.reread(raw.encode()) for raw in stored.halts)
        self._trust = TrustRef(version=under.version, sha256=under.sha256)
        self.dirty = stored is not None and stored.trust != self._trust
        kept = () if stored is None or stored.trust != self._trust else stored.trusts
        self.documents = {
            under.version - len(kept) + 1 + at: raw.encode() for at, raw in enumerate(kept)
        } or {under.version: under.raw}
        self._respect(under, fallen=False)

    def rotate(self, before: Trust, after: Trust) -> None:
        """Know of the next trust document; to be stored before it is used. Again is harmless."""
        if after.version in self.documents:
            return
        self.documents[after.version] = after.raw
        while len(self.documents) > DOCUMENTS_MAX:
            del self.documents[min(self.documents)]
        self._trust = TrustRef(version=after.version, sha256=after.sha256)
        self._respect(after, fallen=before.changed(after, Role.EPOCH))
        self.dirty = True

    def _respect(self, under: Trust, *, fallen: bool) -> None:
        floors, mark = under.body.floors, self.mark
        self.used = max(self.used, floors.beat.get(self._issuer, 0))
        self._under = under
        standing = self.halts.standing(under)
        self.dirty = self.dirty or standing.seq != self.halts.seq
        self.halts = standing
        floor = floors.epoch
        if floor is None or (mark is not None and mark.sha256 == floor.sha256):
            return
        if mark is None or floor.seq >= mark.seq or fallen:
            self.mark = ObjectMark(seq=floor.seq, sha256=floor.sha256, envelope="")
            self.epoch = None
            self.dirty = True

    def take(self, orders: list[Order]) -> bool:
        """Add orders; whether any was new."""
        halts = self.halts.union(orders).standing(self._under)
        changed = halts.sha256 != self.halts.sha256
        self.halts = halts
        self.dirty = self.dirty or changed
        return changed

    def adopt(self, found: Epoch, raw: bytes) -> None:
        """Vouch for this epoch from now on; it must follow the one before."""
        assert self.epoch is None or found.seq > self.epoch.seq, "epochs only go forward"
        assert self.mark is None or found.seq >= self.mark.seq, "nor below the floor"
        self.epoch = found
        self.mark = ObjectMark(seq=found.seq, sha256=found.sha256, envelope=raw.decode())
        self.dirty = True

    def seen(self, own: Beat) -> bool:
        """Count a beat of our key that a peer holds as used; whether it was ahead of us."""
        if self._last is None or own.seq > self._last[0]:
            self._last = (own.seq, own.sha256)
        ahead = own.seq > self.used
        self.used = max(self.used, own.seq)
        return ahead

    def contradicts(self, own: Beat) -> Contradiction | None:
        """A beat of our key that carries the number of our latest one and other content."""
        if self._last is None or own.seq != self._last[0] or own.sha256 == self._last[1]:
            return None
        return Contradiction("beat", own.seq, (self._last[1], own.sha256))

    def signing(self, sha256: str) -> None:
        """The next number is used now, by these bytes."""
        assert self.used < self._reserved, "reserve first"
        self.used += 1
        self._last = (self.used, sha256)

    @property
    def prev_sha256(self) -> str | None:
        """Digest of the latest beat of our stream that we know, or None."""
        return None if self._last is None else self._last[1]

    @property
    def must_store(self) -> bool:
        """Whether the next beat has to wait for the disk."""
        return self.dirty or self._reserved <= self.used < SEQ_MAX

    def body(self) -> bytes:
        """The bytes to store now, under a new generation; they reserve the next numbers."""
        self.generation += 1
        self._pending = min(max(self._reserved, self.used + RESERVED_AHEAD), NUMBER_MAX)
        self.dirty = False
        return encode(
            State(
                type=TYPE,
                domain=self._domain,
                issuer=self._issuer,
                generation=self.generation,
                reserved=self._pending,
                epoch=self.mark,
                halts=tuple(order.raw.decode() for order in self.halts.orders),
                trust=self._trust,
                trusts=self._chain(),
            )
        )

    def _chain(self) -> tuple[str, ...]:
        if len(self.documents) == 1:
            return ()  # the pinned one: its file has it
        return tuple(self.documents[version].decode() for version in sorted(self.documents))

    def stored(self) -> None:
        """What `body` gave last is durable."""
        self._reserved = self._pending

    def not_stored(self) -> None:
        """What `body` gave last is not durable."""
        self.dirty = True


def open_own(raw: bytes, issuer: envelope.KeyId, public: envelope.PublicKey) -> Beat:
    """A beat of our own key, whether or not trust still lets that key sign.

    Raises:
        ProtocolError: if it is none.
    """
    sealed = envelope.parse(raw, beat.MAX_BYTES)
    signers = envelope.signed_by(sealed, {issuer: public})
    if not signers or sealed.payload_type != beat.PAYLOAD_TYPE:
        raise ProtocolError(Reason.SIG_INVALID, "not a beat of our key")
    body = sealed.unverified_payload
    return beat.parse(envelope.Payload(body, sealed.payload_type, canonical.digest(body), signers))


def _reread(mark: ObjectMark) -> Epoch | None:
    if not mark.envelope:
        return None  # a floor; the epoch itself was not found yet
    # Not verified again: it was before it was stored, and the file carries a digest.
    return Epoch(mark.sha256, epoch.reread(mark.envelope.encode()))
