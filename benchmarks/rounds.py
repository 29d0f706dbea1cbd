"""Contestants take turns, each started anew for each round; what every workload has in common.

A `Bench` says what one workload is. A `Run` is one contestant's turn at it. What is compared is CPU
time, from /proc/PID/stat, of all processes of a contestant: it survives a noisy machine far better
than throughput or latency, which are shown beside it.
"""

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks import figures, load, machine, targets, usage
from benchmarks.contestants import ALL, Contestant, Nginx, Service, Shape
from benchmarks.fleet import FleetError
from benchmarks.load import LoadError, Served
from benchmarks.progress import Progress
from sidecar.cli.demo.processes import free_ports
from sidecar.cli.text import CliError

OURS = "epochgate"
SETTLE_S = 0.5
RECORDS = 2  # of a request: the decision and its outcome

Series = dict[str, list[tuple[float, float]]]
Measure = Callable[["Run"], dict[str, float]]


@dataclass(slots=True)
class Run:
    """One contestant's turn.

    Attributes:
        contestant: Started and settled.
        folder: For files of the load.
        size: As the command line says: seconds, connections, MiB.
        requests: Served so far; of ours, each must have left a record.
        series: Name -> points (seconds, value), for the plots.
    """

    contestant: Contestant
    folder: Path
    size: int
    requests: int = 0
    series: Series = field(default_factory=dict)

    def loaded(
        self, name: str, step: Callable[[], Served], unit: str = "request"
    ) -> dict[str, float]:
        """Run one load on the load's core; its figures, with CPU time per `unit`."""
        pids = self.contestant.pids
        before = {what: usage.cpu_us([pid]) for what, pid in pids.items()}
        with machine.pinned(machine.cores()[0]):
            served = step()
        used = {what: usage.cpu_us([pid]) - before[what] for what, pid in pids.items()}
        self.requests += served.requests or served.count
        label = f"CPU, µs per {unit}"
        found: dict[str, float] = {}
        if used:
            found[label] = sum(used.values()) / served.count
        if len(used) > 1:
            found |= {f"{label}, {what}": spent / served.count for what, spent in used.items()}
        return {f"{name}: {what}": value for what, value in {**found, **served.figures}.items()}


@dataclass(frozen=True, slots=True)
class Bench:
    """One workload.

    Attributes:
        name: Of the command and of the result files.
        about: One line.
        size_name: What `size` counts: the name of the option.
        size: When the command line does not say.
        seconds: What one turn takes, about, with the start.
        measure: Load one contestant; its figures.
        ratios: Name of a ratio -> the figure of which ours is divided by each other's.
        service: The upstream.
        shape: What it asks of a contestant's configuration.
        leaves_out: Contestants that make no sense here -> why.
        finish: Adds figures that need more than one contestant.
    """

    name: str
    about: str
    size_name: str
    size: int
    seconds: float
    measure: Measure
    ratios: Mapping[str, str]
    service: type[Contestant] = Service
    shape: Shape = field(default_factory=Shape)
    leaves_out: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[dict[str, float]], None] = lambda _: None


def planned_s(bench: Bench, rounds: int) -> float:
    """What all rounds of a bench take, about."""
    return rounds * bench.seconds * (len(ALL) - len(bench.leaves_out))


def run(
    bench: Bench, rounds: int, size: int, only: Sequence[str], folder: Path, progress: Progress
) -> dict[str, Any]:
    """Measure every contestant once per round, in turn; the result's document."""
    chosen, skipped = _chosen(bench, only)
    before = machine.load()
    machine.descriptors()
    turns = Turns(bench, size, rounds, progress)
    with tempfile.TemporaryDirectory(prefix="epochgate-bench-") as scratch:
        service = bench.service(Path(scratch), free_ports(1)[0], bench.shape)
        service.start()
        try:
            for number in range(1, rounds + 1):
                turns.all(number, [kind(Path(scratch), service.port, bench.shape)
                                   for kind in chosen])  # fmt: skip
        finally:
            service.stop()
    measured = turns.measured
    add_ratios(bench, measured)
    return figures.save(
        bench.name, folder, measured, targets.of(bench.name, figures.summary(measured)),
        versions={
            **machine.versions(), "wrk": load.version(),
            **{kind.name: kind.version() for kind in chosen if kind.version()},
        },
        load={"before": before, "rounds": turns.loads, "after": machine.load()},
        options={"rounds": rounds, bench.size_name: size},
        contestants=[kind.name for kind in chosen], skipped=skipped, failures=turns.failures,
        series=turns.series,
    )  # fmt: skip


