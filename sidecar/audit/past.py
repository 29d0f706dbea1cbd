"""What somebody else remembers of a log, held against what there is.

A checkpoint that this instance signed once says how many records there were and what they were. A
folder that holds fewer has lost some; one that holds others has been rewritten. Neither shows from
the folder alone: whoever puts an older copy back puts its checkpoint back with it.

A log whose oldest records were pruned is still held against what is remembered of the rest, and of
the roots that its prune records name. A checkpoint from between those can neither be confirmed nor
refuted; a log that is shorter than it is found all the same.

Source: hardening E-J9; protocol b.13.
"""

from pathlib import Path

from sidecar.audit import beginning, checkpoints, segments
from sidecar.audit.beginning import Base
from sidecar.core.log import merkle, record
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import StateChange
from sidecar.core.reason import ProtocolError, Reason


def compare(folder: Path, remembered: Checkpoint, key: NoteKey) -> bool:
    """Check that a log continues what it once was; reads it up to there.

    Args:
        folder: Of the journal; it may be in use, and longer.
        remembered: Verified to be signed by the log's own key.
        key: That key.

    Returns:
        Whether it was compared: False for one from before what was pruned.

    Raises:
        ProtocolError: AUDIT_TRUNCATED or AUDIT_INCONSISTENT; AUDIT_CHAIN_BREAK when the folder is
            damaged.
        OSError: it cannot be read.
    """
    # The usual case: whoever opens a journal holds its records against this very checkpoint.
    if _newest(folder, key) == remembered:
        return True
    return beginning.steady(folder, lambda begins: _compare(folder, remembered, begins))


def _compare(folder: Path, remembered: Checkpoint, begins: Base) -> bool:
    if remembered.size < begins.pruned:
        root = _root_once(folder, remembered.size, begins)
    else:
        tree = merkle.Tree(begins.cut.size, begins.cut.subtrees)
        left = remembered.size - begins.pruned
        for line in segments.whole(folder, begins.cut.segment, left):
            tree.append(merkle.leaf_hash(line))
        if tree.size < remembered.size:
            detail = f"{tree.size} records, but {remembered.size} were signed once"
            raise ProtocolError(Reason.AUDIT_TRUNCATED, detail)
        root = tree.root().hex()
    if root is not None and root != remembered.root.hex():
        raise ProtocolError(
            Reason.AUDIT_INCONSISTENT, f"its first {remembered.size} records are not those signed"
        )
    return root is not None


def _root_once(folder: Path, size: int, begins: Base) -> str | None:
    """The root over so many records, hex, where a prune record still says it.

    The caller has opened the journal, so these records are those under its checkpoint.
    """
    for line in segments.lines(folder, begins.cut.segment):
        if b'"type":"prune"' in line and line.endswith(b"\n"):
            said = record.parse(line[:-1])
            if isinstance(said, StateChange) and said.detail.get("size") == size:
                return str(said.detail.get("root"))
    return None


def _newest(folder: Path, key: NoteKey) -> Checkpoint | None:
    try:
        return checkpoints.read(folder, key)
    except ProtocolError:
        return None  # damaged: that is found, and told, where the journal is opened
