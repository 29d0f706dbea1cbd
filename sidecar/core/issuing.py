"""What the issuer is fed, and what it asks for, beyond what it shares with the follower.

Every command is answered by a named event or by nothing:

    ReadPeer  -> PeerReplied | PeerFailed
    WritePeer -> PeerWrote | PeerFailed
    Sign      -> Signed | SignFailed
    Record    -> Recorded | RecordFailed
    Store     -> Stored | StoreFailed
    WakeAfter -> BeatDue
    Tell, BeatEnded -> nothing
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from sidecar.core.canonical import Json
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
from sidecar.core.objects.trust import LogHead
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
    GOVERNANCE_UNWRITTEN = "governance-unwritten"  # our own log cannot be kept: no beat
    GOVERNANCE_LOST = "governance-lost"  # our own log holds less than our beats said: no beat
    GOVERNANCE_RETIRED = "governance-retired"  # trust gives the key of our log the role no more


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two or more signed objects where there can be one.

    Attributes:
        what: Of which kind they are: trust, epoch or beat.
        number: That all of them carry.
        sha256: Digest of each.
    """

    what: str
    number: int
    sha256: tuple[str, ...]

    def __str__(self) -> str:
        word = "version" if self.what == "trust" else "number"
        return f"{word} {self.number}: {' and '.join(sha256[:16] for sha256 in self.sha256)}"


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


@dataclass(frozen=True, slots=True)
class Recorded:
    """Everything that was handed over is on the disk, under a signed checkpoint: this one."""

    head: LogHead


@dataclass(frozen=True, slots=True)
class RecordFailed:
    """That is not so; `detail` for people: why, and what to do."""

    detail: str


Event = (
    BeatDue
    | PeerReplied
    | PeerFailed
    | PeerWrote
    | Signed
    | SignFailed
    | Stored
    | StoreFailed
    | Recorded
    | RecordFailed
)


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


EntryKind = Literal["trust", "epoch", "halt", "clear", "conflict"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One object for the governance log.

    Attributes:
        kind: Of record.
        detail: `number`, `sha256` (of a conflict: of each), `by`, and what else tells about it.
    """

    kind: EntryKind
    detail: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Record:
    """Write these entries to the governance log; none of them: say what is on the disk."""

    entries: tuple[Entry, ...]


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


Command = ReadPeer | WritePeer | Sign | Store | Record | WakeAfter | Tell | BeatEnded


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
