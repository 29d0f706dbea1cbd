"""What one peer's reply means to this follower: usable beats, orders, contradictions, faults.

`reply` says what is genuine; this says what of it counts here and now: against the marks, against
what was heard before, and by the freshness that the terms ask for. Nothing is decided or stored.

Source: protocol b.3 steps 2 to 4.
"""

from dataclasses import dataclass

from sidecar.core import layout
from sidecar.core.accepted import Accepted
from sidecar.core.events import Conflict, PeerReplied, ReadPeer, WriteCommand
from sidecar.core.granting import Granting
from sidecar.core.instant import Now
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.halt import Order
from sidecar.core.objects.trust import Trust
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.reply import Heard, Verifier

READ_MAX_BYTES = 4 * 1024 * 1024  # per reply; 256 halts and a handful of beats are below 3 MiB


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reply amounts to.

    Attributes:
        beats: Those that a lease may lean on.
        orders: Verified halts and clears.
        conflicts: What contradicts something heard before.
        successor: A verified newer trust document, or None.
        faults: What was wrong, in order of appearance.
        result: `ok`, `empty`, or the code of the first fault.
    """

    beats: tuple[Beat, ...]
    orders: tuple[Order, ...]
    conflicts: tuple[Conflict, ...]
    successor: Trust | None
    faults: tuple[Reason, ...]
    result: str


class Hearing:
    """Hears replies under the trust document in force.

    Args:
        accepted: The follower's memory.
        granting: Knows which beats are live, and which cover a report.
    """

    def __init__(self, accepted: Accepted, granting: Granting) -> None:
        self._accepted = accepted
        self._granting = granting
        self._reporter = granting.reporter
        self.under(granting.trust)

    def under(self, trust: Trust) -> None:
        """Judge by this document from now on."""
        self._trust = trust
        self._verifier = Verifier(trust, self._granting.terms)

    def read(self, peer: PeerId, number: int, writes: tuple[WriteCommand, ...]) -> ReadPeer:
        """What to ask a peer in a round.

        Args:
            peer: Whom.
            number: Of the round.
            writes: What to write first; with a report, its proofs are read too.
        """
        strings, hashes = self._verifier.keys()
        strings = (*strings, self._successor_key)
        fields: tuple[tuple[str, str], ...] = ()
        if self._reporter is not None and writes:
            fields = self._reporter.fields(self._verifier.issuers)
        return ReadPeer(peer, number, strings, hashes, READ_MAX_BYTES, fields, writes)

    def glance(self, peer: PeerId, number: int) -> ReadPeer:
        """What to ask a peer for its orders alone."""
        return ReadPeer(peer, number, (), self._verifier.keys()[1], READ_MAX_BYTES)

    def forget(self) -> None:
        """Drop what was verified long ago; call once a round."""
        self._verifier.forget()

    def orders(self, event: PeerReplied, now: Now) -> tuple[Order, ...]:
        """The orders in a reply, without the rest."""
        return self._verifier.hear(event.found, now.wall).orders

    def hear(self, event: PeerReplied, now: Now) -> Meaning:
        """What a reply amounts to."""
        heard = self._verifier.hear(event.found, now.wall)
        faults = dict.fromkeys(heard.faults)
        conflicts = self._conflicts(heard)
        usable = tuple(beat for beat, _ in heard.beats if self._usable(event, beat, faults, now))
        if any(self._accepted.behind(beat) for beat, _ in heard.stale):
            # Older than what it served before: that says more than that it is too old.
            faults.pop(Reason.BEAT_STALE, None)
            faults[Reason.ROLLBACK] = None
        successor = self._successor(event, faults, now)
        nothing = "ok" if heard.beats or faults else "empty"
        result = min((reason.code for reason in faults), default=nothing)
        return Meaning(usable, heard.orders, conflicts, successor, tuple(faults), result)

    def _usable(self, event: PeerReplied, beat: Beat, faults: dict[Reason, None], now: Now) -> bool:
        wrong = None if self._reporter is None else self._reporter.look(event.found, beat)
        if wrong is not None:
            faults[wrong] = None
        if self._accepted.outdated(beat.says.epoch):
            faults[Reason.ROLLBACK] = None
        elif self._accepted.jumps(beat):
            faults[Reason.FAST_FORWARD] = None
        elif not self._granting.live(beat, now):
            faults[wrong or Reason.NONCE_MISSING] = None
        else:
            self._granting.look(beat, now)
            return True
        return False

    def _conflicts(self, heard: Heard) -> tuple[Conflict, ...]:
        found = (self._accepted.witness(beat, raw) for beat, raw in (*heard.beats, *heard.stale))
        return tuple(conflict for conflict in found if conflict is not None)

    @property
    def _successor_key(self) -> str:
        return layout.trust_key(self._trust.domain, self._trust.version + 1)

    def _successor(self, event: PeerReplied, faults: dict[Reason, None], now: Now) -> Trust | None:
        for raw in event.found.get(self._successor_key, ()):
            try:
                return self._trust.rotate(raw, now.wall)
            except ProtocolError as error:
                faults[error.reason] = None
        return None
