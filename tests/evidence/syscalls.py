"""A writer killed at each of its file system calls, while it writes and while it recovers.

strace ends the process as it enters the call, so the state on the disk is the one between that call
and the one before it: between any two of them, one run. Calls are counted for each thread.

Source: hardening P10, J01.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from sidecar.audit import segments
from tests.audit import journals
from tests.evidence import aftermath, specimen, tracing
from tests.evidence.report import Line, Part, first_of
from tests.evidence.writer import ENDED, SEGMENT_BYTES, Writer, forking, killed, writing
from tests.late.pauses import strace_missing

RECORDS = 30
LIMIT = 1_000


def run(
    part: Part, tell: Callable[[str], None], calls: Sequence[str] = tracing.FILES, step: int = 1
) -> list[Line]:
    """Do it.

    Args:
        part: Told what cannot be done here.
        tell: Shown how far it is.
        calls: Names of system calls.
        step: Every so many of each.
    """
    missing = strace_missing()
    if missing:
        part.skipped.append(f"syscalls: {missing}")
        return []
    with tempfile.TemporaryDirectory(prefix="epochgate-syscalls-") as name:
        folder = Path(name)
        plans = [
            ("a writer", None, False), ("a start of a new journal", None, True),
            ("a start after a torn record", _torn(folder / "torn"), True),
        ]  # fmt: skip
        lines = []
        for who, start, opens in plans:
            line = Line(f"killed at each file system call of {who}")
            campaign = Kills(folder / "run", start, opens, line)
            hits = {call: campaign.each(call, step) for call in calls}
            told = ", ".join(f"{call} {count}" for call, count in hits.items() if count)
            lost = sum("lost" in why for why in line.wrong)
            line.seen = f"{campaign.promised:,} records were promised, {lost} lost; kills: {told}"
            line.wrong = first_of(line.wrong)
            tell(f"{line.what}: {line.count} kills")
            lines.append(line)
        return lines


class Kills:
    """Kills at one kind of writer.

    Args:
        folder: For its journal, made anew for each run.
        start: What lies there at first, or None.
        opens: Whether its start is what is disturbed, else its work.
        line: Where it is told.

    Attributes:
        promised: Records that the killed ones had promised.
    """

    def __init__(self, folder: Path, start: Path | None, opens: bool, line: Line) -> None:  # noqa: FBT001
        self._folder, self._start, self._opens, self._line = folder, start, opens, line
        self._context = forking()
        self.promised = 0

    def each(self, call: str, step: int) -> int:
        """Kill at the first, the second ... such call, until there is none; how often."""
        for number in range(1, LIMIT, step):
            if not self._kill(call, number):
                return (number - 1) // step
        raise RuntimeError(f"a writer makes {LIMIT} calls of {call}, and goes on")

    def _kill(self, call: str, number: int) -> bool:
        folder = self._folder
        shutil.rmtree(folder, ignore_errors=True)
        if self._start is not None:
            shutil.copytree(self._start, folder)
        trace, what = folder.with_suffix(".trace"), f"signal=KILL:when={number}"
        records = 1 if self._opens else RECORDS
        with writing(self._context, folder, records, opens=self._opens) as writer:
            with tracing.injected(writer.pid, call, what, trace):
                writer.go()
                writer.hear()
            if not killed(writer):
                if writer.last != ENDED:
                    self._line.wrong.append(f"{call} {number}: neither ended nor killed")
                return False
        self._line.count += 1
        self.promised += len(writer.acknowledged)
        self._line.wrong += [f"{call} {number}: {why}" for why in _after(folder, writer)]
        return True


def _after(folder: Path, writer: Writer) -> list[str]:
    known = writer.acknowledged
    return [*aftermath.judge(folder, known), *aftermath.goes_on(folder, known)]


def _torn(folder: Path) -> Path:
    """A journal whose writer died within a record that no checkpoint covers."""
    specimen.make(folder, 12, 9, SEGMENT_BYTES)
    with segments.find(folder)[-1].open("ab") as file:
        file.write(b'{"beat":null,"boot":"' + journals.BOOT.encode())
    return folder
