"""`python -m benchmarks NAME`: run one benchmark; without a name, list them.

Progress goes to stderr, the result to stdout and to a file in `results/`.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import bulk, events, figures, fresh, hostile, idle, proxy, rounds
from benchmarks.progress import Progress
from benchmarks.rounds import Bench
from sidecar.cli import text

BENCHES: tuple[Bench, ...] = (
    proxy.BENCH, fresh.BENCH, events.BENCH, bulk.BENCH, idle.BENCH, hostile.BENCH,
)  # fmt: skip
ROUNDS = 3
DECIDE_ROUNDS, DECIDE_LOOPS, DECIDE_S = 7, 20_000, 15
SCENARIOS, SIMULATE_S = 40, 30
FLEET, FLEET_S = 1000, 10  # instances
QUICK = 10
# Name, rounds (0: as many as the others), size, planned seconds; in the order of running.
IN_PROCESS = (
    ("decide", DECIDE_ROUNDS, DECIDE_LOOPS, DECIDE_S),
    ("fleetbeat", DECIDE_ROUNDS, FLEET, FLEET_S),
    ("simulate", 0, SCENARIOS, SIMULATE_S),
)
InProcess = Callable[[int, int, Path], object]  # rounds, size, folder for the result
# Of a long one: it shows whether bounds hold, which more rounds do not change.
ROUNDS_IN_ALL = {"hostile": 1}

EPILOG = """\b
Examples:
  python -m benchmarks all
  python -m benchmarks decide
  python -m benchmarks proxy --rounds 5
  python -m benchmarks events --only haproxy --only epochgate -o json
  python -m benchmarks report
"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
    invoke_without_command=True,
)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure what Epochgate costs, beside its peers."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _options(command: Callable[..., None]) -> Callable[..., None]:
    where = click.Path(path_type=Path, file_okay=False)
    for option in (
        click.option("-o", "form", type=click.Choice(["table", "json"]), default="table"),
        click.option("--out", type=where, default=figures.RESULTS, help="Folder for the result."),
    ):
        command = option(command)
    return command


@main.command(epilog="\b\nExample:\n  python -m benchmarks all --rounds 3")
@click.option("--rounds", "count", type=click.IntRange(1), default=ROUNDS, show_default=True)
@click.option(
    "--quick", is_flag=True, help="A tenth of each load, once: does it run? Keeps nothing."
)
def all(count: int, quick: bool) -> None:  # noqa: A001, FBT001 (click hands it over)
    """Everything, then the report. Some twenty minutes."""
    from benchmarks import decide as first  # noqa: PLC0415 (imported when used)
    from benchmarks import fleetbeat as second  # noqa: PLC0415
    from benchmarks import report as writer  # noqa: PLC0415
    from benchmarks import simulate as third  # noqa: PLC0415

    in_process = (first.run, second.run, third.run)
    if quick:
        with tempfile.TemporaryDirectory() as scratch:
            _everything(1, QUICK, Path(scratch), in_process)
            return
    _everything(count, 1, figures.RESULTS, in_process)
    writer.write()


