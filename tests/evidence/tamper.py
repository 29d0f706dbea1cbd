"""Every way to damage a journal that one can count, and how each is found.

Twice: a small journal in full, where each change is made to the files and the verifier and the
recovery read all of it; and a large one by `judge`, with a sample of changes made in full.

Source: hardening P12, J06, J07, J09.
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.audit import checkpoints, reader, segments
from sidecar.audit.recovery import examine
from sidecar.core.reason import ProtocolError
from tests.audit import journals
from tests.evidence import crowd, forge
from tests.evidence.judge import Judge, Verdict
from tests.evidence.report import Line, first_of
from tests.evidence.specimen import Specimen, make

CHUNK = 50  # records that a worker takes at a time
FIRST = 5  # violations that a worker tells of each kind


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to do.

    Attributes:
        records: Of the large journal.
        every: One bit of so many is flipped in it.
        sample: Changes of each kind made to the large one in full.
        small: Records of the small journal.
        small_every: One bit of so many is flipped in that.
        states: Of a journal over time, for copies and forks.
        jobs: Processes.
    """

    records: int = 10_000
    every: int = 1
    sample: int = 400
    small: int = 24
    small_every: int = 1
    states: int = 20
    jobs: int = 2


@dataclass(slots=True)
class Tally:
    """Verdicts on one kind of change, counted.

    Attributes:
        outside: Of changes under the checkpoint.
        inside: Of changes in the stated tail.
        proofs: Changes that the line alone did not give away, each held against the signed root.
        wrong: Violations.
    """

    outside: Counter[Verdict]
    inside: Counter[Verdict]
    proofs: int
    wrong: list[str]

    def __add__(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(
            self.outside + other.outside, self.inside + other.inside,
            self.proofs + other.proofs, self.wrong + other.wrong,
        )  # fmt: skip

    def line(self, what: str) -> Line:
        """Its row."""
        both = self.outside + self.inside
        ways = ", ".join(f"{both[way]:,} {way.value}" for way in Verdict if way in both
                         and way is not Verdict.MISSED)  # fmt: skip
        missed = f"not found: {self.outside[Verdict.MISSED]} outside the tail"
        tail = f"{self.inside[Verdict.MISSED]:,} of {self.inside.total():,} inside"
        proofs = f"; {self.proofs:,} proofs fail" if self.proofs else ""
        return Line(what, both.total(), f"{missed}, {tail}; {ways}{proofs}", first_of(self.wrong))


def run(plan: Plan, tell: Callable[[str], None]) -> list[Line]:
    """Do all of it."""
    with tempfile.TemporaryDirectory(prefix="epochgate-tamper-") as name:
        folder = Path(name)
        small = make(folder / "small", plan.small, plan.small - 4, 6_000)
        tell(f"small journal: {plan.small} records, {len(small.parts)} segments")
        lines = _small(small, plan, tell)
        lines += forge.copies(folder, plan.states)
        lines += forge.forks(folder, plan.states)
        segment = plan.records * 600 // 6
        large = make(folder / "large", plan.records, plan.records - 25, segment)
        size = sum(map(len, large.lines))
        tell(f"large journal: {plan.records} records, {size:,} bytes, {len(large.parts)} segments")
        return lines + _large(large, plan, tell)


# -- the large journal -----------------------------------------------------------------------------


def _large(specimen: Specimen, plan: Plan, tell: Callable[[str], None]) -> list[Line]:
    n = len(specimen.lines)
    starts = range(0, n, CHUNK)
    bare = Specimen(specimen.folder, specimen.signed)  # each worker reads it for itself
    jobs = [(bare, start, min(start + CHUNK, n), plan.every) for start in starts]
    flips = Tally(Counter(), Counter(), 0, [])
    for done, tally in enumerate(crowd.work(flip_range, jobs, plan.jobs), start=1):
        flips += tally
        if done % 10 == 0 or done == len(jobs):
            bits = flips.outside.total() + flips.inside.total()
            tell(f"{bits:,} bits flipped, {done * 100 // len(jobs)} %")
    sampled = f"bit flipped, journal of {n:,} records" + (
        "" if plan.every == 1 else f", each {plan.every}th"
    )
    lines = [flips.line(f"each {sampled}" if plan.every == 1 else sampled)]
    moved = moves(specimen)
    lines += [tally.line(f"each record {kind}") for kind, tally in moved.items()]
    tell("records moved; now a sample in full")
    return [*lines, *agreement(specimen, plan.sample), _forged(specimen, plan.sample // 8)]


def flip_range(specimen: Specimen, start: int, end: int, every: int) -> Tally:
    """Flip bits of some records."""
    judge = Judge(specimen, start)
    tally = Tally(Counter(), Counter(), 0, [])
    offset = sum(len(line) for line in specimen.lines[:start]) * 8
    for index in range(start, end):
        line = specimen.lines[index]
        signed = index < specimen.signed
        counted = tally.outside if signed else tally.inside
        raw = bytearray(line)
        for bit in range(-offset % every, len(line) * 8, every):
            raw[bit >> 3] ^= 1 << (bit & 7)
            verdict = judge.altered(bytes(raw))
            counted[verdict] += 1
            if signed and verdict is not Verdict.LINE:
                _hold_against_root(judge, bytes(raw), f"record {index}, bit {bit}", tally)
            if verdict is Verdict.MISSED and signed:
                tally.wrong.append(f"record {index}, bit {bit}: not found")
            raw[bit >> 3] ^= 1 << (bit & 7)
        offset += len(line) * 8
        if index + 1 < end:
            judge.advance()
    return tally


def _hold_against_root(judge: Judge, raw: bytes, where: str, tally: Tally) -> None:
    tally.proofs += 1
    if judge.proves(raw):
        tally.wrong.append(f"{where}: its proof holds under the signed root")


def moves(specimen: Specimen) -> dict[str, Tally]:
    """Each record deleted, swapped with the one after it, and doubled."""
    lines, n = specimen.lines, len(specimen.lines)
    found = {kind: Tally(Counter(), Counter(), 0, []) for kind in ("deleted", "swapped", "doubled")}
    judge = Judge(specimen)
    for index in range(n):
        after = lines[index + 1 : index + 3]
        verdicts = {"deleted": judge.judge(after, ends=index + 3 >= n)}
        if after:
            verdicts["swapped"] = judge.judge(
                [after[0], lines[index], *after[1:]], ends=index + 3 >= n
            )
        judge.advance()
        verdicts["doubled"] = judge.judge([lines[index], *after], ends=index + 3 >= n)
        for kind, verdict in verdicts.items():
            tally = found[kind]
            signed = index < specimen.signed
            (tally.outside if signed else tally.inside)[verdict] += 1
            if signed and verdict is Verdict.MISSED:
                tally.wrong.append(f"record {index}: not found")
    return found


# -- changes in full -------------------------------------------------------------------------------


@contextmanager
def edited(path: Path, offset: int, raw: bytes) -> Iterator[None]:
    """Other bytes in the place of some of a file, for a while."""
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        before = file.read(len(raw))
        file.seek(offset)
        file.write(raw)
        try:
            yield
        finally:
            file.seek(offset)
            file.write(before)


def verified(folder: Path) -> str | None:
    """What `audit verify` finds wrong, or None."""
    fault = reader.verify(folder, journals.KEY).fault
    return None if fault is None else f"{fault.index} {fault.where}: {fault.why}"


def recovered(folder: Path) -> str | None:
    """What a start finds wrong, or None."""
    try:
        examine(folder, journals.KEY)
    except ProtocolError as error:
        return str(error)
    return None


def agreement(specimen: Specimen, count: int) -> list[Line]:
    """Random flips in full: the verifier and a start have to find what `judge` finds."""
    draw = random.Random(specimen.signed)
    line = Line("of these a sample in full: verifier and start against it")
    n = len(specimen.lines)
    chosen = sorted([*draw.choices(range(n), k=count * 9 // 10), *[n - 1] * (count // 10)])
    judge, told = Judge(specimen), Counter[str]()
    for index in chosen:
        while judge.index < index:
            judge.advance()
        path, offset = specimen.places[index]
        raw = bytearray(specimen.lines[index])
        bit = draw.choice([draw.randrange(len(raw) * 8), len(raw) * 8 - 8 + draw.randrange(8)])
        raw[bit >> 3] ^= 1 << (bit & 7)
        verdict = judge.altered(bytes(raw))
        with edited(path, offset, bytes(raw)):
            for who, said in ("verifier", verified), ("start", recovered):
                line.count += 1
                why = said(specimen.folder)
                told[who] += why is not None
                if why is None and verdict is not Verdict.MISSED:
                    line.wrong.append(f"record {index}, bit {bit}: {verdict}, but {who}: {why}")
    line.seen = ", ".join(f"the {who} refuses {n}" for who, n in told.items())
    return [line]


def _forged(specimen: Specimen, count: int) -> Line:
    """One record altered, and all that follow chained to it anew: only the root can tell."""
    draw = random.Random(1)
    line = Line("record altered and the rest chained anew", count)
    with tempfile.TemporaryDirectory(dir=specimen.folder.parent) as name:
        copy = Path(name) / "copy"
        for index in draw.choices(range(specimen.signed), k=count):
            forge.rechained(specimen, index, copy)
            why = verified(copy)
            if why is None or "root" not in why:
                line.wrong.append(f"record {index}: {why}")
    line.seen = "not found: 0 outside the tail; all by the signed root" if not line.wrong else ""
    return line


# -- the small journal -----------------------------------------------------------------------------


def _small(specimen: Specimen, plan: Plan, tell: Callable[[str], None]) -> list[Line]:
    n = len(specimen.lines)
    bare = Specimen(specimen.folder, specimen.signed)
    jobs = [(bare, index, plan.small_every) for index in range(n)]
    flips = Tally(Counter(), Counter(), 0, [])
    for done, tally in enumerate(crowd.work(flip_in_full, jobs, plan.jobs), start=1):
        flips += tally
        tell(f"record {done} of {n}: {flips.outside.total() + flips.inside.total():,} bits in full")
    lines = [flips.line(f"bit flipped, journal of {n} records, all read anew")]
    lines += [_whole(specimen, *change) for change in forge.rearranged(specimen)]
    tell("records moved in full")
    lines += [truncations(specimen, plan.small_every)]
    lines += [checkpoint_flips(specimen, plan.small_every), checkpoint_cuts(specimen)]
    tell("cut to each length; each bit of the checkpoint flipped")
    return lines


def flip_in_full(specimen: Specimen, index: int, every: int) -> Tally:
    """Each bit of one record, in a copy of the files."""
    tally = Tally(Counter(), Counter(), 0, [])
    judge, line = Judge(specimen, index), specimen.lines[index]
    path, offset = specimen.places[index]
    signed = index < specimen.signed
    with tempfile.TemporaryDirectory() as name:
        copy = Path(shutil.copytree(specimen.folder, Path(name) / "copy"))
        for bit in range(index % every, len(line) * 8, every):
            raw = bytearray(line)
            raw[bit >> 3] ^= 1 << (bit & 7)
            with edited(copy / path.name, offset + (bit >> 3), bytes((raw[bit >> 3],))):
                whys = verified(copy), recovered(copy)
            verdict = judge.altered(bytes(raw))
            if None in whys and verdict is not Verdict.MISSED:
                tally.wrong.append(f"record {index}, bit {bit}: {verdict}, in full {whys}")
            # The verifier also counts the ends of requests, which a start does not.
            found = Verdict.LINE if verdict is Verdict.MISSED and whys[0] else verdict
            (tally.outside if signed else tally.inside)[found] += 1
            if signed and None in whys:
                tally.wrong.append(f"record {index}, bit {bit}: not found")
    tally.wrong = tally.wrong[:FIRST]
    return tally


def _whole(specimen: Specimen, kind: str, changes: Sequence[forge.Change]) -> Line:
    """Changed folders, each read anew."""
    line, missed = Line(f"{kind}, journal of {len(specimen.lines)} records, all read anew"), 0
    for change in changes:
        line.count += 1
        with tempfile.TemporaryDirectory() as name:
            copy = Path(shutil.copytree(specimen.folder, Path(name) / "copy"))
            change.apply(copy)
            why = verified(copy)
            if (why is None) is not (recovered(copy) is None):
                line.wrong.append(f"{change.name}: verifier and start differ")
        missed += why is None
        if why is None and not change.tail:
            line.wrong.append(f"{change.name}: not found")
    tail = sum(change.tail for change in changes)
    outside = missed if len(line.wrong) else 0
    line.seen = f"not found: {outside} outside the tail, {missed - outside} of {tail} inside"
    line.wrong = first_of(line.wrong)
    return line


def truncations(specimen: Specimen, every: int = 1) -> Line:
    """The last segment cut to each length, and the one before it, too."""
    line, missed, tails = Line("last segments cut to each length, all read anew"), 0, 0
    with tempfile.TemporaryDirectory() as name:
        copy = Path(shutil.copytree(specimen.folder, Path(name) / "copy"))
        ends = [path for path in segments.find(copy) if path.stat().st_size][-2:]
        for path in reversed(ends):
            whole = path.read_bytes()
            before = sum(len(p) for p in specimen.parts[: int(path.stem)])
            for length in range(len(whole) - 1, -1, -every):
                path.write_bytes(whole[:length])
                line.count += 1
                kept = before + whole.count(b"\n", 0, length)
                tails += kept >= specimen.signed
                found = verified(copy), recovered(copy)
                missed += found[0] is None
                if (found[0] is None) is not (found[1] is None):
                    line.wrong.append(f"{path.name} cut to {length}: {found}")
                if found[0] is None and kept < specimen.signed:
                    line.wrong.append(f"{path.name} cut to {length}: not found")
            path.write_bytes(b"")
    line.seen = f"not found: 0 outside the tail, {missed:,} of {tails:,} inside"
    line.wrong = first_of(line.wrong)
    return line


def checkpoint_flips(specimen: Specimen, every: int = 1) -> Line:
    """Each bit of the checkpoint file."""
    line = Line("each bit of the checkpoint flipped, all read anew")
    path = specimen.folder / checkpoints.CHECKPOINT
    whole = path.read_bytes()
    for bit in range(0, len(whole) * 8, every):
        line.count += 1
        raw = bytes((whole[bit >> 3] ^ 1 << (bit & 7),))
        with edited(path, bit >> 3, raw):
            if None in (verified(specimen.folder), recovered(specimen.folder)):
                line.wrong.append(f"bit {bit}: not found")
    line.seen = f"not found: {len(line.wrong)}"
    line.wrong = first_of(line.wrong)
    return line


def checkpoint_cuts(specimen: Specimen) -> Line:
    """The checkpoint cut to each length, missing, or signed by somebody else."""
    line = Line("checkpoint cut to each length, removed, or of another key")
    path = specimen.folder / checkpoints.CHECKPOINT
    whole = path.read_bytes()
    others = [whole[:length] for length in range(len(whole))]
    for raw in [*others, forge.foreign(specimen), None]:
        line.count += 1
        path.write_bytes(raw) if raw is not None else path.unlink()
        report = reader.verify(specimen.folder, journals.KEY)
        if report.verified or recovered(specimen.folder) is None:
            line.wrong.append(f"checkpoint {raw!r}: not found")
    path.write_bytes(whole)
    line.seen = f"not found: {len(line.wrong)}"
    line.wrong = first_of(line.wrong)
    return line
