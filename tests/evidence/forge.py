"""Forgeries: what somebody with write access to the folder, but without the key, can make of it.

And what somebody can make with older copies of the folder, which the key did sign. Those do not
show from the folder; they show to who remembers a later checkpoint.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import msgspec

from sidecar.audit import checkpoints, past, reader, segments
from sidecar.core import canonical
from sidecar.core.log import note
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner
from tests.audit import journals
from tests.evidence.report import Line, first_of
from tests.evidence.specimen import Specimen, make

STEP = 7  # records from one state of a log to the next


@dataclass(frozen=True, slots=True)
class Change:
    """Other records in a journal.

    Attributes:
        name: What, and where.
        lines: Of all segments.
        tail: Whether the signed records are what they were.
    """

    name: str
    lines: tuple[tuple[bytes, ...], ...]
    tail: bool

    def apply(self, folder: Path) -> None:
        """Write them in the place of a journal's own."""
        write(folder, self.lines)


def write(folder: Path, parts: Sequence[Sequence[bytes]]) -> None:
    """Put records into segments, and remove the segments that nothing is put into."""
    for path in segments.find(folder):
        path.unlink()
    for number, part in enumerate(parts):
        (folder / segments.name(number)).write_bytes(b"".join(part))


def rearranged(specimen: Specimen) -> Iterator[tuple[str, list[Change]]]:
    """Each record deleted, swapped with the next, doubled; each segment removed, swapped."""
    n = len(specimen.lines)
    yield "record deleted", [_moved(specimen, at, at + 1, ()) for at in range(n)]
    yield "record swapped", [_moved(specimen, at, at + 2, (at + 1, at)) for at in range(n - 1)]
    yield "record doubled", [_moved(specimen, at, at + 1, (at, at)) for at in range(n)]
    parts = tuple(tuple(part) for part in specimen.parts)
    removed = [(*parts[:at], *parts[at + 1 :]) for at in range(len(parts))]
    swapped = [
        (*parts[:at], parts[at + 1], parts[at], *parts[at + 2 :]) for at in range(len(parts) - 1)
    ]
    yield (
        "segment removed or swapped",
        [
            Change(f"segments {number}", what, tail=_intact(specimen, what))
            for number, what in enumerate([*removed, *swapped])
        ],
    )


def _moved(specimen: Specimen, start: int, end: int, put: tuple[int, ...]) -> Change:
    """Records `start` to `end` replaced by some of the old ones, each segment as long as before."""
    lines, parts, at = specimen.lines, [], 0
    for part in specimen.parts:
        numbers = [n for n in range(at, at + len(part)) if not start <= n < end]
        if at <= start < at + len(part):
            numbers[start - at : start - at] = put
        parts.append(tuple(lines[n] for n in numbers))
        at += len(part)
    made = tuple(parts)
    return Change(f"record {start}", made, tail=_intact(specimen, made))


def _intact(specimen: Specimen, parts: Sequence[Sequence[bytes]]) -> bool:
    flat = [line for part in parts for line in part]
    return flat[: specimen.signed] == specimen.lines[: specimen.signed]


def rechained(specimen: Specimen, index: int, folder: Path) -> None:
    """A copy with one record altered, and all that follow naming the altered ones."""
    shutil.copytree(specimen.folder, folder, dirs_exist_ok=True)
    prev, parts, at = "", [], 0
    for part in specimen.parts:
        made = []
        for line in part:
            raw = line
            if at >= index:
                said = msgspec.json.decode(line)
                said.update({"ts": said["ts"] + 1} if at == index else {"prev": prev})
                raw = canonical.encode(said) + b"\n"
                prev = canonical.digest(raw[:-1])
            made.append(raw)
            at += 1
        parts.append(made)
    write(folder, parts)


def foreign(specimen: Specimen) -> bytes:
    """The same checkpoint, signed by a key of the same name."""
    raw = checkpoints.held(specimen.folder)
    assert raw is not None
    other = FileSigner(bytes(32))
    key = note.NoteKey(journals.ORIGIN, other.public)
    text = note.unverified(raw)
    return note.seal(text, key, other.sign(text.encode())).encode()


# -- what the key did sign -------------------------------------------------------------------------