class Turns:
    """What the rounds of one bench have found so far."""

    def __init__(self, bench: Bench, size: int, rounds: int, progress: Progress) -> None:
        self._bench = bench
        self._size = size
        self._rounds = rounds
        self._progress = progress
        self.measured: list[dict[str, float]] = []
        self.loads: list[list[float]] = []
        self.failures: list[str] = []
        self.series: dict[str, Series] = {}  # of the last round

    def all(self, number: int, contestants: Sequence[Contestant]) -> None:
        """One round."""
        self.loads.append(machine.load())
        found: dict[str, float] = {}
        for one in contestants:
            what = f"{self._bench.name}: round {number} of {self._rounds}: {one.name}"
            self._progress.step(what, self._bench.seconds)
            try:
                figured = self._one(one)
            except (LoadError, FleetError, CliError, OSError) as error:
                # Kept in the result: a round that failed is a finding, not a nuisance.
                self.failures.append(f"round {number}: {one.name}: {error}")
                click.echo(self.failures[-1], err=True)
                continue
            found |= {f"{one.name}: {name}": value for name, value in figured.items()}
        self.measured.append(found)

    def _one(self, contestant: Contestant) -> dict[str, float]:
        turn = Run(contestant, contestant.folder, self._size)
        try:
            _start(contestant)
            found = self._bench.measure(turn)
            more = contestant.more()
        except LoadError as error:
            raise LoadError(f"{error}{contestant.explain()}") from None
        finally:
            contestant.stop()
        # A gate that did not write its records measured nothing.
        if more.get("records", math.inf) < RECORDS * turn.requests:
            raise LoadError(f"{turn.requests} requests served, {more['records']} records")
        if turn.series:
            self.series[contestant.name] = turn.series
        return {**found, **more}


def _start(contestant: Contestant) -> None:
    try:
        contestant.start()
    except CliError:
        # Ports that were free may be taken by somebody's connection a moment later.
        contestant.stop()
        contestant.start()
    time.sleep(SETTLE_S)


def _chosen(bench: Bench, only: Sequence[str]) -> tuple[list[type[Contestant]], dict[str, str]]:
    """Who takes part, and who does not and why."""
    unknown = set(only) - {kind.name for kind in ALL}
    if unknown:
        names = ", ".join(repr(kind.name) for kind in ALL)
        raise click.UsageError(f"no contestant {', '.join(sorted(unknown))}; there are {names}")
    for program, there in (("wrk", load.installed()), ("nginx", not Nginx.missing())):
        if not there:
            raise click.ClickException(f"{program} is not installed; apt-get install {program}")
    chosen, skipped = [], {}
    for kind in ALL:
        missing = kind.missing()
        if (only and kind.name not in only) or kind.name in bench.leaves_out:
            continue
        if missing:
            skipped[kind.name] = f"not installed: {missing}"
            click.echo(f"skipped: {kind.name}: {skipped[kind.name]}", err=True)
        else:
            chosen.append(kind)
    return chosen, {**skipped, **bench.leaves_out}


def add_ratios(bench: Bench, measured: list[dict[str, float]]) -> None:
    """Figures of ours divided by each other's, within each round."""
    for ratio, figure in bench.ratios.items():
        others = {
            f"ratio: {ratio} against {kind.name}": f"{kind.name}: {figure}"
            for kind in ALL
            if kind.name != OURS
        }
        found = figures.ratios(measured, f"{OURS}: {figure}", others)
        for whole, more in zip(measured, found, strict=True):
            whole.update(more)
    for whole in measured:
        bench.finish(whole)
