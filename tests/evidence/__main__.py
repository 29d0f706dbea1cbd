"""`make evidence`: campaigns against the audit log; exit status 1 when anything was violated.

make evidence                                        # all of them, as they were run for README.md
make evidence ARGS="tamper --records 1000 --every 7"
make evidence ARGS="tamper syscalls --save"          # and keep the results for README.md
"""

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from tests.evidence import disks, faults, interop, kill, readme, syscalls, tamper
from tests.evidence.report import Line, Part, say, table

Campaign = Callable[[argparse.Namespace, Callable[[str], None], Part], list[Line]]


def _tamper(chosen: argparse.Namespace, tell: Callable[[str], None], _: Part) -> list[Line]:
    plan = tamper.Plan(
        records=chosen.records, every=chosen.every, sample=chosen.sample, jobs=chosen.jobs,
        small_every=chosen.every,
    )  # fmt: skip
    return tamper.run(plan, tell)


def _syscalls(chosen: argparse.Namespace, tell: Callable[[str], None], part: Part) -> list[Line]:
    return syscalls.run(part, tell)


def _faults(chosen: argparse.Namespace, tell: Callable[[str], None], part: Part) -> list[Line]:
    return faults.run(part, tell)


def _disks(chosen: argparse.Namespace, tell: Callable[[str], None], part: Part) -> list[Line]:
    return disks.run(part, tell, chosen.only)


def _kill(chosen: argparse.Namespace, tell: Callable[[str], None], _: Part) -> list[Line]:
    seed = random.randrange(2**31) if chosen.seed is None else chosen.seed
    tell(f"--seed {seed}")
    return kill.run(chosen.runs, seed, tell)


def _interop(chosen: argparse.Namespace, tell: Callable[[str], None], part: Part) -> list[Line]:
    return interop.run(part, tell)


CAMPAIGNS: dict[str, Campaign] = {
    "tamper": _tamper, "syscalls": _syscalls, "faults": _faults, "disks": _disks, "kill": _kill,
    "interop": _interop,
}  # fmt: skip


def main(words: list[str]) -> int:
    """Exit status 0 when nothing was violated, 1 when something was."""
    chosen = _arguments(words)
    # Both end every process. A shell that starts this in the background has SIGINT ignored.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    options = " ".join(word for word in words if word not in (*CAMPAIGNS, "--save"))
    parts = [_run(name, options, chosen) for name in chosen.campaigns or CAMPAIGNS]
    say("", *table(parts), "")
    for part in parts:
        say(*part.wrong)
        if chosen.save:
            part.save()
    if chosen.save:
        readme.write()
    wrong = sum(len(part.wrong) for part in parts)
    say(f"{wrong} violations" if wrong else "nothing was violated")
    return 1 if wrong else 0


def _run(name: str, options: str, chosen: argparse.Namespace) -> Part:
    began = time.monotonic()

    def tell(line: str) -> None:
        say(f"{name} {time.monotonic() - began:7.1f} s  {line}")

    part = Part(name, f"{datetime.now(UTC):%Y-%m-%d %H:%M}", options)
    part.lines = CAMPAIGNS[name](chosen, tell, part)
    part.seconds = round(time.monotonic() - began, 1)
    return part


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.evidence")
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=", ".join(CAMPAIGNS))
    parser.add_argument("--records", type=int, default=10_000, help="tamper: of the large journal")
    parser.add_argument("--every", type=int, default=1, help="tamper: flip one bit of so many")
    parser.add_argument("--sample", type=int, default=400, help="tamper: changes made in full")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    parser.add_argument("--runs", type=int, default=1000, help="kill: how many")
    parser.add_argument("--seed", type=int, help="kill: of the times")
    parser.add_argument("--only", action="append", default=[], help="disks: name of a scene")
    parser.add_argument("--save", action="store_true", help="keep the results for README.md")
    chosen = parser.parse_args(words)
    for name in chosen.campaigns:
        if name not in CAMPAIGNS:
            parser.error(f"{name} is not a campaign; there are {', '.join(CAMPAIGNS)}")
    return chosen


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        say("interrupted")
        code = 130
    sys.exit(code)
