"""Checks a journal with nothing but the public key, reading it as a stream.

What is checked and what is not is part of the answer. A log that was cut or rewritten after its
newest checkpoint looks like a log that ends there: that tail is counted and named, never called
verified. Of records that were pruned only the root is known, and that is said, too.

Source: hardening P12, E-J10.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.audit import beginning, checkpoints, segments
from sidecar.audit.beginning import Base
from sidecar.audit.chain import Chain
from sidecar.audit.outcomes import Outcomes
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import Record
from sidecar.core.reason import ProtocolError, Reason

PROGRESS_RECORDS = 50_000

Told = Callable[[Record], object]
_Take = Callable[[Record], str | None]


@dataclass(slots=True)
class Fault:
    """The first thing that is wrong.

    Attributes:
        index: Of the first record that is not what it must be; None when it is not about one.
        where: File, and byte offset in it.
        why: One line for a person.
    """

    index: int | None
    where: str
    why: str


@dataclass(slots=True)
class Report:
    """What a verification found.

    Attributes:
        records: That were read and follow each other.
        pruned: Before them; only their root is known.
        bytes_read: Of all segments.
        segments: How many.
        checkpoint: The newest one, if it was signed by the key.
        tail_records: After the checkpoint: chained, but signed by nobody yet.
        torn_bytes: After the last newline.
        ended: Requests by how they ended: permit, deny, abort, error, late.
        interrupted: Permits whose process ended before they did.
        running: Permits without an outcome yet.
        fault: None when every check that was made holds.
        checked: Checks that were made and hold, one line each.
        unchecked: What could not be checked, and why.
    """

    records: int = 0
    pruned: int = 0
    bytes_read: int = 0
    segments: int = 0
    checkpoint: Checkpoint | None = None
    tail_records: int = 0
    torn_bytes: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    interrupted: int = 0
    running: int = 0
    fault: Fault | None = None
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Records of the log so far, the pruned ones included."""
        return self.pruned + self.records

    @property
    def verified(self) -> bool:
        """Whether a signed checkpoint vouches for the records up to it."""
        return self.fault is None and self.checkpoint is not None


def verify(
    folder: Path,
    key: NoteKey | None,
    progress: Callable[[int, int], None] | None = None,
    begin: Callable[[], Told] | None = None,
) -> Report:
    """Check a journal; it may be in use.

    Args:
        folder: Of the journal.
        key: What its checkpoints must be signed with, or None: then only the chain is checked.
        progress: Told records and bytes now and then.
        begin: Says who is handed the records, each once it was checked; asked again where reading
            begins anew, because records were pruned meanwhile. What a checkpoint signs is known
            only at the end.

    Raises:
        OSError: it cannot be read.
    """
    report = Report()

    def read(begins: Base) -> None:
        nonlocal report
        report = _verified(folder, key, progress, begins, None if begin is None else begin())
        if report.fault is not None:
            raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, report.fault.why)

    try:
        beginning.steady(folder, read)
    except ProtocolError as error:
        report.fault = report.fault or Fault(None, beginning.BASE, error.detail)
    return report


def _verified(
    folder: Path,
    key: NoteKey | None,
    progress: Callable[[int, int], None] | None,
    begins: Base,
    told: Told | None,
) -> Report:
    report = Report(pruned=begins.pruned)
    # Before the records: the log may grow meanwhile, and is then longer than its checkpoint says.
    _open_checkpoint(folder, key, report)
    if report.fault is None:
        _read(folder, begins, report, progress, told)
    if report.fault is None:
        _conclude(begins, report)
    return report


def _open_checkpoint(folder: Path, key: NoteKey | None, report: Report) -> None:
    if key is None:
        report.unchecked.append("the checkpoint: no key to check it with")
        return
    try:
        report.checkpoint = checkpoints.read(folder, key)
    except ProtocolError as error:
        report.fault = Fault(None, checkpoints.CHECKPOINT, str(error))
        return
    if report.checkpoint is None:
        report.unchecked.append("the records: there is no checkpoint that signs them")


