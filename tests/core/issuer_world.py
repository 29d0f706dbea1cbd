"""One authority replica, its peers in memory: what the tests of the issuer have in common."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from sidecar.core import governed, issued, issuing, layout
from sidecar.core.events import PeerFailed, PeerReplied, ReadPeer, Store, Stored, StoreFailed
from sidecar.core.governed import Governed
from sidecar.core.instant import Now
from sidecar.core.issued import State
from sidecar.core.issuer import Issuer
from sidecar.core.issuing import Entry, Fact, Record, Sign, Tell, WriteCommand, WritePeer
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import LogHead, Mark, Role, Trust
from sidecar.core.quorum import PeerId
from sidecar.core.vouch import Setting
from sidecar.signer import sign
from tests import builders
from tests.builders import NOW

TRUST = builders.make_trust()
KEY = builders.signer(Role.BEAT)
LOG_KEY = builders.signer(Role.LOG)
PEERS = tuple(PeerId(name) for name in ("a", "b", "c"))
SETTING = Setting(KEY.key_id, KEY.public, PEERS, ttl_ms=4000, interval_ms=500)
DOMAIN = TRUST.domain

HEAD = layout.head_key(DOMAIN)
HALTS = layout.halts_key(DOMAIN)
BEAT = layout.beat_key(DOMAIN, KEY.key_id)
REPORTS = layout.reports_key(DOMAIN)
PROOFS = layout.proofs_key(DOMAIN, KEY.key_id)

GOVERNANCE = governed.origin(DOMAIN, LOG_KEY.key_id)

Watch = Callable[[issuing.Command], None]


class Memory:
    """One peer in memory: strings and hashes."""

    def __init__(self) -> None:
        self.strings: dict[str, bytes] = {}
        self.hashes: dict[str, dict[str, bytes]] = {}

    def read(self, command: ReadPeer) -> dict[str, tuple[bytes, ...]]:
        self.run(command.writes)
        found: dict[str, tuple[bytes, ...]] = {
            key: (self.strings[key],) if key in self.strings else () for key in command.strings
        }
        found |= {key: tuple(self.hashes.get(key, {}).values()) for key in command.hashes}
        return found

    def write(self, command: WritePeer) -> None:
        self.run(command.commands)

    def run(self, commands: Iterable[WriteCommand]) -> None:
        for name, key, *rest in commands:
            values = [part.encode() if isinstance(part, str) else part for part in rest]
            fields = self.hashes.setdefault(str(key), {})
            if name == "SET":
                self.strings[str(key)] = values[0]
            elif name == "HSET":
                pairs = zip(values[::2], values[1::2], strict=True)
                fields.update({field.decode(): value for field, value in pairs})
            elif name == "HDEL":
                for field in values:
                    fields.pop(field.decode(), None)
            elif name == "DEL":
                fields.clear()


class Book:
    """A governance log in memory."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.broken = ""

    def opened(self) -> Governed:
        names = {governed.name(entry.kind, entry.detail) for entry in self.entries}
        return Governed(GOVERNANCE, LOG_KEY.key_id, names)

    @property
    def head(self) -> LogHead:
        size = len(self.entries)
        return LogHead(origin=GOVERNANCE, size=size, root=f"{size:064x}")

    def record(self, command: Record) -> issuing.Recorded | issuing.RecordFailed:
        if self.broken:
            return issuing.RecordFailed(self.broken)
        self.entries += command.entries
        return issuing.Recorded(self.head)

    def told(self) -> list[tuple[str, object]]:
        """Kind and number of each entry."""
        return [(entry.kind, entry.detail["number"]) for entry in self.entries]


