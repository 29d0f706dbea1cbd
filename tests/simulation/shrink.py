"""From a scenario that fails to the smallest one that still does, by the same invariant.

Delta debugging over options: many of them at once are put to what they are in a calm world, then
fewer, then one by one; what has to stay is made gentler step by step. A run with fewer faults draws
other random numbers, so each candidate gets a few seeds before it counts as passing.

Source: Zeller & Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.simulation.scenario import CALM, Scenario

SEEDS = 6  # per candidate
RUNS_MAX = 1500  # some minutes

Fails = Callable[[int, dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Failure:
    """A scenario that fails: its seed, and every other option."""

    seed: int
    options: dict[str, Any]

    @property
    def words(self) -> str:
        """The options as the command takes them."""
        stays = [f"{name}={value}" for name, value in self.options.items() if value != CALM[name]]
        return " ".join(("calm", *stays))


def shrink(scenario: Scenario, fails: Fails, runs_max: int = RUNS_MAX) -> Failure:
    """Find a small scenario that fails alike.

    Args:
        scenario: One that fails.
        fails: Whether a seed with these options fails by the same invariant.
        runs_max: How many runs it may cost.

    Returns:
        The smallest that was found; the scenario itself if nothing can be left out.
    """
    return _Search(fails, runs_max).run(Failure(scenario.seed, scenario.options()))


class _Search:
    def __init__(self, fails: Fails, runs_max: int) -> None:
        self._fails = fails
        self._left = runs_max

    def run(self, failure: Failure) -> Failure:
        before = None
        while failure != before and self._left > 0:
            before = failure
            failure = self._gentler(self._calmer(failure))
        return failure

    def _calmer(self, failure: Failure) -> Failure:
        """Leave out as many options as possible, many at once first."""
        size = len(_astray(failure))
        while size:
            names = _astray(failure)
            for start in range(0, len(names), size):
                change = {name: CALM[name] for name in names[start : start + size]}
                failure = self._try(failure, change) or failure
            size //= 2
        return failure

    def _gentler(self, failure: Failure) -> Failure:
        """Lower what cannot be left out, as far as it fails."""
        for name in _astray(failure):
            for value in _lower(name, failure.options[name]):
                found = self._try(failure, {name: value})
                if found is None:
                    break
                failure = found
        return failure

    def _try(self, failure: Failure, change: dict[str, Any]) -> Failure | None:
        options = failure.options | change
        if options == failure.options or _impossible(options):
            return None
        for seed in (failure.seed, *range(SEEDS - 1)):
            self._left -= 1
            if self._left >= 0 and self._fails(seed, options):
                return Failure(seed, options)
        return None


def _impossible(options: dict[str, Any]) -> bool:
    """Whether no lease could ever be granted, or the options contradict each other."""
    nonce = options["freshness"] != "clock" or options["roster"] or options["unacked_ms"]
    return bool(
        options["quorum"] > options["peers"]
        or options["beat_threshold"] > options["authorities"]
        or (nonce and not options["reports"])
        or (options["wild_clocks"] and options["freshness"] != "nonce")
    )


def _astray(failure: Failure) -> list[str]:
    """Options that are not as in a calm world."""
    return [name for name, value in failure.options.items() if value != CALM[name]]


def _lower(name: str, value: Any) -> Iterator[Any]:
    """Gentler and gentler values, the first one next to `value`."""
    if isinstance(value, bool | str):
        return
    if name.endswith("_every_ms"):
        yield from (value * 2**power for power in range(1, 6))
    elif isinstance(value, float):
        yield from (round(value / 2**power, 6) for power in range(1, 6))
    else:
        while abs(value - CALM[name]) > 1:
            value = (value + CALM[name]) // 2
            yield value