def remembered(folder: Path, head: Checkpoint) -> Reason | None:
    """What a start says that asked a peer with that head first."""
    try:
        past.compare(folder, head, journals.KEY)
    except ProtocolError as error:
        return error.reason
    return None


def history(folder: Path, states: int, salt: int) -> list[tuple[Specimen, Checkpoint]]:
    """One log over time: a copy of its folder and its checkpoint for each state."""
    whole = make(folder / "whole", states * STEP + 3, states * STEP, 4_000, salt=salt)
    found = []
    for state in range(1, states + 1):
        copy = folder / f"state-{state}"
        shutil.copytree(whole.folder, copy)
        lines = [line[:-1] for line in whole.lines]
        tail = [] if state < states else whole.lines[states * STEP :]
        write(copy, _as_long(whole, state * STEP + len(tail)))
        journals.write_checkpoint(copy, lines[: state * STEP])
        head = checkpoints.read(copy, journals.KEY)
        assert head is not None
        found.append((Specimen(copy, head.size), head))
    return found


def _as_long(specimen: Specimen, count: int) -> list[list[bytes]]:
    parts, left = [], count
    for part in specimen.parts:
        parts.append(part[:left])
        left -= len(parts[-1])
    return [part for part in parts if part] or [[]]


def copies(folder: Path, states: int) -> list[Line]:
    """Each older copy of a whole folder in the place of each newer one."""
    line = Line("older copy of the whole folder restored")
    alone, heads = 0, history(folder / "copies", states, 0)
    for (old, _), (_, head) in combinations(heads, 2):
        line.count += 1
        alone += not reader.verify(old.folder, journals.KEY).verified
        if (why := remembered(old.folder, head)) is not Reason.AUDIT_TRUNCATED:
            line.wrong.append(f"{old.folder.name} where {head.size} are remembered: {why}")
    late, head = heads[-1]
    tail = len(late.lines) - head.size
    line.seen = (
        f"not found by who remembers a later checkpoint: {len(line.wrong)}; found by the folder "
        f"alone: {alone}; a copy that lacks only the tail is not found: {_tails(late, head)} of "
        f"{tail}"
    )
    line.wrong = first_of(line.wrong)
    return [line]


def _tails(specimen: Specimen, head: Checkpoint) -> int:
    """How many of the copies are not found whose last records are missing."""
    missed = 0
    for count in range(head.size, len(specimen.lines)):
        write(specimen.folder, _as_long(specimen, count))
        missed += remembered(specimen.folder, head) is None
    return missed


def forks(folder: Path, states: int) -> list[Line]:
    """Two histories under one key: one in the place of the other, and one continued by the other.

    They differ from the first record on: of the clocks of their records.
    """
    ours = history(folder / "ours", states, 0)
    theirs = history(folder / "theirs", states, 1)
    fork = Line("another history of the same key in the place of this one")
    for specimen, _ in theirs:
        for _, head in ours:
            fork.count += 1
            short = specimen.signed < head.size
            expected = Reason.AUDIT_TRUNCATED if short else Reason.AUDIT_INCONSISTENT
            # A longer tail may reach what is remembered: then it is held against that.
            why = remembered(specimen.folder, head)
            if why not in (expected, Reason.AUDIT_INCONSISTENT):
                fork.wrong.append(f"{specimen.folder.name} for {head.size}: {why}")
    fork.seen = f"not found by who remembers the other: {len(fork.wrong)}"
    fork.wrong = first_of(fork.wrong)
    return [fork, _spliced(ours[-1][0], theirs[-1][0], folder)]


def _spliced(ours: Specimen, theirs: Specimen, folder: Path) -> Line:
    line = Line("two histories spliced at each record")
    for index in range(1, ours.signed):
        for checkpoint in (ours, theirs):
            copy = Path(shutil.copytree(checkpoint.folder, folder / "spliced", dirs_exist_ok=True))
            write(copy, [[*ours.lines[:index], *theirs.lines[index:]]])
            line.count += 1
            if reader.verify(copy, journals.KEY).fault is None:
                line.wrong.append(f"at record {index}: not found")
    line.seen = f"not found: {len(line.wrong)}"
    line.wrong = first_of(line.wrong)
    return line
