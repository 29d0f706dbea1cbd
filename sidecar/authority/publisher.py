"""Runs one `Issuer`: its commands become reads, writes, signatures and fsyncs.

Rules:

* One worker per peer, so one batch outstanding per peer, and a slow one delays nobody else.
* Every command is answered, whatever happens to it; otherwise the beat would stand still.
* The clocks are read for each event, so what the issuer calls now is when it decides.
* What has to be on record is written by somebody else, who is handed in: this knows no journal.
* No rule of the protocol lives here.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, assert_never

from sidecar import signer
from sidecar.authority.store import StateError, StateStore
from sidecar.clock import Clock
from sidecar.config.sections import AuthorityConfig
from sidecar.core import events, issuing
from sidecar.core.events import PeerFailed, ReadPeer, Store, WakeAfter
from sidecar.core.fault import PeerError
from sidecar.core.fleet import Fleet
from sidecar.core.governed import Governed
from sidecar.core.issued import State, in_force
from sidecar.core.issuer import Issuer
from sidecar.core.issuing import (
    BeatEnded,
    Entry,
    Record,
    Sign,
    Tell,
    WriteCommand,
    WritePeer,
)
from sidecar.core.objects.beat import Fleet as Covered
from sidecar.core.objects.trust import LogHead, Trust
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError
from sidecar.core.vouch import Setting
from sidecar.signer import Signer


class PeerLike(Protocol):
    """What the publisher needs of a peer."""

    @property
    def id(self) -> str:
        """Its short name."""

    async def read(
        self, strings: tuple[str, ...], hashes: tuple[str, ...], max_bytes: int, tag: bytes
    ) -> Mapping[str, tuple[bytes, ...]]:
        """Read keys, bound to `tag`; raises PeerError, never blocks for longer than agreed."""

    async def ask(self, want: ReadPeer, tag: bytes) -> tuple[Mapping[str, tuple[bytes, ...]], bool]:
        """Write, then read; what is read counts although a write was denied. Raises PeerError."""

    async def write(self, commands: Sequence[WriteCommand], tag: bytes) -> None:
        """Run commands; raises PeerError unless every one was acknowledged."""

    def close(self) -> None:
        """Let go of the connection."""


class RecordError(Exception):
    """The governance log is not kept; the message says which, why, and what to do."""


class LedgerLike(Protocol):
    """What the publisher needs of a governance log."""

    @property
    def governed(self) -> Governed:
        """What it holds."""

    async def record(self, entries: Sequence[Entry]) -> LogHead:
        """Write entries; the head that covers all there is, once it is durable and signed.

        Raises:
            RecordError: that is not so, or not yet.
        """


@dataclass(slots=True)
class Counts:
    """Figures for a status page.

    Attributes:
        beats: Signed and offered to the peers since the start.
        committed: Of them, taken by enough peers.
        seq: Number of the latest beat.
        epoch_seq: Number of the epoch that it vouched for.
        issued_at: When, milliseconds since 1970.
        acks: How many peers took it.
        covered: What it said about the fleet; None before the first.
        reports_verified: Since the start.
        trust_version: Of the trust document in force.
        failures: (peer, kind) -> reads and writes that failed.
        conditions: What is the case now and should not be for long: word -> detail.
    """

    beats: int = 0
    committed: int = 0
    seq: int = 0
    epoch_seq: int = 0
    issued_at: int = 0
    acks: int = 0
    covered: Covered | None = None
    reports_verified: int = 0
    trust_version: int = 0
    failures: dict[tuple[str, str], int] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)


class Publisher:
    """One authority replica.

    Args:
        config: State folder, interval and life of beats.
        trust: The pinned trust document; a newer one that was walked to is in the state.
        key: This replica's own beat key.
        peers: Where to publish; their time limits are `config.beat.publish_ms`.
        clock: Both clocks.
        tell: Handed everything that people should know.
        ledger: Keeps the governance log; None: none is kept.

    Raises:
        StateError: when the stored state cannot be used, or contradicts the pinned trust document;
            nothing was published.
        ProtocolError: KEY_UNKNOWN when trust does not let the key sign beats.
    """

    def __init__(
        self,
        config: AuthorityConfig,
        trust: Trust,
        key: Signer,
        peers: Sequence[PeerLike],
        clock: Clock,
        tell: Callable[[Tell | BeatEnded], None],
        *,
        ledger: LedgerLike | None = None,
    ) -> None:
        self._peers = {PeerId(peer.id): peer for peer in peers}
        self._key = key
        self._clock = clock
        self._tell = tell
        self._ledger = ledger
        self._store = StateStore(config.state_dir)
        setting = Setting(
            key.key_id,
            key.public,
            tuple(self._peers),
            config.beat.ttl_ms,
            config.beat.interval_ms,
        )
        try:
            state = self._store.load(trust.domain, key.key_id)
            governed = None if ledger is None else ledger.governed
            self._issuer = Issuer(self._newest(trust, state), setting, state, governed)
        except BaseException:
            self._store.close()
            raise
        self._tag = 0
        self._wake: asyncio.TimerHandle | None = None
        self._events: asyncio.Queue[issuing.Event] = asyncio.Queue()
        self._work: dict[PeerId, asyncio.Queue[ReadPeer | WritePeer]] = {
            peer: asyncio.Queue() for peer in self._peers
        }
        self._saves: asyncio.Queue[Store] = asyncio.Queue()
        self._records: asyncio.Queue[Record] = asyncio.Queue()
        self.counts = Counts(trust_version=self._issuer.trust.version)

    @property
    def fleet(self) -> Fleet:
        """Who reports, for people."""
        return self._issuer.fleet

    @property
    def covered(self) -> frozenset[str]:
        """Names of the instances that the latest beat covers."""
        return frozenset(member.name for member in self._issuer.covered)

    @property
    def trust(self) -> Trust:
        """The trust document in force, for people."""
        return self._issuer.trust

    def _newest(self, pinned: Trust, state: State | None) -> Trust:
        try:
            return in_force(pinned, state, self._clock().wall)
        except ProtocolError as error:
            raise StateError(
                f"{self._store.path}: does not fit the trust document in spec.trust.file: "
                f"{error.detail}; put back the document that this state was made under, or a newer "
                "one. After a break-glass replacement of root give this replica a new beat key and "
                "an empty state folder"
            ) from None

    async def run(self) -> None:
        """Vouch until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for peer in self._peers:
                    tasks.create_task(self._peer_loop(peer))
                tasks.create_task(self._save_loop())
                if self._ledger is not None:
                    tasks.create_task(self._record_loop(self._ledger))
                self._events.put_nowait(issuing.BeatDue())
                while True:
                    event = await self._events.get()
                    for command in self._issuer.handle(event, self._clock()):
                        self._do(command)
        finally:
            if self._wake is not None:
                self._wake.cancel()
            for one in self._peers.values():
                one.close()
            self._store.close()

    def _do(self, command: issuing.Command) -> None:
        match command:
            case ReadPeer() | WritePeer():
                self._work[command.peer].put_nowait(command)
            case Store():
                self._saves.put_nowait(command)
            case Record():
                self._records.put_nowait(command)
            case Sign():
                self._events.put_nowait(self._sign(command))
            case WakeAfter(delay_ms=delay_ms):
                if self._wake is not None:
                    self._wake.cancel()
                loop = asyncio.get_running_loop()
                due = issuing.BeatDue()
                self._wake = loop.call_later(delay_ms / 1000, self._events.put_nowait, due)
            case Tell() | BeatEnded():
                self._note(command)
                self._tell(command)
            case _:  # pragma: no cover
                assert_never(command)

    def _sign(self, command: Sign) -> issuing.Event:
        try:
            sealed = signer.sign(command.payload_type, command.payload, self._key)
        except Exception as error:  # noqa: BLE001, a key behind a network fails in its own ways
            return issuing.SignFailed(f"{type(error).__name__}: {error}")
        return issuing.Signed(sealed)

    async def _peer_loop(self, peer: PeerId) -> None:
        while True:
            command = await self._work[peer].get()
            self._tag += 1
            try:
                event = await self._ask(command, b"%d" % self._tag)
            except PeerError as error:
                key = (str(peer), error.kind)
                self.counts.failures[key] = self.counts.failures.get(key, 0) + 1
                event = PeerFailed(peer, command.round, error.kind)
            self._events.put_nowait(event)

    async def _ask(self, command: ReadPeer | WritePeer, tag: bytes) -> issuing.Event:
        peer = self._peers[command.peer]
        if isinstance(command, WritePeer):
            await peer.write(command.commands, tag)
            return issuing.PeerWrote(command.peer, command.round)
        found, wrote = await peer.ask(command, tag)
        return events.PeerReplied(command.peer, command.round, found, wrote)

    async def _save_loop(self) -> None:
        while True:
            command = await self._saves.get()
            try:
                await asyncio.to_thread(self._store.save, command.body)
            except OSError:
                self._events.put_nowait(events.StoreFailed(command.generation))
            else:
                self._events.put_nowait(events.Stored(command.generation))

    async def _record_loop(self, ledger: LedgerLike) -> None:
        while True:
            command = await self._records.get()
            try:
                head = await ledger.record(command.entries)
            except RecordError as error:
                self._events.put_nowait(issuing.RecordFailed(str(error)))
            else:
                self._events.put_nowait(issuing.Recorded(head))

    def _note(self, told: Tell | BeatEnded) -> None:
        counts = self.counts
        counts.trust_version = self.trust.version
        if isinstance(told, Tell):
            counts.conditions.pop(told.fact.value, None)
            if not told.over:
                counts.conditions[told.fact.value] = told.detail
            return
        counts.covered, counts.reports_verified = told.fleet, self.fleet.verified
        counts.beats += 1
        counts.committed += told.committed
        counts.seq, counts.epoch_seq = told.seq, told.epoch_seq
        counts.issued_at, counts.acks = told.issued_at, told.acks
