"""Journals on a real disk for tests: one instance key, one clock, records of real decisions."""

import hashlib
from pathlib import Path

from sidecar.audit import beginning, checkpoints, prune
from sidecar.audit.beginning import Base, Cut
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


def announce(folder: Path, lines: list[bytes], segment: int) -> Base:
    """Write a prune record that lets a journal begin with a segment; adds it to `lines`."""
    journal = open_journal(folder)
    assert journal.recovery is not None
    cuts = journal.recovery.cuts
    cut = next(cut for cut in cuts if cut.segment == segment)
    index = journal.seq
    said = beginning.claim(cut, cuts[0].segment, builders.NOW)
    assert make_recorder(journal, Gate()).state("prune", said, builders.now(index))
    lines += journal.fresh
    journal.close()
    return Base(cut, index)


def make_pruned(
    folder: Path, records: int = 20, segment: int = 2, segment_bytes: int = 1500
) -> tuple[list[bytes], Base]:
    """A journal whose oldest segments are gone, all of it signed; every line there ever was."""
    lines = make_journal(folder, records, records, segment_bytes)
    begins = announce(folder, lines, segment)
    write_checkpoint(folder, lines)
    prune.carry_out(folder, begins)
    return lines, begins


def make_cut(lines: list[bytes], segment: int, size: int) -> Cut:
    """The place before which so many records stand."""
    tree = Tree()
    for line in lines[:size]:
        tree.append(leaf_hash(line))
    prev = hashlib.sha256(lines[size - 1]).hexdigest()
    return Cut(segment, size, prev, tree.subtrees)


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