def _everything(count: int, less: int, folder: Path, in_process: Sequence[InProcess]) -> None:
    turns = [(bench, ROUNDS_IN_ALL.get(bench.name, count)) for bench in BENCHES]
    planned_s = sum(rounds.planned_s(bench, number) for bench, number in turns)
    progress = Progress(sum(planned for *_, planned in IN_PROCESS) + planned_s)
    for (name, count_of, size, took_s), run in zip(IN_PROCESS, in_process, strict=True):
        progress.step(name, took_s)
        run(count_of or count, max(1, size // less), folder)
    for bench, number in turns:
        rounds.run(bench, number, max(1, bench.size // less), (), folder, progress)


@main.command(epilog="\b\nExample:\n  python -m benchmarks decide --rounds 5 -o json")
@click.option("--rounds", "count", type=click.IntRange(1), default=DECIDE_ROUNDS,
              show_default=True)  # fmt: skip
@click.option("--loops", type=click.IntRange(1), default=DECIDE_LOOPS, show_default=True)
@_options
def decide(count: int, loops: int, out: Path, form: str) -> None:
    """The decision in process: rules, clocks, journal, metrics."""
    from benchmarks import decide as bench  # noqa: PLC0415 (imported when used)

    _show(bench.run(count, loops, out), form)


@main.command(epilog="\b\nExample:\n  python -m benchmarks halts --followers 50 -o json")
@click.option("--followers", type=click.IntRange(1), default=50, show_default=True)
@click.option("--halts", "count", type=click.IntRange(1), default=20, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=ROUNDS, show_default=True)
@_options
def halts(followers: int, count: int, rounds: int, out: Path, form: str) -> None:
    """How long after a halt was acknowledged the last gate closes."""
    from benchmarks import halts as bench  # noqa: PLC0415 (imported when used)

    _show(bench.run(followers, count, rounds, out), form)


@main.command(epilog="\b\nExample:\n  python -m benchmarks audit --records 1000000 -o json")
@click.option("--rounds", "count", type=click.IntRange(1), default=ROUNDS, show_default=True)
@click.option("--records", type=click.IntRange(2), default=200_000, show_default=True)
@_options
def audit(count: int, records: int, out: Path, form: str) -> None:
    """The audit log out of band, and whoever checks it."""
    from benchmarks import audit as bench  # noqa: PLC0415 (imported when used)

    _show(bench.run(count, records, out), form)


@main.command(epilog="\b\nExample:\n  python -m benchmarks simulate --rounds 5 -o json")
@click.option("--rounds", "count", type=click.IntRange(1), default=ROUNDS, show_default=True)
@click.option("--scenarios", type=click.IntRange(1), default=SCENARIOS, show_default=True)
@_options
def simulate(count: int, scenarios: int, out: Path, form: str) -> None:
    """The simulation of the protocol: virtual time against CPU time."""
    from benchmarks import simulate as bench  # noqa: PLC0415 (imported when used)

    _show(bench.run(count, scenarios, out), form)


@main.command(epilog="\b\nExample:\n  python -m benchmarks fleetbeat --instances 4000")
@click.option("--rounds", "count", type=click.IntRange(1), default=DECIDE_ROUNDS,
              show_default=True)  # fmt: skip
@click.option("--instances", type=click.IntRange(1, 4096), default=FLEET, show_default=True)
@_options
def fleetbeat(count: int, instances: int, out: Path, form: str) -> None:
    """An authority and its fleet in process: reports verified, a beat over all of them."""
    from benchmarks import fleetbeat as bench  # noqa: PLC0415 (imported when used)

    _show(bench.run(count, instances, out), form)


def _command(bench: Bench) -> click.Command:
    """The command of a workload."""

    def measure(count: int, only: Sequence[str], out: Path, form: str, **sized: int) -> None:
        (size,) = sized.values()
        progress = Progress(rounds.planned_s(bench, count))
        _show(rounds.run(bench, count, size, only, out, progress), form)

    option = f"--{bench.size_name}"
    command = click.command(
        bench.name,
        help=bench.about,
        epilog=f"\b\nExample:\n  python -m benchmarks {bench.name} --only haproxy --only epochgate",
    )(_options(measure))
    command.params += [
        click.Option(["--rounds", "count"], type=click.IntRange(1), default=ROUNDS,
                     show_default=True),
        click.Option([option], type=click.IntRange(1), default=bench.size, show_default=True),
        click.Option(["--only"], multiple=True, metavar="NAME",
                     help="Only this contestant; repeat it."),
    ]  # fmt: skip
    return command


for _bench in BENCHES:
    main.add_command(_command(_bench))


@main.command()
def report() -> None:
    """Write the tables and plots of README.md anew from the newest results."""
    from benchmarks import report as writer  # noqa: PLC0415 (imported when used)

    writer.write()


def _show(document: dict[str, Any], form: str) -> None:
    if form == "json":
        text.print_json(document)
        return
    rows = [
        (name, *(f"{found[key]:,.2f}" for key in ("median", "min", "max")))
        for name, found in document["summary"].items()
    ]
    text.table(("figure", "median", "min", "max"), rows)
    click.echo()
    text.table(
        ("target", "figure", "limit", "stretch", "measured", ""),
        [
            (one["number"], one["what"], one["limit"], one["stretch"], f"{one['measured']:.2f}",
             f"{one['unit']}: {one['verdict']}")
            for one in document["targets"]
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
