"""Many scenarios, on one core or on all, until one breaks an invariant."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

from tests.simulation.actors import PERMIT
from tests.simulation.run import Outcome, run

PROGRESS_S = 10
AHEAD = 4  # runs handed out per process: enough to keep it busy

Say = Callable[[str], None]


@dataclass(slots=True)
class Totals:
    """Sums over all runs so far."""

    began_s: float = field(default_factory=time.perf_counter)
    runs: int = 0
    steps: int = 0
    virtual_ms: float = 0.0
    promised: int = 0
    broken: int = 0
    decisions: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """One more run."""
        self.runs += 1
        self.steps += outcome.steps
        self.virtual_ms += outcome.virtual_ms
        self.promised += outcome.promised
        self.broken += outcome.broken
        self.decisions += outcome.decisions

    @property
    def spent_s(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self.began_s

    def lines(self) -> Iterator[str]:
        """What there is to say about all of them."""
        decisions = self.decisions.copy()
        permits = decisions.pop(PERMIT, 0)
        denials = ", ".join(f"{code} {count}" for code, count in decisions.most_common())
        factor = self.virtual_ms / 1000 / self.spent_s
        yield (
            f"{self.steps} steps, {self.virtual_ms / 1000:.0f} virtual seconds in"
            f" {self.spent_s:.1f} s ({factor:.0f} x real time)"
        )
        yield f"{permits} permits; denials: {denials}"
        share = self.broken / self.promised if self.promised else 0.0
        yield (
            f"false containment: {self.broken} of {self.promised} requests that had to be permitted"
            f" ({share:.3%})"
        )


def explore(first: int, count: int, jobs: int, fixed: dict[str, Any], say: Say) -> Outcome | None:
    """Run one seed after the other.

    Args:
        first: The first seed.
        count: How many.
        jobs: Processes.
        fixed: Options that are not drawn.
        say: Takes lines for people, some while it runs.

    Returns:
        The first run that broke an invariant, or None.
    """
    say(f"seeds {first} to {first + count - 1}")
    totals = Totals()
    told_s = 0.0
    with _outcomes(range(first, first + count), jobs, fixed) as outcomes:
        for outcome in outcomes:
            totals.add(outcome)
            if outcome.violation is not None:
                return outcome
            if totals.spent_s - told_s > PROGRESS_S:
                told_s = totals.spent_s
                left_s = told_s / totals.runs * (count - totals.runs)
                say(
                    f"{totals.runs:5} of {count}, {told_s:.0f} s, about {left_s:.0f} s to go,"
                    " every invariant holds"
                )
    for line in totals.lines():
        say(line)
    return None


@contextmanager
def _outcomes(seeds: range, jobs: int, fixed: dict[str, Any]) -> Iterator[Iterator[Outcome]]:
    if jobs == 1:
        yield (run(seed, **fixed) for seed in seeds)
        return
    # Not forked: a copy of a process with threads may hold their locks for ever.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            yield _gather(pool, seeds, jobs, fixed)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _gather(
    pool: ProcessPoolExecutor, seeds: range, jobs: int, fixed: dict[str, Any]
) -> Iterator[Outcome]:
    """Outcomes as they come; never many more runs handed out than there are processes."""
    calls = (partial(run, seed, **fixed) for seed in seeds)
    running: set[Future[Outcome]] = {pool.submit(call) for call in islice(calls, jobs * AHEAD)}
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        running |= {pool.submit(call) for call in islice(calls, len(done))}
        yield from (future.result() for future in done)
