"""The audit log of one process: opened, recovered, and held against the gate when that fails.

A log that cannot be continued does not end the process: what stays up can say why it denies. Nor
is it ever pruned.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecar import __version__, clock, durable, signer
from sidecar.audit import disk
from sidecar.audit.beginning import Base
from sidecar.audit.disk import Level, Use
from sidecar.audit.journal import Journal
from sidecar.audit.lag import Lag
from sidecar.audit.prune import Pruner
from sidecar.audit.recorder import Recorder
from sidecar.audit.sequencer import Sequencer
from sidecar.audit.sinks import cursor
from sidecar.config import sections
from sidecar.core import recording
from sidecar.core.canonical import Json
from sidecar.core.gate import Gate
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.roles.start import StartError, fresh_bytes, why
from sidecar.signer import FileSigner
from sidecar.telemetry import logs
from sidecar.telemetry.logs import Log

INSTANCE_KEY = "instance.key"
DIGEST_KEY = "digest.key"


_DIGEST_HINT = "see spec.audit.digestKeyFile; `openssl rand -hex 32` makes one"


@dataclass(frozen=True, slots=True)
class Keys:
    """What a log is written with.

    Attributes:
        signs: The instance's own; signs checkpoints.
        digests: 32 bytes; stands between a subject or tenant and who reads the log.
    """

    signs: FileSigner
    digests: bytes


@dataclass(frozen=True, slots=True)
class Logbook:
    """What writes the log of one process. `origin`: its name."""

    origin: str
    journal: Journal
    recorder: Recorder
    sequencer: Sequencer
    lag: Lag
    watch: disk.Watch
    pruner: Pruner | None

    async def run(self) -> None:
        """Work until `end`, then write the last checkpoint."""
        async with asyncio.TaskGroup() as tasks:
            watching = [tasks.create_task(one.run()) for one in (self.lag, self.watch)]
            try:
                await self.sequencer.run()
            finally:
                for task in watching:
                    task.cancel()

    def state(self) -> dict[str, int]:
        """What /v1/state shows of it."""
        gauges = self.sequencer.gauges
        return {
            "records": gauges.records, "size": gauges.size, "durable": gauges.durable,
            "checkpoint_size": gauges.checkpoint_size, "acked": self.lag.acked,
            "backlog": gauges.backlog,
            "pruned": 0 if self.pruner is None else self.pruner.begins.pruned,
            "disk_bytes": gauges.disk_bytes, "disk_budget_bytes": gauges.disk_budget_bytes,
        }  # fmt: skip

    def end(self) -> None:
        """Write the last record, and let `run` end."""
        self.recorder.state("stop", {}, clock.now())
        self.sequencer.stop()


def keys(config: sections.SidecarConfig) -> Keys:
    """What this instance writes its logs with.

    Raises:
        StartError, KeyFileError: one cannot be read or made.
    """
    return Keys(
        instance_key(config.state_dir), digest_key(config.state_dir, config.audit.digest_key_file)
    )


def instance_key(state_dir: Path) -> FileSigner:
    """This instance's own key, made on the first start."""
    path = state_dir / INSTANCE_KEY
    if not path.exists():
        FileSigner(fresh_bytes(signer.SEED_BYTES)).save(path)
    return signer.load(path)


def digest_key(state_dir: Path, given: Path | None) -> bytes:
    """The key of the digests of subjects and tenants: a given one, or our own, made at first start.

    Args:
        state_dir: Where our own is.
        given: `spec.audit.digestKeyFile`.

    Raises:
        StartError: it cannot be read or made, or is no key.
    """
    path = given or state_dir / DIGEST_KEY
    try:
        if given is None and not path.exists():
            durable.replace(path, fresh_bytes(recording.KEY_BYTES).hex().encode() + b"\n")
        return recording.read_key(path.read_bytes())
    except OSError as error:
        wrong = why(error)
    except ProtocolError as error:
        wrong = error.detail
    raise StartError(f"digest key: {path}: {wrong}; {_DIGEST_HINT}")


