"""Run scenarios; replay one; shrink one that fails.

`make simulate` runs 200 fresh scenarios on one core, `make simulate-long` thousands on all.
`make simulate SEED=n` replays one with its trace; `OPTIONS="name=value ..."` fixes options.
"""

import argparse
import os
import random
import sys
from collections.abc import Sequence
from typing import Any

from tests.simulation import scenario, shrink
from tests.simulation.explore import explore
from tests.simulation.run import Outcome, run

SCENARIOS = 200
SEED_LIMIT = 2**32
USAGE = 64


def main(words: Sequence[str]) -> int:
    """Exit code 0 when every invariant held, 1 when one did not, 64 on wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--count", type=int, default=SCENARIOS, help="fresh scenarios to run")
    parser.add_argument("--jobs", type=int, default=1, help="processes; 0 for one per core")
    parser.add_argument("--first", type=int, help="the first seed; drawn unless given")
    parser.add_argument("words", nargs="*", metavar="SEED | NAME=VALUE | calm")
    try:
        given = parser.parse_args(words)
        seeds = [int(word) for word in given.words if word.isdecimal()]
        fixed = scenario.parse(word for word in given.words if not word.isdecimal())
    except SystemExit as error:
        return USAGE if error.code else 0
    except ValueError as error:
        sys.stderr.write(f"python -m tests.simulation: {error}\n")
        return USAGE
    if seeds:
        return replay(seeds[0], fixed)
    first = random.randrange(SEED_LIMIT) if given.first is None else given.first
    jobs = given.jobs or len(os.sched_getaffinity(0))
    failed = explore(first, given.count, jobs, fixed, say)
    if failed is None:
        return 0
    say("\n".join(("", report(failed), "", smallest(failed))))
    return 1


def replay(seed: int, fixed: dict[str, Any]) -> int:
    """Run one seed with everything told, its options first."""
    say(f"seed {seed}")
    outcome = run(seed, say, lambda drawn: say("\n".join(drawn.lines())), **fixed)
    say(f"digest {outcome.digest}, {outcome.steps} steps, {dict(outcome.decisions)}")
    say(outcome.violation or "every invariant holds")
    return 0 if outcome.violation is None else 1


def report(outcome: Outcome) -> str:
    """What somebody needs to understand a failure."""
    return "\n".join(
        (
            *outcome.scenario.lines(),
            "",
            *outcome.tail,
            "",
            f"violated: {outcome.violation}",
            f"again, with the whole trace: make simulate SEED={outcome.scenario.seed}",
        )
    )


def smallest(outcome: Outcome) -> str:
    """The failure with all left out that it does not need, and how to see it."""
    say("shrinking")
    name = outcome.invariant

    def fails(seed: int, options: dict[str, Any]) -> bool:
        return run(seed, **options).invariant == name

    found = shrink.shrink(outcome.scenario, fails)
    violation = run(found.seed, **found.options).violation
    return f'smallest: make simulate SEED={found.seed} OPTIONS="{found.words}"\n{violation}'


def say(text: str) -> None:
    """One line, at once: long work shows that it goes on."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
