"""`make simulate` runs 200 fresh scenarios; `make simulate SEED=n` replays one with its trace."""

import os
import random
import sys
import time
from collections import Counter

from tests.simulation.actors import PERMIT
from tests.simulation.run import Outcome, run

SCENARIOS = 200
SEED_LIMIT = 2**32


def main(words: list[str]) -> int:
    """Exit code 0 when every invariant held, 1 when one did not, 64 on wrong usage."""
    if not words:
        return explore(random.randrange(SEED_LIMIT))
    if len(words) > 1 or not words[0].isdecimal():
        sys.stderr.write("usage: python -m tests.simulation [SEED], a whole number\n")
        return 64
    return replay(int(words[0]))


def explore(first: int) -> int:
    """Run scenario after scenario; stop at the first that breaks an invariant."""
    say(f"seeds {first} to {first + SCENARIOS - 1}")
    began, steps, virtual_ms = time.perf_counter(), 0, 0.0
    decisions: Counter[str] = Counter()
    for done, seed in enumerate(range(first, first + SCENARIOS), start=1):
        outcome = run(seed)
        steps += outcome.steps
        virtual_ms += outcome.virtual_ms
        decisions += outcome.decisions
        if outcome.violation is not None:
            say("\n".join(("", report(outcome))))
            return 1
        if done % 20 == 0:
            spent_s = time.perf_counter() - began
            say(f"{done:4} of {SCENARIOS}, {spent_s:.0f} s, every invariant holds")
    spent_s = time.perf_counter() - began
    permits = decisions.pop(PERMIT, 0)
    denials = ", ".join(f"{code} {count}" for code, count in decisions.most_common())
    say(
        f"{steps} steps, {virtual_ms / 1000:.0f} virtual seconds in {spent_s:.1f} s"
        f" ({virtual_ms / 1000 / spent_s:.0f} x real time); {permits} permits; denials: {denials}"
    )
    return 0


def replay(seed: int) -> int:
    """Run one seed with everything told, its options first."""
    say(f"seed {seed}")
    outcome = run(seed, tell=say, introduce=lambda scenario: say("\n".join(scenario.lines())))
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
