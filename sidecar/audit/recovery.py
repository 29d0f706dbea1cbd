"""What a journal holds at start, and whether writing may go on.

Rules:

* The newest checkpoint is signed, so the records under it need no reading: if their root is the
  signed one they are the very bytes that were written. Each record after it is checked in full.
* A last line without its newline, after the checkpoint, was never acknowledged. It may be cut off,
  and its length and digest are recorded.
* A log whose oldest segments were pruned begins where `base` says, if a record under the checkpoint
  says so, too.
* Anything else (a root that differs, fewer records than were signed, a bad line, a gap, records
  without any checkpoint) is damage. Nothing is touched, so that it can be examined.

Every start reads all that is there once, a few microseconds for each record.

Source: hardening E-J6, E-J10.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.audit import beginning, checkpoints, segments
from sidecar.audit.beginning import UNPRUNED, Base, Cut
from sidecar.audit.chain import Chain
from sidecar.audit.segments import Torn
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError, Reason


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found.

    Attributes:
        chain: Where the log stands.
        checkpoint: The newest one; None for a new folder.
        number: Of the last segment; -1 when there is none.
        offset: End of its last whole line; bytes.
        torn: To be cut off, or None. It may lie in the segment before an empty last one.
        base: Where the log begins.
        cuts: The beginning of each segment, in order.
    """

    chain: Chain
    checkpoint: Checkpoint | None
    number: int
    offset: int
    torn: Torn | None
    base: Base = UNPRUNED
    cuts: tuple[Cut, ...] = ()


def examine(folder: Path, key: NoteKey) -> Recovery:
    """Read a journal and judge it; changes nothing.

    Args:
        folder: Of the journal.
        key: What its checkpoints must be signed with.

    Raises:
        ProtocolError: AUDIT_CHAIN_BREAK with what is wrong and where.
        OSError: it cannot be read.
    """
    begins = beginning.parse(beginning.held(folder))
    stored = _checkpoint(folder, key)
    paths = segments.find(folder, begins.cut.segment)
    _signed(begins, stored, paths)
    chain, offset, torn = Chain(begins.cut), 0, None
    cuts: list[Cut] = []
    for path in paths:
        if torn is not None and path.stat().st_size:
            raise _break(f"{torn.path.name} ends within a record and is not the last")
        cuts.append(chain.cut(segments.number_of(path)))
        offset, rest = _segment(path, chain, stored, begins)
        torn = torn or rest
    if stored is not None and chain.tree.size < stored.size:
        raise _break(f"{chain.tree.size} records, but the checkpoint says {stored.size}")
    number = cuts[-1].segment if cuts else -1
    return Recovery(chain, stored, number, offset, torn, begins, tuple(cuts))


def _signed(begins: Base, stored: Checkpoint | None, paths: Sequence[Path]) -> None:
    """There is a checkpoint wherever there has to be one, and it covers the prune record."""
    if stored is None and any(path.stat().st_size for path in paths):
        raise _break("there are records, but no checkpoint")
    if begins.pruned and (stored is None or begins.record >= stored.size):
        raise _break(
            f"{beginning.BASE}: no checkpoint covers record {begins.record}, which says so"
        )


def _checkpoint(folder: Path, key: NoteKey) -> Checkpoint | None:
    try:
        return checkpoints.read(folder, key)
    except ProtocolError as error:
        raise _break(f"checkpoint: {error.detail}") from None


def _segment(
    path: Path, chain: Chain, stored: Checkpoint | None, begins: Base
) -> tuple[int, Torn | None]:
    signed = 0 if stored is None else stored.size
    offset = 0
    for line in segments.read(path, 0):
        where = f"{path.name}, byte {offset}"
        if not line.endswith(b"\n"):
            torn = segments.torn(path, offset)
            if torn is None:
                raise _break(f"{where}: longer than a record can be")
            return offset, torn
        if begins.pruned and chain.tree.size == begins.record:
            _confirm(begins, line[:-1], where)
        if chain.tree.size < signed:
            chain.extend(line[:-1])
        else:
            _check(chain, line[:-1], where)
        offset += len(line)
        if stored is not None and chain.tree.size == signed and chain.tree.root() != stored.root:
            raise _break("the records are not those of the checkpoint")
    return offset, None


def _confirm(begins: Base, line: bytes, where: str) -> None:
    try:
        begins.confirm(line)
    except ProtocolError as error:
        raise _break(f"{where}: {error.detail}") from None


def _check(chain: Chain, line: bytes, where: str) -> None:
    try:
        chain.check(line)
    except ProtocolError as error:
        raise _break(f"{where}: {error.detail}") from None


def _break(detail: str) -> ProtocolError:
    return ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)
