"""The governance log of one authority: opened, written, and made public as tiles.

    <state.dir>/governance/         a journal like that of a sidecar, with its signed checkpoint
    <state.dir>/governance/tiles/   the same as static files, a moment later

Rules:

* What cannot be gone on with ends the process before it says anything: another journal's records
  under this key would be a second history.
* An entry counts once it is on the disk under a signed checkpoint. Whoever waits for that is told
  after `WAIT_S` that it is not so: a disk that hangs must not hold up the spreading of halts.
* The first error is the last record, as with every journal; a restart checks what is there.
* That the files for others lag behind, or cannot be written, ends nothing: the journal has it all.
  It is said, and tried again.

Source: protocol b.13 (governance log).
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from sidecar import __version__, clock, signer
from sidecar.audit import prover, segments
from sidecar.audit.journal import Journal
from sidecar.audit.prover import NotYetError
from sidecar.audit.recorder import Recorder
from sidecar.audit.sequencer import Sequencer
from sidecar.authority.publisher import RecordError
from sidecar.config import sections
from sidecar.core import governed
from sidecar.core.governed import KINDS, Governed
from sidecar.core.issuing import Entry
from sidecar.core.log import record
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import StateChange
from sidecar.core.objects.trust import LogHead, Role, Trust
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.roles.start import StartError, fresh_bytes, why
from sidecar.signer import FileSigner
from sidecar.telemetry.logs import Log

FOLDER = "governance"
TILES = "tiles"
WAIT_S = 1.0
RETRY_S = 5.0
SYNC_MS = 5  # a beat waits for it, when there is something new


class Ledger:
    """Keeps a governance log.

    Args:
        folder: Of the journal; made when it does not exist.
        key: Signs its checkpoints.
        domain: Of the fleet.
        log: Told what goes wrong.

    Attributes:
        governed: What the log held when it was opened.

    Raises:
        StartError: it cannot be gone on with; nothing was written.
    """

    def __init__(self, folder: Path, key: FileSigner, domain: str, log: Log) -> None:
        origin = governed.origin(domain, key.key_id)
        boot = fresh_bytes(8).hex()
        self._journal = _recovered(folder, key, origin, boot)
        self._key = key
        self._note_key = NoteKey(origin, key.public)
        self._folder = folder
        self._log = log
        self._news = asyncio.Event()
        self._fresh = asyncio.Event()
        self._ended = False
        self.governed = Governed(origin, key.key_id, _held(folder, self._journal.seq))
        loop = asyncio.get_running_loop()
        # No request is recorded here, so nobody's digest is made.
        self._recorder = Recorder(self._journal, boot, origin, self._hold, loop.call_soon, b"")
        # A checkpoint with each trip to the disk: entries are rare, and a beat waits for it.
        periods = sections.Audit(folder, sync_period_ms=SYNC_MS, checkpoint_period_ms=0)
        self._sequencer = Sequencer(
            self._journal, key, origin, periods,
            clock=clock.now, place=self._hold, lift=_nothing,
        )  # fmt: skip
        self._sequencer.sealed = self._sealed

    @property
    def tiles(self) -> Path:
        """Where the files for others are."""
        return self._folder / TILES

    def begin(self, under: Trust) -> None:
        """Write the first record of this process.

        Args:
            under: The trust document in force.

        Raises:
            StartError: it gives the key no role log.
        """
        if self._key.key_id not in under.keys[Role.LOG]:
            raise StartError(
                f"governance log: trust version {under.version} gives key {self._key.key_id[:16]} "
                "of spec.keys.log no role log; rotate it in (epochgate trust add-key --role log), "
                "or take spec.keys.log away"
            )
        self._recorder.state("start", {"version": __version__}, clock.now())

    async def record(self, entries: Sequence[Entry]) -> LogHead:
        """Write entries; the head that covers all there is, once it is durable and signed.

        Raises:
            RecordError: that is not so, or not yet.
        """
        for entry in entries:
            self._append(entry)
        try:
            async with asyncio.timeout(WAIT_S):
                while not self._covered:
                    self._raise_if_failed()
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            slow = f"nothing reached the disk within {WAIT_S:g} s; see to that disk"
            raise RecordError(f"{self._folder}: {slow}") from None
        self._raise_if_failed()
        head = self._sequencer.head
        assert head is not None, "covered"
        return LogHead(origin=head.origin, size=head.size, root=head.root.hex())

    async def run(self) -> None:
        """Work until `end`, or until cancelled; then write the last checkpoint and its files."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish())
            await self._sequencer.run()
            self._ended = True
            self._fresh.set()

    def end(self) -> None:
        """Write the last record, and let `run` end."""
        self._recorder.state("stop", {}, clock.now())
        self._sequencer.stop()

    @property
    def _covered(self) -> bool:
        head = self._sequencer.head
        return head is not None and head.size >= self._journal.seq

    def _append(self, entry: Entry) -> None:
        try:
            self._recorder.state(entry.kind, entry.detail, clock.now())
        except ProtocolError as error:  # such an entry is never asked for twice: so nothing goes on
            self._journal.fail(OSError(0, f"{entry.kind} cannot be written down: {error}"))
        self._raise_if_failed()

    def _raise_if_failed(self) -> None:
        error = self._journal.failed
        if error is not None:
            raise RecordError(
                f"{self._folder}: {why(error)}; see to that disk and start the authority again, or "
                "take spec.keys.log away to go on without the log"
            )

    def _hold(self, hold: Hold) -> None:
        # There is no gate here to be held: who waits is told, and signs no beat.
        if hold.kind is HoldKind.LATCHED:
            self._log.complain(
                "governance log", self._folder, ProtocolError(hold.reason, "no beat")
            )
            self._news.set()

    def _sealed(self) -> None:
        self._news.set()
        self._fresh.set()

    async def _publish(self) -> None:
        # One export at a time: an older one that ended last would put an older checkpoint in place.
        self._fresh.set()
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            last = self._ended
            done = await self._export()
            if last:
                return
            if not done:
                asyncio.get_running_loop().call_later(RETRY_S, self._fresh.set)

    async def _export(self) -> bool:
        args = (self._folder, self.tiles, self._note_key)
        try:
            await asyncio.to_thread(prover.export, *args)
        except (OSError, ProtocolError, NotYetError) as error:
            self._log.complain("governance log for others", self.tiles, error)
            return False
        return True


