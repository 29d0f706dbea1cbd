"""`make chaos`: runs with real processes, one seed after the other; the first option is the seed.

make chaos                                          # 20 runs
make chaos ARGS="--runs 1 --seed 7 --seconds 18"    # one again
make chaos ARGS="--check FOLDER"                    # only the checker, on a run that was kept
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
import yaml

from tests.chaos import checker, figures, history, run
from tests.chaos.figures import Figures
from tests.chaos.schedule import Options, draw

RUNS, SECONDS = 20, 18.0
SEED_LIMIT = 2**31


def main(words: list[str]) -> int:
    """Exit status 0 when every invariant held in every run, 1 when one did not."""
    chosen = _arguments(words)
    if chosen.check is not None:
        return _recheck(chosen.check)
    # Both end every process. A shell that starts this in the background has SIGINT ignored.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    first = random.randrange(SEED_LIMIT) if chosen.seed is None else chosen.seed
    base = Path(tempfile.mkdtemp(prefix="epochgate-chaos-"))
    rows: list[Figures] = []
    lines: list[str] = []
    failed = 0
    for number, seed in enumerate(range(first, first + chosen.runs), start=1):
        options = replace(draw(seed, chosen.seconds), sidecar_spec=chosen.sidecar_spec,
                          authority_spec=chosen.authority_spec)  # fmt: skip
        say(f"\nrun {number} of {chosen.runs}, seed {seed}", *options.lines())
        line, row = _one(base / str(seed), options)
        failed += row is None or "BROKEN" in line
        rows += [row] if row is not None else []
        lines.append(line)
        say(figures.head(), line)
        if row is None or "BROKEN" in line:
            again = f"--runs 1 --seed {seed} --seconds {chosen.seconds:g}"
            say(f'kept: {base / str(seed)}\nagain: make chaos ARGS="{again}"')
        elif not chosen.keep:
            shutil.rmtree(base / str(seed))
    say("", figures.head(), *lines, "", *figures.LEGEND, "", *figures.total(rows))
    if not failed and not chosen.keep:
        base.rmdir()
    say(f"{failed} of {chosen.runs} runs failed" if failed else "every invariant held")
    return 1 if failed else 0


def _one(folder: Path, options: Options) -> tuple[str, Figures | None]:
    """Its line of the table, and its figures if it came to its end."""
    folder.mkdir()
    began = time.monotonic()

    def tell(line: str) -> None:
        say(f"  {time.monotonic() - began:6.2f} s  {line}")

    try:
        result = uvloop.run(run.play(folder, options, tell))
    except Exception:  # noqa: BLE001 - told, and the folder is kept
        say(traceback.format_exc())
        return f"{options.seed:>11}  did not come to its end", None
    row = figures.figures(result.history)
    say(*(f"  {why}" for why in result.wrong))
    return row.line(result.wrong), row


def _recheck(folder: Path) -> int:
    found = history.load(folder)
    wrong = checker.check(found)
    say(*wrong, figures.head(), figures.figures(found).line(wrong))
    return 1 if wrong else 0


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, help="of the first run; the next ones follow it")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="about, for each run")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all runs")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="of a run that was kept")
    for which in ("sidecar", "authority"):
        parser.add_argument(f"--{which}-spec", type=_setting, action="append", default=[],
                            metavar="SECTION.KEY=VALUE", help="part of its spec")  # fmt: skip
    chosen = parser.parse_args(words)
    chosen.sidecar_spec, chosen.authority_spec = (
        dict(chosen.sidecar_spec), dict(chosen.authority_spec),
    )  # fmt: skip
    return chosen


def _setting(said: str) -> tuple[str, Any]:
    path, _, value = said.partition("=")
    return path.replace(".", "__"), yaml.safe_load(value)


def say(*lines: str) -> None:
    """At once: long work shows that it goes on."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        say("interrupted; every process was ended")
        code = 130
    sys.exit(code)