class World:
    """An issuer whose commands are carried out at once, in order."""

    def __init__(
        self, state: State | None = None, *, empty: bool = False, governed: bool = False
    ) -> None:
        self.book = Book() if governed else None
        self.issuer = Issuer(TRUST, SETTING, state, self.book.opened() if self.book else None)
        self.peers = {peer: Memory() for peer in PEERS}
        self.down: set[PeerId] = set()
        self.readonly: set[PeerId] = set()
        self.disk: bytes | None = None
        self.disk_full = False
        self.ms = 0
        self.log: list[issuing.Command] = []
        self.here: Mark | None = None  # the epoch that instances hold
        self.before: Watch = lambda command: None
        if not empty:
            self.put_epoch(FIRST)

    def put_epoch(self, made: Epoch, peers: tuple[PeerId, ...] = PEERS, **raws: bytes) -> None:
        for peer in peers:
            self.here = Mark(seq=made.seq, sha256=made.sha256)
            strings = self.peers[peer].strings
            strings[HEAD] = made.sha256.encode()
            strings[layout.epoch_key(DOMAIN, made.sha256)] = raws.get("raw", RAW[made.sha256])
            strings[layout.blob_key(DOMAIN, made.says.policy.sha256)] = builders.POLICY
            strings[layout.blob_key(DOMAIN, made.says.routes.sha256)] = builders.ROUTES

    def put_order(self, peer: PeerId, raw: bytes, name: str = "x") -> None:
        self.peers[peer].hashes.setdefault(HALTS, {})[name] = raw

    def put_report(self, number: int, *peers: PeerId, **changes: Any) -> None:
        said = {"trust": builders.trust_ref(TRUST), "epoch": self.here, **changes}
        raw = builders.report_bytes(number, **said)
        for peer in peers or PEERS:
            held = self.peers[peer].hashes.setdefault(REPORTS, {})
            held[builders.report_body(number).instance] = raw

    def put_trust(self, made: Trust, *peers: PeerId) -> None:
        for peer in peers or PEERS:
            self.peers[peer].strings[layout.trust_key(DOMAIN, made.version)] = made.raw

    def restart(self) -> None:
        """A new process over what is on the disk."""
        state = None if self.disk is None else issued.decode(self.disk, DOMAIN, KEY.key_id)
        trust = issued.in_force(TRUST, state, NOW)
        self.issuer = Issuer(trust, SETTING, state, self.book.opened() if self.book else None)

    def beat(self) -> Beat | None:
        """Run one beat to its end; the beat that was signed, if any."""
        start = len(self.log)
        self.ms += SETTING.interval_ms
        todo: deque[issuing.Event] = deque([issuing.BeatDue()])
        while todo:
            for command in self.issuer.handle(todo.popleft(), self.now()):
                self.before(command)
                self.log.append(command)
                answer = self.answer(command)
                if answer is not None:
                    todo.append(answer)
                self.ms += 1
        signed = [command for command in self.log[start:] if isinstance(command, Sign)]
        assert len(signed) <= 1
        if not signed:
            return None
        raw = sign(signed[0].payload_type, signed[0].payload, KEY)
        return builders.open_beat(raw, self.issuer.trust)

    def must_beat(self) -> Beat:
        made = self.beat()
        assert made is not None, self.told()
        return made

    def now(self) -> Now:
        return builders.now(self.ms)

    def answer(self, command: issuing.Command) -> issuing.Event | None:
        match command:
            case ReadPeer() if command.peer in self.down:
                return PeerFailed(command.peer, command.round, "timeout")
            case ReadPeer():
                found = self.peers[command.peer].read(command)
                return PeerReplied(command.peer, command.round, found)
            case WritePeer() if command.peer in self.down | self.readonly:
                return PeerFailed(command.peer, command.round, "refused")
            case WritePeer():
                self.peers[command.peer].write(command)
                return issuing.PeerWrote(command.peer, command.round)
            case Store() if self.disk_full:
                return StoreFailed(command.generation)
            case Store():
                self.disk = command.body
                return Stored(command.generation)
            case Sign():
                return issuing.Signed(sign(command.payload_type, command.payload, KEY))
            case Record():
                assert self.book is not None, "nothing is recorded without a log"
                return self.book.record(command)
            case _:
                return None

    def told(self) -> list[Fact]:
        return [command.fact for command in self.log if isinstance(command, Tell)]


RAW: dict[str, bytes] = {}


def make_epoch(prev: Epoch | None = None, **changes: Any) -> Epoch:
    raw = builders.epoch_bytes(TRUST, prev, **changes)
    made = builders.open_epoch(raw, TRUST)
    RAW[made.sha256] = raw
    return made


FIRST = make_epoch()
SECOND = make_epoch(FIRST)
THIRD = make_epoch(SECOND)
RIVAL = make_epoch(FIRST, reason="rival")
