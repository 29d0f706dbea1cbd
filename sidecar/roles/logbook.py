"""The audit log of one process: opened, recovered, and held against the gate when that fails.

A log that cannot be continued does not end the process: what stays up can say why it denies.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from sidecar import __version__, clock, durable, signer
from sidecar.audit.journal import Journal
from sidecar.audit.recorder import Recorder
from sidecar.audit.sequencer import Sequencer
from sidecar.config import sections
from sidecar.core import recording
from sidecar.core.canonical import Json
from sidecar.core.gate import Gate
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.roles.start import StartError, fresh_bytes, why
from sidecar.signer import FileSigner
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

    async def run(self) -> None:
        """Work until `end`, then write the last checkpoint."""
        await self.sequencer.run()

    def state(self) -> dict[str, int]:
        """What /v1/state shows of it."""
        gauges = self.sequencer.gauges
        return {
            "records": gauges.records, "size": gauges.size, "durable": gauges.durable,
            "checkpoint_size": gauges.checkpoint_size, "backlog": gauges.backlog,
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
    **start: Json,
) -> Logbook:
    """Open and recover a journal, and write its first record of this process.

    Args:
        settings: Folder, periods and bounds.
        keys: Of this instance.
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
    return Logbook(origin, journal, recorder, sequencer)


def _journal(settings: sections.Audit) -> Journal:
    try:
        return Journal(settings.dir, settings.segment_bytes)
    except BlockingIOError:
        how = "another process writes it; each sidecar needs its own spec.audit.dir"
    except OSError as error:
        how = f"{why(error)}; check spec.audit.dir"
    raise StartError(f"audit log: {settings.dir}: {how}")