def _nothing(_: Reason) -> None:
    """A hold that ended: nobody was held."""


def _recovered(folder: Path, key: FileSigner, origin: str, boot: str) -> Journal:
    try:
        journal = Journal(folder, sections.Audit(folder).segment_bytes)
    except BlockingIOError:
        how = "another authority writes it; each needs its own spec.state.dir"
        raise StartError(f"governance log: {folder}: {how}") from None
    except OSError as error:
        raise StartError(f"governance log: {folder}: {why(error)}") from None
    try:
        journal.recover(key, origin, boot, origin, clock.now())
    except (ProtocolError, OSError) as error:
        journal.close()
        said = error.detail if isinstance(error, ProtocolError) else why(error)
        raise StartError(
            f"governance log: {folder}: {said}; restore it, or set it aside and give this replica "
            "a new log key: a log of one key has one history"
        ) from None
    return journal


def _held(folder: Path, count: int) -> Iterator[str]:
    """Names of the entries that a log holds."""
    for line in segments.whole(folder, 0, count):
        said = record.parse(line)
        if isinstance(said, StateChange) and said.type in KINDS:
            yield governed.name(said.type, said.detail)


def open_ledger(config: sections.AuthorityConfig, domain: str, log: Log) -> Ledger | None:
    """The governance log that the configuration asks for, or None.

    Raises:
        StartError, KeyFileError: it cannot be kept.
    """
    if config.log_key_file is None:
        return None
    return Ledger(config.state_dir / FOLDER, signer.load(config.log_key_file), domain, log)
