"""How fast the simulation of `tests/simulation` runs: virtual seconds in a second of user CPU time.

The same seeds each time, drawn with every kind of fault as `make simulate` draws them, with real
signatures; each distinct signature is verified once per run. A run that breaks an invariant
measures nothing, so it ends the benchmark.
"""

import os
from pathlib import Path

import click

from benchmarks import figures, machine, targets
from tests.simulation.run import run as simulate

FIRST_SEED = 1000
FACTOR = "virtual seconds per second"


def run(rounds: int, scenarios: int, folder: Path) -> dict[str, object]:
    """Run the scenarios once per round.

    Args:
        rounds: How often.
        scenarios: How many seeds, from `FIRST_SEED`.
        folder: Where the result goes.

    Returns:
        The result's document.
    """
    before = machine.load()
    measured: list[figures.Round] = []
    with machine.pinned(machine.cores()[1]):
        simulate(FIRST_SEED)  # what is made once per process does not count
        for number in range(1, rounds + 1):
            click.echo(f"simulate: round {number} of {rounds}", err=True)
            measured.append(_once(scenarios))
    return figures.save(
        "simulate", folder, measured, targets.of("simulate", figures.summary(measured)),
        versions=machine.versions(), load={"before": before, "after": machine.load()},
        options={"rounds": rounds, "scenarios": scenarios}, unit="per second of user CPU time",
    )  # fmt: skip


def _once(scenarios: int) -> figures.Round:
    virtual_ms, steps = 0.0, 0
    began_s = os.times().user
    for seed in range(FIRST_SEED, FIRST_SEED + scenarios):
        outcome = simulate(seed)
        if outcome.violation is not None:
            raise click.ClickException(f"seed {seed}: {outcome.violation}")
        virtual_ms += outcome.virtual_ms
        steps += outcome.steps
    spent_s = os.times().user - began_s
    return {FACTOR: virtual_ms / 1000 / spent_s, "steps per second": steps / spent_s}
