"""What somebody else remembers of a log, held against what there is.

A checkpoint that this instance signed once says how many records there were and what they were. A
folder that holds fewer has lost some; one that holds others has been rewritten. Neither shows from
the folder alone: whoever puts an older copy back puts its checkpoint back with it.

Source: hardening E-J9; protocol b.13.
"""

from pathlib import Path

from sidecar.audit import checkpoints, segments
from sidecar.core.log import merkle
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError, Reason


def compare(folder: Path, remembered: Checkpoint, key: NoteKey) -> None:
    """Check that a log continues what it once was; reads it up to there.

    Args:
        folder: Of the journal; it may be in use, and longer.
        remembered: Verified to be signed by the log's own key.
        key: That key.

    Raises:
        ProtocolError: AUDIT_TRUNCATED or AUDIT_INCONSISTENT.
        OSError: it cannot be read.
    """
    # The usual case: whoever opens a journal holds its records against this very checkpoint.
    if _newest(folder, key) == remembered:
        return
    tree = merkle.Tree()
    for line in segments.whole(folder, remembered.size):
        tree.append(merkle.leaf_hash(line))
    if tree.size < remembered.size:
        raise ProtocolError(
            Reason.AUDIT_TRUNCATED, f"{tree.size} records, but {remembered.size} were signed once"
        )
    if tree.root() != remembered.root:
        raise ProtocolError(
            Reason.AUDIT_INCONSISTENT, f"its first {remembered.size} records are not those signed"
        )


def _newest(folder: Path, key: NoteKey) -> Checkpoint | None:
    try:
        return checkpoints.read(folder, key)
    except ProtocolError:
        return None  # damaged: that is found, and told, where the journal is opened