def _read(
    folder: Path,
    begins: Base,
    report: Report,
    progress: Callable[[int, int], None] | None,
    told: Told | None,
) -> None:
    chain, outcomes = Chain(begins.cut), Outcomes(begins.pruned)
    take = outcomes.take if told is None else _telling(outcomes, told)
    try:
        paths = segments.find(folder, begins.cut.segment)
    except ProtocolError as error:
        report.fault = Fault(None, str(folder), error.detail)
        return
    report.segments = len(paths)
    for path in paths:
        if report.torn_bytes and path.stat().st_size:
            report.fault = Fault(chain.tree.size, path.name, "the segment before ends in a record")
            return
        _read_segment(path, chain, take, report, progress, begins)
        if report.fault is not None:
            return
    report.ended = dict(outcomes.ended)
    report.interrupted, report.running = outcomes.interrupted, outcomes.running


def _read_segment(
    path: Path,
    chain: Chain,
    take: _Take,
    report: Report,
    progress: Callable[[int, int], None] | None,
    begins: Base,
) -> None:
    offset = 0
    for line in segments.read(path, 0):
        index = chain.tree.size
        why = _fault(path, offset, line, chain, take, report)
        if begins.pruned and why is None and index == begins.record and not report.torn_bytes:
            why = _disagrees(begins, line[:-1])
        if why is not None:
            report.fault = Fault(index, f"{path.name}, byte {offset}", why)
            return
        if report.torn_bytes:
            return
        offset += len(line)
        report.records = chain.tree.size - begins.pruned
        report.bytes_read += len(line)
        if not _as_signed(chain, report):
            return
        if progress is not None and report.records % PROGRESS_RECORDS == 0:
            progress(report.records, report.bytes_read)


def _fault(
    path: Path, offset: int, line: bytes, chain: Chain, take: _Take, report: Report
) -> str | None:
    if not line.endswith(b"\n"):
        torn = segments.torn(path, offset)
        if torn is None:
            return "longer than a record can be"
        report.torn_bytes = torn.size
        return None
    try:
        said = chain.check(line[:-1])
    except ProtocolError as error:
        return str(error)
    return take(said)


def _telling(outcomes: Outcomes, told: Told) -> _Take:
    def take(said: Record) -> str | None:
        why = outcomes.take(said)
        if why is None:
            told(said)
        return why

    return take


def _disagrees(begins: Base, line: bytes) -> str | None:
    try:
        begins.confirm(line)
    except ProtocolError as error:
        return error.detail
    return None


def _as_signed(chain: Chain, report: Report) -> bool:
    signed = report.checkpoint
    if signed is None or chain.tree.size != signed.size or chain.tree.root() == signed.root:
        return True
    # Which record differs is beyond what one root can tell.
    why = f"the root over the first {signed.size} records is not the signed one"
    report.fault = Fault(None, checkpoints.CHECKPOINT, why)
    return False


def _conclude(begins: Base, report: Report) -> None:
    signed = report.checkpoint
    report.checked += [
        f"{report.records} records are canonical and complete",
        f"their numbers run from {report.pruned} without a gap",
        "each names the SHA-256 of the one before",
        "no request has two ends, none an end without a decision",
    ]
    covered = report.size if signed is None else signed.size
    if begins.pruned and begins.record >= covered:
        why = f"record {begins.record}, which says what was pruned, is not under the checkpoint"
        report.fault = Fault(begins.record, beginning.BASE, why)
        return
    if begins.pruned:
        report.checked.append(
            f"record {begins.record} says that records 0 to {begins.pruned - 1} were pruned"
        )
        report.unchecked.append(f"these {begins.pruned} records: only their root is known")
    if report.interrupted or report.running:
        report.unchecked.append(
            f"how {report.interrupted + report.running} permitted requests ended: "
            f"{report.running} may be running, {report.interrupted} ended with their process"
        )
    if report.torn_bytes:
        report.unchecked.append(
            f"the last {report.torn_bytes} bytes: a record without its end (being written, or torn)"
        )
    if signed is None:
        return
    if report.size < signed.size:
        why = f"{report.size} records, but the checkpoint says {signed.size}"
        report.fault = Fault(report.size, checkpoints.CHECKPOINT, why)
        return
    report.tail_records = report.size - signed.size
    report.checked.append(f"the checkpoint over {signed.size} records is signed by the key")
    report.checked.append("their RFC 6962 root is the signed one")
    report.unchecked.append(
        f"the {report.tail_records} records after the checkpoint, and whether there were more"
    )
    report.unchecked.append(
        "whether a newer checkpoint existed: only somebody who remembers one can tell"
    )
