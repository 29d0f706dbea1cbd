"""A disk that fails: each file system call of a writer, with each error, once and for ever.

After the first call that fails where records are written, nothing may be promised. Where the disk
is visited out of band (fdatasync, checkpoints, new segments), promises may go on until the visit is
back, and no longer. Each time the journal opens again once the fault is gone.

Source: hardening P11, J02 to J04.
"""

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.evidence import aftermath, tracing
from tests.evidence.report import Line, Part, first_of
from tests.evidence.writer import (
    BROKE,
    DENIED,
    ENDED,
    OPENED,
    READY,
    WORDS,
    Writer,
    forking,
    writing,
)
from tests.late.pauses import strace_missing

RECORDS = 30
FIRST, SECOND = 4, 2  # append, and other call, that is the first to fail of a writer
APPEND = "pwrite64"
ERRORS = ("ENOSPC", "EROFS", "EIO", "EDQUOT")
# A close of what was only read or is on the disk already; and no room for a segment in advance,
# which is said and tried again: what fails when there is none left at all is the append.
UNHEARD = {("close", error) for error in ERRORS}
UNHEARD |= {("fallocate", "ENOSPC"), ("fallocate", "EDQUOT")}
_INJECTED = re.compile(r"^\d+ +(\d+)\.(\d{3}).*\(INJECTED\)", re.MULTILINE)


def run(
    part: Part, tell: Callable[[str], None], calls: Sequence[str] = tracing.FILES,
    errors: Sequence[str] = ERRORS,
) -> list[Line]:  # fmt: skip
    """Do it.

    Args:
        part: Told what cannot be done here.
        tell: Shown how far it is.
        calls: Names of system calls.
        errors: Names of errors.
    """
    missing = strace_missing()
    if missing:
        part.skipped.append(f"faults: {missing}")
        return []
    with tempfile.TemporaryDirectory(prefix="epochgate-faults-") as name:
        lines = []
        for who, opens in (("a writer", False), ("a start", True)):
            campaign = Faults(Path(name) / "run", opens, who)
            for call in calls:
                for error in errors:
                    campaign.each(call, error)
            tell(f"{campaign.line.what}: {campaign.line.count}")
            lines.append(campaign.done())
        return lines


class Faults:
    """Faults of one kind of writer.

    Args:
        folder: For its journal, made anew for each run.
        opens: Whether its start is what is disturbed, else its work.
        who: Is disturbed.

    Attributes:
        line: Where it is told.
    """

    def __init__(self, folder: Path, opens: bool, who: str) -> None:  # noqa: FBT001
        self._folder, self._opens = folder, opens
        self._context = forking()
        self._slowest_ms = self._promised = 0
        self._hits: Counter[str] = Counter()
        self._ends: Counter[bytes] = Counter()
        self.line = Line(f"each file system call of {who} fails, with each of {len(ERRORS)} errors")

    def each(self, call: str, error: str) -> None:
        """That call with that error: once, and from then on."""
        first = 1 if self._opens else FIRST if call == APPEND else SECOND
        for when in (f"{first}", f"{first}+"):
            self._fail(call, error, when)

    def done(self) -> Line:
        """Its row."""
        calls = ", ".join(f"{call} {count}" for call, count in self._hits.items())
        self.line.seen = (
            f"closed within {self._slowest_ms} ms: {self._ends[DENIED]} deny from then on, "
            f"{self._ends[BROKE]} refuse to start or end, {self._ends[ENDED]} need not; "
            f"{self._promised:,} promised before, all "
            f"there afterwards; {calls}"
        )
        self.line.wrong = first_of(self.line.wrong)
        return self.line

    def _fail(self, call: str, error: str, when: str) -> None:
        folder, trace = self._folder, self._folder.with_suffix(".trace")
        shutil.rmtree(folder, ignore_errors=True)
        trace.unlink(missing_ok=True)
        what = f"error={error}:when={when}"
        with (
            writing(self._context, folder, RECORDS, opens=self._opens) as writer,
            tracing.injected(writer.pid, call, what, trace),
        ):
            writer.go()
            writer.hear()
        failed = [int(s) * 1000 + int(ms) for s, ms in _INJECTED.findall(trace.read_text())]
        if not failed:
            return  # it makes no such call, or not so many
        self.line.count += 1
        self._hits[call] += 1
        self._promised += len(writer.acknowledged)
        wrong = self._judged(writer, call, error, failed[0])
        wrong += aftermath.judge(folder, writer.acknowledged)
        wrong += aftermath.goes_on(folder, writer.acknowledged)
        self.line.wrong += [f"{call} {error} {when}: {why}" for why in wrong]

    def _judged(self, writer: Writer, call: str, error: str, failed_ms: int) -> list[str]:
        told = [(said, at) for said, at in writer.told if said not in (READY, OPENED)]
        closed = next((at for at, (said, _) in enumerate(told) if said in (DENIED, BROKE)), None)
        if closed is None:
            self._ends[ENDED] += 1
            return [] if (call, error) in UNHEARD else ["was never noticed"]
        after = [said for said, _ in told[closed:] if said not in WORDS]
        wrong = [f"{len(after)} promised after the gate was closed"] if after else []
        if call == APPEND and closed != (0 if self._opens else FIRST - 1):
            wrong.append(f"{closed} promised, and another number written")
        self._ends[told[closed][0]] += 1
        self._slowest_ms = max(self._slowest_ms, told[closed][1] - failed_ms)
        return wrong
