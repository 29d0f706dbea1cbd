"""What the follower is fed, and what it asks for: events in, commands out.

Every command is answered by a named event or by nothing, never by a callback:

    ReadPeer  -> PeerReplied | PeerFailed
    Store     -> Stored | StoreFailed
    WakeAfter -> RoundDue
    Publish, RoundEnded, Conflict -> nothing

`RoundDue`, `Hinted` and `Measured` come by themselves.

The production driver turns them into Redis reads, fsyncs and timers; the simulation turns the same
values into entries on a heap.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.runtime import Measurement
from sidecar.core.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class RoundDue:
    """It is time to read all peers. `jitter`: 0 to 1, drawn by the driver."""

    jitter: float


@dataclass(frozen=True, slots=True)
class Hinted:
    """Somebody says that something changed. Never believed; it only makes the next round come now.

    Attributes:
        jitter: 0 to 1, drawn by the driver.
    """

    jitter: float


@dataclass(frozen=True, slots=True)
class PeerReplied:
    """One read was answered.

    Attributes:
        peer: Who.
        round: The round that the read belonged to.
        found: Key -> values as stored; a string has none or one, a hash has all of its values.
    """

    peer: PeerId
    round: int
    found: Mapping[str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class PeerFailed:
    """One read was not answered in time, or not properly; its connection is gone.

    Attributes:
        peer: Who.
        round: The round that the read belonged to.
        kind: timeout, refused, closed, ... : a word for people and metrics.
    """

    peer: PeerId
    round: int
    kind: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The marks of that generation are durable."""

    generation: int


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """The marks of that generation are not durable."""

    generation: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What runs here was looked at; replaces what was found before."""

    found: Measurement


Event = RoundDue | Hinted | PeerReplied | PeerFailed | Stored | StoreFailed | Measured


@dataclass(frozen=True, slots=True)
class ReadPeer:
    """Read some keys of one peer.

    Attributes:
        peer: Whom.
        round: To be echoed in the answer.
        strings: Keys that hold one value.
        hashes: Keys that hold many values.
        max_bytes: A longer reply is a failure, and is not buffered.
    """

    peer: PeerId
    round: int
    strings: tuple[str, ...]
    hashes: tuple[str, ...]
    max_bytes: int


@dataclass(frozen=True, slots=True)
class WakeAfter:
    """Feed `RoundDue` after so many milliseconds; replaces a wake-up asked for before."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class Store:
    """Make these bytes durable, then say so."""

    generation: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """Hand this snapshot to the gate."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """For people: how a round went.

    Attributes:
        round: Its number.
        results: Peer -> `ok`, a reason code, or the kind of failure.
        outcome: `agreed`, or the code of the reason why there is no agreement.
        duration_ms: From the send to the last answer.
        faults: What was wrong, sorted by code.
    """

    round: int
    results: Mapping[PeerId, str]
    outcome: str
    duration_ms: int
    faults: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two signed objects contradict each other: evidence for everybody.

    Attributes:
        reason: What they prove.
        evidence: Id that a clear has to name.
        envelopes: The two objects as received.
    """

    reason: Reason
    evidence: str
    envelopes: tuple[bytes, ...]


Command = ReadPeer | WakeAfter | Store | Publish | RoundEnded | Conflict
