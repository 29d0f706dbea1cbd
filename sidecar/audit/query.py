"""Finds records in a journal, and counts them: one pass, constant memory, nothing verified.

Rules:

* A line is decoded only when the words that are asked for stand in it somewhere: most do not.
* What cannot be read as a record is counted and told, never passed over in silence.
* Times are those of the record: the wall clock of the sidecar that wrote it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.audit import segments
from sidecar.core import canonical
from sidecar.core.log import record
from sidecar.core.log.record import Decision, Outcome, Record
from sidecar.core.reason import ProtocolError

PROGRESS_RECORDS = 50_000
PART_BITS = 2  # four buckets of durations between powers of two: at most a quarter too high

Progress = Callable[[int, int], None]  # records and bytes so far


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a record has to be; a field without a value asks for nothing.

    Attributes:
        since: Not before, ms since 1970.
        until: Before, ms since 1970.
        types: Kinds of record: decision, outcome, halt, ...
        decision: `permit` or `deny`.
        reason: Code, `EG102`.
        route: Name of the route.
        trace: W3C trace id.
        request: Decision id: the decision and what became of it.
        subject: Digest that stands for who asked.
        tenant: Digest that stands for whom it was.
        parent: Decision id: the decisions that descend from it.
    """

    since: int | None = None
    until: int | None = None
    types: frozenset[str] = frozenset()
    decision: str | None = None
    reason: str | None = None
    route: str | None = None
    trace: str | None = None
    request: str | None = None
    subject: str | None = None
    tenant: str | None = None
    parent: str | None = None

    @property
    def words(self) -> tuple[bytes, ...]:
        """What stands in the bytes of every record that fits: quoted, so nothing else looks so."""
        return tuple(
            f'"{name}":'.encode() + canonical.encode(value)
            for name, value in self._asked
            if value is not None
        )

    def fits(self, said: Record) -> bool:
        """Whether a record is one of those."""
        if self.since is not None and said.ts < self.since:
            return False
        if self.until is not None and said.ts >= self.until:
            return False
        if self.types and said.type not in self.types:
            return False
        return all(
            value is None or getattr(said, name, None) == value for name, value in self._asked
        )

    @property
    def _asked(self) -> tuple[tuple[str, str | None], ...]:
        return (
            ("decision", self.decision), ("reason", self.reason), ("route", self.route),
            ("trace_id", self.trace), ("decision_id", self.request),
            ("subject_h", self.subject), ("tenant_h", self.tenant), ("parent_id", self.parent),
        )  # fmt: skip


@dataclass(slots=True)
class Stats:
    """What a journal holds, counted.

    Attributes:
        records: By type.
        decisions: (decision, reason or empty, route or empty) -> how many.
        ended: Requests by how they ended.
        unreadable: Lines that are no records.
        first, last: Earliest and latest time, ms since 1970; 0 without records.
        buckets: Durations of permitted requests, by size.
    """

    records: Counter[str] = field(default_factory=Counter)
    decisions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    first: int = 0
    last: int = 0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, said: Record) -> None:
        """Count a record."""
        self.records[said.type] += 1
        self.first = min(self.first or said.ts, said.ts)
        self.last = max(self.last, said.ts)
        if isinstance(said, Decision):
            self.decisions[said.decision, said.reason or "", said.route or ""] += 1
            self.ended["deny"] += said.decision == "deny"
        elif isinstance(said, Outcome):
            self.ended[said.outcome] += 1
            self.buckets[_bucket(said.dur_us)] += 1

    def percentile_us(self, share: float) -> int | None:
        """So many of the permitted requests took at most so long: microseconds, or None."""
        total = sum(self.buckets.values())
        left = share * total
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return _upper_us(bucket)
        return None


def search(
    folder: Path, wanted: Wanted, progress: Progress | None = None, stats: Stats | None = None
) -> Iterator[tuple[bytes, Record]]:
    """The records that are wanted, oldest first: each line without its newline, and what it says.

    Args:
        folder: Of the journal; it may be in use.
        wanted: Which.
        progress: Told now and then.
        stats: Told of lines that are no records.

    Raises:
        ProtocolError: a segment is missing.
        OSError: the folder cannot be read.
    """
    words, count, size = wanted.words, 0, 0
    for line in segments.lines(folder):
        count, size = count + 1, size + len(line)
        if progress is not None and count % PROGRESS_RECORDS == 0:
            progress(count, size)
        if not line.endswith(b"\n") or not all(word in line for word in words):
            continue  # the record that is being written has no end yet
        try:
            said = record.parse(line[:-1])
        except ProtocolError:
            if stats is not None:
                stats.unreadable += 1
            continue
        if wanted.fits(said):
            yield line[:-1], said


def _bucket(value_us: int) -> int:
    value_us = max(value_us, 1)
    whole = value_us.bit_length() - 1
    return (whole << PART_BITS) + (value_us << PART_BITS >> whole) - (1 << PART_BITS)


def _upper_us(bucket: int) -> int:
    whole, part = bucket >> PART_BITS, bucket & ((1 << PART_BITS) - 1)
    return (part + 1 + (1 << PART_BITS)) << whole >> PART_BITS
