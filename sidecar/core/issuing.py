"""What the issuer is fed, and what it asks for, beyond what it shares with the follower.

Every command is answered by a named event or by nothing:

    ReadPeer  -> PeerReplied | PeerFailed
    WritePeer -> PeerWrote | PeerFailed
    Sign      -> Signed | SignFailed
    Store     -> Stored | StoreFailed
    WakeAfter -> BeatDue
    Tell, BeatEnded -> nothing
"""

from dataclasses import dataclass
from enum import Enum

from sidecar.core.events import (
    PeerFailed,
    PeerReplied,
    ReadPeer,
    Store,
    Stored,
    StoreFailed,
    WakeAfter,
    WriteCommand,
)
from sidecar.core.objects.beat import Fleet
from sidecar.core.quorum import PeerId

__all__ = ["WriteCommand"]


class Fact(Enum):
    """What an operator has to know about an authority; the value is what logs and metrics say."""

    NO_EPOCH = "no-epoch"  # nothing to vouch for
    EPOCH_ADOPTED = "epoch-adopted"
    EPOCH_DENIED = "epoch-denied"  # a peer names one that does not verify
    EPOCH_PENDING = "epoch-pending"  # verified, not valid yet or not complete on the peers
    EPOCH_CONFLICT = "epoch-conflict"  # two with one number: nothing is vouched for
    HALTED = "halted"  # a halt is in force; beats say so
    HALTS_CHANGED = "halts-changed"
    TOO_FEW_PEERS = "too-few-peers"  # answered to vouch for anything
    STREAM_AHEAD = "stream-ahead"  # peers hold a later beat of our key than our state knows
    STREAM_FORKED = "stream-forked"  # peers hold another beat under a number of ours
    STREAM_FULL = "stream-full"  # no numbers left: the key has to be replaced
    UNCOMMITTED = "uncommitted"  # too few peers took the latest beat
    STORE_FAILED = "store-failed"
    SIGN_FAILED = "sign-failed"
    OVERDUE = "overdue"  # a beat took longer than the interval
    TRUST_ADOPTED = "trust-adopted"  # a newer trust document is in force
    TRUST_CONFLICT = "trust-conflict"  # two follow the one in force: nothing is vouched for
    KEY_RETIRED = "key-retired"  # the trust document gives our key the role no more
    KEY_EXPIRED = "key-expired"  # our key's life has ended, or is about to
    KEY_EXPIRING = "key-expiring"  # our key's life ends soon
    REPORTS_UNREAD = "reports-unread"  # a peer did not give the fleet's reports
    LOG_SHRUNK = "log-shrunk"  # an instance reports less of its audit log than before


@dataclass(frozen=True, slots=True)
class BeatDue:
    """It is time for the next beat."""


@dataclass(frozen=True, slots=True)
class PeerWrote:
    """One peer took everything it was given.

    Attributes:
        peer: Who.
        round: The step that the write belonged to.
    """

    peer: PeerId
    round: int


@dataclass(frozen=True, slots=True)
class Signed:
    """The envelope that was asked for."""

    envelope: bytes


@dataclass(frozen=True, slots=True)
class SignFailed:
    """The key could not be used; `detail` for people."""

    detail: str


Event = BeatDue | PeerReplied | PeerFailed | PeerWrote | Signed | SignFailed | Stored | StoreFailed


@dataclass(frozen=True, slots=True)
class WritePeer:
    """Run these commands on one peer, in order, and say whether all were taken.

    Attributes:
        peer: Whom.
        round: To be echoed in the answer.
        commands: SET, HSET and PUBLISH with their arguments.
    """

    peer: PeerId
    round: int
    commands: tuple[WriteCommand, ...]


@dataclass(frozen=True, slots=True)
class Sign:
    """Seal these bytes with this replica's beat key."""

    payload_type: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Tell:
    """For people; conditions are told when they begin and when they are over.

    Attributes:
        fact: What.
        detail: One line.
        over: Whether it is no longer so.
    """

    fact: Fact
    detail: str
    over: bool = False


@dataclass(frozen=True, slots=True)
class BeatEnded:
    """For people: how one beat went.

    Attributes:
        seq: Its number.
        epoch_seq: Number of the epoch that it vouches for.
        issued_at: Milliseconds since 1970.
        acks: Peers that took it.
        committed: Whether they are enough (`w`).
        fleet: What it says about the fleet.
    """

    seq: int
    epoch_seq: int
    issued_at: int
    acks: int
    committed: bool
    fleet: Fleet


Command = ReadPeer | WritePeer | Sign | Store | WakeAfter | Tell | BeatEnded


class Conditions:
    """Tells a condition when it begins, when it changes and when it is over; never in between."""

    def __init__(self) -> None:
        self._told: dict[Fact, str] = {}

    def set(self, fact: Fact, detail: str) -> list[Command]:
        """It is so; an empty detail means that it is not."""
        before = self._told.get(fact, "")
        if before == detail:
            return []
        if detail:
            self._told[fact] = detail
            return [Tell(fact, detail)]
        return [Tell(fact, self._told.pop(fact), over=True)]
