"""Makes proofs and copies of a journal that somebody else can check without us.

Both read the records under the newest checkpoint once, as a stream, and reckon their root on the
way: what is not the very log that was signed is handed out in no form.

Source: protocol 1.2; hardening P13.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sidecar.audit import beginning, checkpoints, segments
from sidecar.audit.beginning import Base
from sidecar.core.log import merkle, proof
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.note import NoteKey
from sidecar.core.log.tiles import Tiler
from sidecar.core.log.tlog_proof import TlogProof
from sidecar.core.reason import ProtocolError, Reason

PROGRESS_RECORDS = 50_000

Progress = Callable[[int, int], None]  # records and bytes so far


class NotYetError(Exception):
    """No checkpoint covers the record yet."""


class PrunedError(Exception):
    """The record is not there any more."""


@dataclass(frozen=True, slots=True)
class Proved:
    """A record and its place.

    Attributes:
        record: Its bytes, without the newline.
        proof: Under `checkpoint`.
        checkpoint: What the log's key signed.
    """

    record: bytes
    proof: TlogProof
    checkpoint: Checkpoint


def prove(folder: Path, index: int, key: NoteKey, progress: Progress | None = None) -> Proved:
    """The proof that a record is in the log, under a cosigned checkpoint where one covers it.

    Args:
        folder: Of the journal; it may be in use.
        index: Of the record, from 0.
        key: Of the log.
        progress: Told now and then.

    Raises:
        NotYetError: the record lies behind the newest checkpoint, or there is none of either.
        PrunedError: the record was pruned.
        ProtocolError: the checkpoint is not signed by the key, or the records are not its own.
        OSError: the folder cannot be read.
    """
    return beginning.steady(folder, lambda begins: _proved(folder, begins, index, key, progress))


def _proved(
    folder: Path, begins: Base, index: int, key: NoteKey, progress: Progress | None
) -> Proved:
    raw, signed = _cosigned(folder, begins, index, key) or _signed(folder, key)
    if index >= signed.size:
        raise NotYetError(f"record {index}: the newest checkpoint covers {signed.size} records")
    if index < begins.pruned:
        raise PrunedError(f"record {index}: record {begins.record} says that it was pruned")
    cut = begins.cut
    roots = proof.Roots(proof.inclusion(index, signed.size), cut.size, cut.subtrees)
    found = b""
    for at, (line, leaf) in enumerate(_records(folder, begins, signed, progress), cut.size):
        if at == index:
            found = line
        roots.take(leaf if roots.wanted else None)
    return Proved(found, TlogProof(index, tuple(roots.hashes()), raw), signed)


def export(folder: Path, to: Path, key: NoteKey, progress: Progress | None = None) -> Checkpoint:
    """Copy the log as static files of C2SP tlog-tiles, the checkpoint last.

    Args:
        folder: Of the journal; it may be in use.
        to: Made when it does not exist; files of an older copy of the same log stay or are
            replaced by the same bytes.
        key: Of the log.
        progress: Told now and then.

    Raises:
        NotYetError: there is no checkpoint.
        PrunedError: the oldest records are not there any more: tiles hold all of a log or nothing.
        ProtocolError: as for `prove`; then no checkpoint was written.
        OSError: something cannot be read or written.
    """
    return beginning.steady(folder, lambda begins: _exported(folder, begins, to, key, progress))


def _exported(
    folder: Path, begins: Base, to: Path, key: NoteKey, progress: Progress | None
) -> Checkpoint:
    raw, signed = _signed(folder, key)
    if begins.pruned:
        raise PrunedError(f"records 0 to {begins.pruned - 1} were pruned")
    tiler = Tiler()
    for line, leaf in _records(folder, begins, signed, progress):
        for name, content in tiler.take(line, leaf):
            _write(to / name, content)
    for name, content in tiler.rest():
        _write(to / name, content)
    _write(to / checkpoints.CHECKPOINT, raw)
    return signed


def _cosigned(
    folder: Path, begins: Base, index: int, key: NoteKey
) -> tuple[bytes, Checkpoint] | None:
    """The checkpoint that witnesses have cosigned, if it covers a record and the newest prune."""
    raw = checkpoints.held_cosigned(folder)
    signed = None if raw is None else checkpoints.opened(raw, key)
    return (
        None
        if raw is None or signed is None or signed.size <= max(index, begins.record)
        else (raw, signed)
    )


def _signed(folder: Path, key: NoteKey) -> tuple[bytes, Checkpoint]:
    raw = checkpoints.held(folder)
    if raw is None:
        raise NotYetError("there is no checkpoint yet")
    return raw, checkpoints.opened(raw, key)


def _records(
    folder: Path, begins: Base, signed: Checkpoint, progress: Progress | None
) -> Iterator[tuple[bytes, bytes]]:
    """The signed records with the hashes of their leaves; raises at the end if they are not."""
    if begins.pruned and begins.record >= signed.size:
        detail = f"record {begins.record}, which says what was pruned, is not under the checkpoint"
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)
    tree, size = merkle.Tree(begins.cut.size, begins.cut.subtrees), 0
    for line in segments.whole(folder, begins.cut.segment, signed.size - begins.pruned):
        if begins.pruned and tree.size == begins.record:
            begins.confirm(line)
        leaf = merkle.leaf_hash(line)
        tree.append(leaf)
        size += len(line) + 1
        yield line, leaf
        if progress is not None and tree.size % PROGRESS_RECORDS == 0:
            progress(tree.size, size)
    if tree.size < signed.size:
        detail = f"{tree.size} records, but the checkpoint says {signed.size}"
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)
    if tree.root() != signed.root:
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, "the records are not those of the checkpoint")


def _write(path: Path, content: bytes) -> None:
    # Somebody may be reading: a file is there as a whole. One that says the same is left alone.
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
