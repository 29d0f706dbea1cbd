"""The audit log of one process: opened, recovered, and held against the gate when that fails.

A log that cannot be continued does not end the process: what stays up can say why it denies.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from sidecar import __version__, clock, signer
from sidecar.audit.journal import Journal
from sidecar.audit.lag import Lag
from sidecar.audit.recorder import Recorder
from sidecar.audit.sequencer import Sequencer
from sidecar.config import sections
from sidecar.core.canonical import Json
from sidecar.core.gate import Gate
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.roles.start import StartError, fresh_bytes, why
from sidecar.signer import FileSigner
from sidecar.telemetry.logs import Log

INSTANCE_KEY = "instance.key"


@dataclass(frozen=True, slots=True)
class Logbook:
    """What writes the log of one process. `origin`: its name."""

    origin: str
    journal: Journal
    recorder: Recorder
    sequencer: Sequencer
    lag: Lag

    async def run(self) -> None:
        """Work until `end`, then write the last checkpoint."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self.lag.run())
            await self.sequencer.run()
            watching.cancel()

    def state(self) -> dict[str, int]:
        """What /v1/state shows of it."""
        gauges = self.sequencer.gauges
        return {
            "records": gauges.records, "size": gauges.size, "durable": gauges.durable,
            "checkpoint_size": gauges.checkpoint_size, "acked": self.lag.acked,
            "backlog": gauges.backlog,
        }  # fmt: skip

    def end(self) -> None:
        """Write the last record, and let `run` end."""
        self.recorder.state("stop", {}, clock.now())
        self.sequencer.stop()


def instance_key(state_dir: Path) -> FileSigner:
    """This instance's own key, made on the first start."""
    path = state_dir / INSTANCE_KEY
    if not path.exists():
        FileSigner(fresh_bytes(signer.SEED_BYTES)).save(path)
    return signer.load(path)


def open_logbook(
    settings: sections.Audit, key: FileSigner, origin: str, gate: Gate, log: Log, **start: Json
) -> Logbook:
    """Open and recover a journal, and write its first record of this process.

    Args:
        settings: Folder, periods and bounds.
        key: Signs its checkpoints.
        origin: Name of the log.
        gate: Held when the journal is damaged or cannot be written.
        log: Told why.
        start: What else the first record says.

    Raises:
        StartError: the folder cannot be used, or another process writes it.
    """
    boot = fresh_bytes(8).hex()
    journal = _journal(settings)
    try:
        journal.recover(key, origin, boot, origin, clock.now())
    except (ProtocolError, OSError) as error:
        wrong = error.reason if isinstance(error, ProtocolError) else Reason.AUDIT_UNWRITABLE
        log.complain("audit log", journal.folder, error)
        gate.place(Hold(wrong, HoldKind.LATCHED))
    later = asyncio.get_running_loop().call_soon
    recorder = Recorder(journal, boot, origin, gate.place, later)
    recorder.state("start", {"version": __version__, **start}, clock.now())
    sequencer = Sequencer(
        journal, key, origin, settings, clock=clock.now, place=gate.place, lift=gate.lift
    )
    lag = Lag(
        journal, NoteKey(origin, key.public),
        head=lambda: sequencer.head, snapshot=lambda: gate.snapshot,
        place=gate.place, lift=gate.lift, clock=clock.now, watched=bool(settings.witnesses),
    )  # fmt: skip
    return Logbook(origin, journal, recorder, sequencer, lag)


def _journal(settings: sections.Audit) -> Journal:
    try:
        return Journal(settings.dir, settings.segment_bytes)
    except BlockingIOError:
        how = "another process writes it; each sidecar needs its own spec.audit.dir"
    except OSError as error:
        how = f"{why(error)}; check spec.audit.dir"
    raise StartError(f"audit log: {settings.dir}: {how}")
