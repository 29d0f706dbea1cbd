"""One read of all peers: who was asked, who answered what, and what was wrong.

A round belongs to one instant, the send. Only answers to this round are entered here.
"""

from collections.abc import Sequence

from sidecar.core import quorum
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.objects.beat import Beat
from sidecar.core.quorum import Agreement, PeerId, Split, TooFew, Vote
from sidecar.core.reason import Reason

AGREED = "agreed"


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
    """

    __slots__ = ("asked", "faults", "jitter", "number", "results", "sent", "votes", "waiting")

    def __init__(self, number: int, sent: Now, jitter: float, peers: Sequence[PeerId]) -> None:
        self.number = number
        self.sent = sent
        self.jitter = jitter
        self.waiting: dict[PeerId, str | None] = dict.fromkeys(peers)
        self.votes: dict[PeerId, Vote] = {}
        self.results: dict[PeerId, str] = {}
        self.faults: dict[Reason, None] = {}
        self.asked: dict[tuple[PeerId, str], Reason] = {}

    def tally(self, need: int) -> Agreement | TooFew | Split:
        """What the votes so far amount to."""
        return quorum.tally(self.votes, need)

    def fault(self, reason: Reason) -> None:
        """Note what was wrong; once is enough."""
        self.faults[reason] = None

    def finish(self, need: int) -> str:
        """Close the books: the outcome, with its fault noted."""
        result = self.tally(need)
        if isinstance(result, Agreement):
            return AGREED
        lost = isinstance(result, TooFew)
        fault = Reason.QUORUM_LOST if lost else Reason.AUTHORITY_CONFLICT
        self.fault(fault)
        return fault.code

    def spent_ms(self, now: Now) -> int:
        """Milliseconds since the send."""
        return (now.boot - self.sent.boot) // NS_PER_MS

    @property
    def sorted_faults(self) -> tuple[Reason, ...]:
        """Faults by code: the same input gives the same list."""
        return tuple(sorted(self.faults, key=lambda reason: reason.code))


def rank(beat: Beat) -> tuple[int, int]:
    """Which of two beats speaks of what comes later: the greater."""
    return (beat.says.epoch.seq, beat.says.issued_at)
