"""`python -m benchmarks NAME`: run one benchmark; without a name, list them.

Progress goes to stderr, the result to stdout and to a file in `results/`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from benchmarks import figures
from sidecar.cli import text

EPILOG = """\b
Examples:
  python -m benchmarks decide
  python -m benchmarks proxy --rounds 5
  python -m benchmarks proxy --only haproxy --only epochgate -o json
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


@main.command(epilog="\b\nExample:\n  python -m benchmarks decide --rounds 5 -o json")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--loops", type=click.IntRange(1), default=20_000, show_default=True)
@_options
def decide(rounds: int, loops: int, out: Path, form: str) -> None:
    """The decision in process: rules, clocks, journal, metrics. Half a minute."""
    from benchmarks import decide as bench  # noqa: PLC0415 (imported when used)

    _show(bench.run(rounds, loops, out), form)


@main.command(epilog="\b\nExample:\n  python -m benchmarks proxy --only envoy --only epochgate")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 30), default=5, show_default=True)
@click.option("--only", multiple=True, metavar="NAME", help="Only this contestant; repeat it.")
@_options
def proxy(rounds: int, seconds: int, only: tuple[str, ...], out: Path, form: str) -> None:
    """The data plane beside HAProxy, nginx and Envoy. Five minutes."""
    from benchmarks import proxy as bench  # noqa: PLC0415 (imported when used)

    _show(bench.run(rounds, seconds, only, out), form)


@main.command()
def report() -> None:
    """Write the tables of README.md anew from the newest results."""
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