def open_logbook(
    settings: sections.Audit,
    keys: Keys,
    origin: str,
    gate: Gate,
    log: Log,
    *,
    state_dir: Path | None = None,
    **start: Json,
) -> Logbook:
    """Open and recover a journal, and write its first record of this process.

    Args:
        settings: Folder, periods and bounds.
        keys: Of this instance.
        origin: Name of the log.
        gate: Held when the journal is damaged or cannot be written.
        log: Told why.
        state_dir: Where sinks say how far they are; needed where there are any.
        start: What else the first record says.

    Raises:
        StartError: the folder cannot be used, or another process writes it.
    """
    boot = fresh_bytes(8).hex()
    journal = _journal(settings)
    try:
        journal.recover(keys.signs, origin, boot, origin, clock.now())
    except (ProtocolError, OSError) as error:
        wrong = error.reason if isinstance(error, ProtocolError) else Reason.AUDIT_UNWRITABLE
        log.complain("audit log", journal.folder, error)
        gate.place(Hold(wrong, HoldKind.LATCHED))
    later = asyncio.get_running_loop().call_soon
    recorder = Recorder(journal, boot, origin, gate.place, later, keys.digests)
    recorder.state("start", {"version": __version__, **start}, clock.now())
    sequencer = Sequencer(
        journal, keys.signs, origin, settings, clock=clock.now, place=gate.place, lift=gate.lift
    )
    lag = Lag(
        journal, NoteKey(origin, keys.signs.public),
        head=lambda: sequencer.head, snapshot=lambda: gate.snapshot,
        place=gate.place, lift=gate.lift, clock=clock.now, watched=bool(settings.witnesses),
    )  # fmt: skip
    needed = _needed(settings, origin, lag, state_dir)
    pruner = _pruner(settings, journal, recorder, sequencer, gate=gate, log=log, needed=needed)
    if not journal.reserves:
        log.info(logs.AUDIT_UNRESERVED, folder=str(journal.folder))
    watch = disk.Watch(
        journal.folder, settings.disk_budget_bytes, settings.segment_bytes,
        cramped=lambda: journal.cramped, see=sequencer.see, pruner=pruner,
        tell=lambda level, use: _tell_room(log, settings, level, use),
    )  # fmt: skip
    return Logbook(origin, journal, recorder, sequencer, lag, watch, pruner)


def _pruner(
    settings: sections.Audit,
    journal: Journal,
    recorder: Recorder,
    sequencer: Sequencer,
    *,
    gate: Gate,
    log: Log,
    needed: Callable[[], int | None],
) -> Pruner | None:
    """What prunes a log; None for one that was not recovered."""
    if journal.recovery is None:
        return None

    def write(detail: Mapping[str, Json]) -> int | None:
        index = journal.seq
        return index if recorder.state("prune", detail, clock.now()) else None

    def signed() -> int:
        signed, bound = 0 if sequencer.head is None else sequencer.head.size, needed()
        return signed if bound is None else min(signed, bound)

    return Pruner(
        journal.folder, journal.recovery.base, sequencer.cuts, settings.retention_ms,
        signed=signed,
        signed_ms=lambda: _signed_ms(gate),
        write=write,
        tell=lambda said: _tell_pruned(log, journal.folder, said),
    )  # fmt: skip


def _needed(
    settings: sections.Audit, origin: str, lag: Lag, state_dir: Path | None
) -> Callable[[], int | None]:
    """From which record on somebody still waits for records; None: nobody does.

    A witness wants the proof from what it has cosigned on, a required sink the records themselves:
    neither may go before they have them.
    """
    required = [sink.name for sink in settings.sinks if sink.required]

    def needed() -> int | None:
        bounds = [lag.acked] if settings.witnesses else []
        if state_dir is not None and settings.retention_ms:
            sent = cursor.reached(state_dir / cursor.FOLDER, required, origin)
            bounds += [] if sent is None else [sent]
        return min(bounds, default=None)

    return needed


def _signed_ms(gate: Gate) -> int | None:
    """When the beat was issued that the gate leans on, by the authority's clock."""
    lease = gate.snapshot.lease
    return lease.beat.says.issued_at if lease is not None and lease.live(clock.now()) else None


def _tell_room(log: Log, settings: sections.Audit, level: Level, use: Use) -> None:
    say = log.info if level is Level.ENOUGH else log.warning
    say(
        logs.AUDIT_ROOM, level=level.value, folder=str(settings.dir), taken_bytes=use.taken_bytes,
        budget_bytes=settings.disk_budget_bytes, free_bytes=use.free_bytes,
    )  # fmt: skip


def _tell_pruned(log: Log, folder: Path, said: Base | Exception) -> None:
    if isinstance(said, Exception):
        log.complain("pruning the audit log", folder, said)
        return
    log.info(
        logs.AUDIT_PRUNED, folder=str(folder), records=said.pruned, record=said.record,
        first_segment=said.cut.segment,
    )  # fmt: skip


def _journal(settings: sections.Audit) -> Journal:
    try:
        return Journal(settings.dir, settings.segment_bytes)
    except BlockingIOError:
        how = "another process writes it; each sidecar needs its own spec.audit.dir"
    except OSError as error:
        how = f"{why(error)}; check spec.audit.dir"
    raise StartError(f"audit log: {settings.dir}: {how}")
