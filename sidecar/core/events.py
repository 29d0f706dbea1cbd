"""What the follower is fed, and what it asks for: events in, commands out.

Every command is answered by a named event or by nothing, never by a callback:

    ReadPeer  -> PeerReplied | PeerFailed
    Store     -> Stored | StoreFailed
    WakeAfter -> RoundDue
    Publish, RoundEnded, Conflict, Passage, TrustAdopted -> nothing

`RoundDue`, `Hinted`, `Measured` and, ten times a second, `Ticked` come by themselves.

The production driver turns them into Redis reads, fsyncs and timers; the simulation turns the same
values into entries on a heap.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.core.objects.report import AuditHead
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.runtime import Measurement
from sidecar.core.snapshot import Snapshot

WriteCommand = tuple[str | bytes, ...]  # SET, HSET, HDEL, DEL or PUBLISH, and its arguments


@dataclass(frozen=True, slots=True)
class Standing:
    """What other parts of the sidecar say about themselves, for its reports.

    Attributes:
        counters: What they counted since the process began, by name.
        audit: Head of the audit log, or None.
    """

    counters: Mapping[str, int] = field(default_factory=dict)
    audit: AuditHead | None = None


NO_STANDING = Standing()


@dataclass(frozen=True, slots=True)
class RoundDue:
    """It is time to read all peers.

    Attributes:
        jitter: 0 to 1, drawn by the driver.
        nonce: 32 bytes that nobody could know before, drawn for this event; empty: no report.
        standing: For the report.
    """

    jitter: float
    nonce: bytes = b""
    standing: Standing = NO_STANDING


@dataclass(frozen=True, slots=True)
class Hinted:
    """A peer says that something changed. Never believed; it only makes us look now.

    Attributes:
        jitter: 0 to 1, drawn by the driver.
        nonce: As in `RoundDue`.
        standing: As in `RoundDue`.
        peer: Who says so, or None.
    """

    jitter: float
    nonce: bytes = b""
    standing: Standing = NO_STANDING
    peer: PeerId | None = None


@dataclass(frozen=True, slots=True)
class Ticked:
    """Some time has passed: compare the clocks."""


@dataclass(frozen=True, slots=True)
class PeerReplied:
    """One read was answered.

    Attributes:
        peer: Who.
        round: The round that the read belonged to.
        found: Key -> values as stored; a string has none or one, a hash has all of its values. A
            single field of a hash goes by `layout.field_name`.
        wrote: Whether the peer took all of the writes.
    """

    peer: PeerId
    round: int
    found: Mapping[str, tuple[bytes, ...]]
    wrote: bool = True


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


Event = RoundDue | Hinted | Ticked | Measured | PeerReplied | PeerFailed | Stored | StoreFailed


@dataclass(frozen=True, slots=True)
class ReadPeer:
    """Write to one peer, then read some of its keys.

    Attributes:
        peer: Whom.
        round: To be echoed in the answer.
        strings: Keys that hold one value.
        hashes: Keys that hold many values.
        max_bytes: A longer reply is a failure, and is not buffered.
        fields: Single fields of hashes: key and field.
        writes: Run first. A peer that denies them is read all the same.
    """

    peer: PeerId
    round: int
    strings: tuple[str, ...]
    hashes: tuple[str, ...]
    max_bytes: int
    fields: tuple[tuple[str, str], ...] = ()
    writes: tuple[WriteCommand, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the lifecycle of EG-PROTOCOL-001 section 9.

    Attributes:
        number: 1 to 10.
        ok: Whether it held.
        spent_ms: Since the step before it.
        evidence: What it rested on: digests, numbers and reason codes.
    """

    number: int
    ok: bool
    spent_ms: int
    evidence: Mapping[str, str | int | list[str]]


@dataclass(frozen=True, slots=True)
class Passage:
    """One way through the lifecycle, as far as it went: to be written down."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class TrustAdopted:
    """A newer trust document is in force; its marks are durable.

    Attributes:
        version: Its number.
        sha256: Its digest, hex.
        before: Digest of the one before it.
        raw: Its envelope.
    """

    version: int
    sha256: str
    before: str
    raw: bytes


Told = RoundEnded | Conflict | Passage | TrustAdopted
Command = ReadPeer | WakeAfter | Store | Publish | Told
