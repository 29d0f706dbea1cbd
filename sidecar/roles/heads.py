"""The heads of this sidecar's logs on every peer: told all the time, and asked for at start.

Rules:

* A peer is asked before it is told, so that what it remembers is never overwritten unread.
* What it remembers counts when this instance's own key has signed it for the log of that name. A
  peer that invents something, or remembers nothing, changes nothing.
* A log that holds less than a peer remembers, or something else, latches the gate (EG707, EG706).
  Then no peer is told anything any more: what they remember is the evidence.
* Files are read in a thread: a disk that hangs must not hold the event loop. One that fails is said
  once, and tried again; that it closes the gate is the journal's business.

Who holds the whole folder and all peers can still make all of them forget: see README, limits.
Source: hardening E-J9; protocol b.13.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.audit import checkpoints, past
from sidecar.core import layout
from sidecar.core.envelope import PublicKey
from sidecar.core.events import ReadPeer, WriteCommand
from sidecar.core.fault import PeerError
from sidecar.core.log.note import MAX_BYTES as NOTE_MAX_BYTES
from sidecar.core.log.note import NoteKey
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.sync.peer import Peer
from sidecar.telemetry import logs
from sidecar.telemetry.logs import Log

if TYPE_CHECKING:
    from sidecar.core.log.checkpoint import Checkpoint

NO_ROUND = 0


class Heads:
    """Tells peers what the logs hold, and holds the gate when they knew better.

    Args:
        logs: Name of each log -> its folder.
        public: Of the key that signs them.
        domain: Of the fleet.
        peers: By id; connections of their own.
        place: Places a hold at the gate.
        log: Told why.
        draw: Randomness: `draw(n)` gives n bytes.
        period_s: From one telling to the next, seconds.
    """

    def __init__(
        self,
        logs: Mapping[str, Path],
        public: PublicKey,
        domain: str,
        peers: Mapping[PeerId, Peer],
        *,
        place: Callable[[Hold], None],
        log: Log,
        draw: Callable[[int], bytes],
        period_s: float,
    ) -> None:
        self._logs = {NoteKey(name, public): folder for name, folder in logs.items()}
        self._key = layout.heads_key(domain)
        self._peers = peers
        self._place = place
        self._log = log
        self._draw = draw
        self._period_s = period_s
        self._told: dict[PeerId, tuple[WriteCommand, ...]] = {}  # whoever was asked
        self._sound: set[tuple[NoteKey, Checkpoint]] = set()
        self._judging = asyncio.Lock()  # peers remember the same: it is read once
        self._wrong = False
        self._unread = ""  # why a log could not be read, the last time

    async def recall(self) -> None:
        """Ask every peer once, all at a time; whoever does not answer is asked again by `run`."""
        await asyncio.gather(*(self._ask(peer) for peer in self._peers))

    async def run(self) -> None:
        """Go on until cancelled."""
        while not self._wrong:
            lines = await asyncio.to_thread(self._lines)
            await asyncio.gather(*(self._visit(peer, lines) for peer in self._peers))
            await asyncio.sleep(self._period_s)

    async def part(self) -> None:
        """Tell once more, when the last checkpoints are written."""
        lines = await asyncio.to_thread(self._lines)
        await asyncio.gather(*(self._tell(peer, lines) for peer in self._told))

    def close(self) -> None:
        """Let go of the peers."""
        for peer in self._peers.values():
            peer.close()

    async def _visit(self, peer: PeerId, lines: tuple[WriteCommand, ...]) -> None:
        if peer in self._told:
            await self._tell(peer, lines)
        else:
            await self._ask(peer)

    async def _ask(self, peer: PeerId) -> None:
        fields = tuple((self._key, key.name) for key in self._logs)
        found = await self._exchange(peer, fields, ())
        if found is None:
            return
        async with self._judging:
            judged = [
                await self._judge(peer, key, folder, raw)
                for key, folder in self._logs.items()
                for raw in found.get(layout.field_name(self._key, key.name), ())
            ]
        if all(judged):
            self._told.setdefault(peer, ())

    async def _judge(self, peer: PeerId, key: NoteKey, folder: Path, raw: bytes) -> bool:
        """Hold what a peer remembers against a log; False: it could not be read."""
        try:
            remembered = checkpoints.opened(raw, key)
        except ProtocolError:
            return True  # not ours: anybody who may write there can have put it there
        if (key, remembered) in self._sound:
            return True
        try:
            if not await asyncio.to_thread(past.compare, folder, remembered, key):
                # It remembers a state from before what was pruned: older than all that is there.
                fields = {"log": key.name, "peer": str(peer), "records": remembered.size}
                self._log.warning(logs.AUDIT_UNCOMPARED, **fields)
        except ProtocolError as error:
            self._wrong = True
            self._log.complain(f"audit log, as peer {peer} remembers it", folder, error)
            self._place(Hold(error.reason, HoldKind.LATCHED))
        except OSError as error:
            self._say_unread(folder, error)
            return False
        else:
            self._sound.add((key, remembered))
        return True

    def _lines(self) -> tuple[WriteCommand, ...]:
        found: list[WriteCommand] = []
        for key, folder in self._logs.items():
            try:
                raw = checkpoints.held(folder)
            except OSError as error:
                self._say_unread(folder, error)
                continue
            if raw is not None:
                found.append(("HSET", self._key, key.name, raw))
        return tuple(found)

    def _say_unread(self, folder: Path, error: OSError) -> None:
        if str(error) != self._unread:
            self._unread = str(error)
            self._log.complain("audit log", folder, error)

    async def _tell(self, peer: PeerId, lines: tuple[WriteCommand, ...]) -> None:
        if lines == self._told[peer] or self._wrong:
            return
        if await self._exchange(peer, (), lines) is not None:
            self._told[peer] = lines

    async def _exchange(
        self, peer: PeerId, fields: tuple[tuple[str, str], ...], writes: tuple[WriteCommand, ...]
    ) -> Mapping[str, tuple[bytes, ...]] | None:
        limit = NOTE_MAX_BYTES * len(self._logs)
        want = ReadPeer(peer, NO_ROUND, (), (), limit, fields, writes)
        try:
            found, _ = await self._peers[peer].ask(want, self._draw(16))
        except PeerError:
            return None
        return found
