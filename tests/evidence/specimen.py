"""A journal to damage: real records, several segments, a signed checkpoint and a tail behind it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sidecar.audit import segments
from sidecar.core.gate import Gate
from tests import builders
from tests.audit import journals

STEPS = 5  # permit, its outcome, denial, permit, its outcome


@dataclass(frozen=True)
class Specimen:
    """A closed journal.

    Attributes:
        folder: Where it lies.
        signed: Records under its checkpoint; those behind are the stated tail.
    """

    folder: Path
    signed: int

    @cached_property
    def parts(self) -> list[list[bytes]]:
        """The records of each segment, with their newlines."""
        return [
            [line for line in segments.read(path, 0) if line.endswith(b"\n")]
            for path in segments.find(self.folder)
        ]

    @cached_property
    def lines(self) -> list[bytes]:
        """All records, with their newlines."""
        return [line for part in self.parts for line in part]

    @cached_property
    def places(self) -> list[tuple[Path, int]]:
        """For each record its segment and its offset there."""
        found = []
        for path, part in zip(segments.find(self.folder), self.parts, strict=True):
            offset = 0
            for line in part:
                found.append((path, offset))
                offset += len(line)
        return found


def make(folder: Path, records: int, signed: int, segment_bytes: int, *, salt: int = 0) -> Specimen:
    """Write one.

    Args:
        folder: Made.
        records: How many.
        signed: How many of them a checkpoint covers.
        segment_bytes: About the size of a segment.
        salt: Another one makes another history.
    """
    journal = journals.open_journal(folder, segment_bytes)
    recorder = journals.make_recorder(journal, Gate())
    permit = journals.make_permit(journals.make_snapshot())
    decision_id = None
    while journal.seq < records:
        step, now = journal.seq % STEPS, builders.now(salt + journal.seq % 1000)
        if step in (1, 4):
            assert decision_id is not None
            recorder.outcome(decision_id, "permit", None, now, dur_ns=1000, sent=True, status=200)
            journal.settle()
        else:
            said = journals.DENIAL if step == 2 else permit
            decision_id = recorder.decision(said, journals.HEAD, "0af7651916cd43dd", now)
        flush = journal.flush()
        if flush.prepare is not None:  # else nothing needs the disk: this is a test's own journal
            journal.flushed(flush, flush.run())
    lines = list(journal.fresh)
    journal.close()
    journals.write_checkpoint(folder, lines[:signed])
    return Specimen(folder, signed)
