"""One read of all peers: who was asked, who answered what, and what was wrong.

A round belongs to one instant, the send. Only answers to this round are entered here.
"""

from collections.abc import Sequence

from sidecar.core import quorum
from sidecar.core.archive import Missing
from sidecar.core.events import ReadPeer
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.objects.epoch import BLOB_MAX_BYTES
from sidecar.core.quorum import Agreement, PeerId, Split, TooFew, Vote
from sidecar.core.reason import Reason

AGREED = "agreed"
OBJECT_MAX_BYTES = 2 * BLOB_MAX_BYTES  # an epoch in its envelope, or a blob


class Round:
    """The state of one round.

    Args:
        number: Counts up; echoed in every answer.
        sent: Both clocks, read before the first read left.
        jitter: 0 to 1, for the pause after it.
        peers: Whom to ask.

    Attributes:
        waiting: Peers that owe an answer -> the object asked for, None for the vote itself.
        votes: What answered peers contribute.
        results: Peer -> `ok`, `empty`, a reason code, or the kind of failure.
        faults: What was wrong, in order of appearance.
        asked: (peer, key) already asked for -> what other bytes there mean.
        took: Peers that took what was written to them.
        unmet: Why no lease was granted, in order of appearance.
        void: Whether what it rests on has changed since the send: it grants nothing any more.
    """

    __slots__ = (
        "asked", "faults", "jitter", "number", "results", "sent", "took", "unmet", "void",
        "votes", "waiting",
    )  # fmt: skip

    def __init__(self, number: int, sent: Now, jitter: float, peers: Sequence[PeerId]) -> None:
        self.number = number
        self.sent = sent
        self.jitter = jitter
        self.waiting: dict[PeerId, str | None] = dict.fromkeys(peers)
        self.votes: dict[PeerId, Vote] = {}
        self.results: dict[PeerId, str] = {}
        self.faults: dict[Reason, None] = {}
        self.asked: dict[tuple[PeerId, str], Reason] = {}
        self.took: set[PeerId] = set()
        self.unmet: dict[Reason, None] = {}
        self.void = False

    def tally(self, need: int) -> Agreement | TooFew | Split:
        """What the votes so far amount to."""
        return quorum.tally(self.votes, need)

    def fault(self, reason: Reason) -> None:
        """Note what was wrong; once is enough."""
        self.faults[reason] = None

    def deny(self, reason: Reason) -> None:
        """Note why no lease is granted, as far as one can tell yet."""
        self.unmet[reason] = None

    def grant(self) -> None:
        """A lease is granted after all: what the replies before this one lacked has come."""
        self.unmet.clear()

    def ask(self, missing: Missing) -> list[ReadPeer]:
        """Fetch one object from every peer that voted and is not busy."""
        commands = []
        for peer in self.votes:
            if peer not in self.waiting and (peer, missing.key) not in self.asked:
                self.asked[peer, missing.key] = missing.mismatch
                self.waiting[peer] = missing.key
                commands.append(ReadPeer(peer, self.number, (missing.key,), (), OBJECT_MAX_BYTES))
        if not commands and not any(key == missing.key for key in self.waiting.values()):
            self.deny(missing.reason)
        return commands

    def fetched(self, peer: PeerId, key: str, *, good: bool) -> None:
        """An object came; `good`: it is what its name says."""
        if not good:
            wrong = self.asked[peer, key]
            self.fault(wrong)
            self.results[peer] = wrong.code

    def finish(self, need: int) -> str:
        """Close the books: the outcome, with its fault noted."""
        result = self.tally(need)
        if isinstance(result, Agreement):
            return AGREED
        if isinstance(result, Split):
            self.deny(Reason.AUTHORITY_CONFLICT)
            return Reason.AUTHORITY_CONFLICT.code
        if len({beat.says.epoch.seq for vote in self.votes.values() for beat in vote.beats}) > 1:
            self.deny(Reason.PEER_DIVERGENCE)
        for reason in self.faults:
            self.unmet[reason] = None
        self.deny(Reason.QUORUM_LOST)
        return Reason.QUORUM_LOST.code

    def spent_ms(self, now: Now) -> int:
        """Milliseconds since the send."""
        return (now.boot - self.sent.boot) // NS_PER_MS

    @property
    def sorted_faults(self) -> tuple[Reason, ...]:
        """Faults by code: the same input gives the same list."""
        return tuple(sorted(self.faults | self.unmet, key=lambda reason: reason.code))

    @property
    def sorted_unmet(self) -> tuple[Reason, ...]:
        """Why no lease was granted, by code."""
        return tuple(sorted(self.unmet, key=lambda reason: reason.code))
