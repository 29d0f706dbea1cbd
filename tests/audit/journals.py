"""Journals on a real disk for tests: one instance key, one clock, records of real decisions."""

import hashlib
from pathlib import Path

from sidecar.audit import checkpoints
from sidecar.audit.journal import Journal
from sidecar.audit.recorder import Recorder
from sidecar.core import policy, routes
from sidecar.core.gate import Denial, Gate, Permit, decide
from sidecar.core.head import RequestHead
from sidecar.core.lease import Lease, Terms, grant
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.merkle import Tree, leaf_hash
from sidecar.core.log.note import NoteKey
from sidecar.core.quorum import Agreement, PeerId
from sidecar.core.reason import Reason
from sidecar.core.snapshot import CLOSED, Snapshot
from sidecar.signer import FileSigner
from tests import builders

BOOT = "0123456789abcdef"
DIGEST_KEY = bytes(range(32))
INSTANCE = "pod-1"
ORIGIN = "epochgate/test/pod-1"
SIGNER = FileSigner(hashlib.sha256(b"instance").digest())
KEY = NoteKey(ORIGIN, SIGNER.public)
SEGMENT_BYTES = 64 * 1024 * 1024
HEAD = RequestHead(b"POST", b"/v1/chat?key=secret", b"/v1/chat", ((b"cookie", b"secret"),))
DENIAL = Denial(Reason.STARTING, CLOSED)


def open_journal(folder: Path, segment_bytes: int = SEGMENT_BYTES) -> Journal:
    """Open a folder and recover it."""
    journal = Journal(folder, segment_bytes)
    try:
        journal.recover(SIGNER, ORIGIN, BOOT, INSTANCE, builders.now())
    except BaseException:
        journal.close()
        raise
    return journal


def make_recorder(journal: Journal, gate: Gate) -> Recorder:
    """A recorder of the test's instance."""
    return Recorder(journal, BOOT, INSTANCE, gate.place, lambda settle: settle(), DIGEST_KEY)


def make_journal(
    folder: Path, records: int, signed: int, segment_bytes: int = SEGMENT_BYTES
) -> list[bytes]:
    """A closed journal of denials whose checkpoint covers the first `signed`; returns its lines."""
    journal = open_journal(folder, segment_bytes)
    recorder = make_recorder(journal, Gate())
    for number in range(records):
        assert recorder.decision(DENIAL, HEAD, None, builders.now(number)) is not None
        flush = journal.flush()
        journal.flushed(flush, flush.run())
    lines = list(journal.fresh)
    journal.close()
    write_checkpoint(folder, lines[:signed])
    return lines


def write_checkpoint(folder: Path, lines: list[bytes]) -> None:
    """Sign a checkpoint over these records."""
    tree = Tree()
    for line in lines:
        tree.append(leaf_hash(line))
    checkpoints.write(folder, checkpoints.seal(Checkpoint(ORIGIN, tree.size, tree.root()), SIGNER))


def make_snapshot() -> Snapshot:
    """Everything verified, and a lease that is live at `builders.now()`."""
    trust = builders.make_trust()
    epoch = builders.make_epoch(trust)
    beat = builders.make_beat(trust, epoch)
    agreement = Agreement(epoch.seq, epoch.sha256, (PeerId("a"), PeerId("b")), (beat,))
    lease = grant(agreement, beat, builders.now(), Terms(ttl_ms=4000, skew_ms=500, drift_ppm=0))
    assert isinstance(lease, Lease)
    return Snapshot(
        lease=lease,
        epoch=epoch,
        trust_version=trust.version,
        policy=policy.parse(builders.POLICY),
        routes=routes.parse(builders.ROUTES),
    )


def make_permit(snapshot: Snapshot) -> Permit:
    """What the gate says to `HEAD` under that snapshot."""
    decision = decide(snapshot, HEAD, builders.now())
    assert isinstance(decision, Permit)
    return decision
