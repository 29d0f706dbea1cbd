"""`epochgate conformance`: every item of EG-PROTOCOL-001 looked for in a running deployment.

By default it makes a deployment of its own on loopback, brings faults into it, and says item by
item what was seen. `--against` and `--config` look at a sidecar that somebody runs; then nothing is
changed, and items that need a fault are not run.
"""

import sys
from pathlib import Path

import click

from sidecar.cli import text
from sidecar.cli.conformance import campaign, checks, outcome, target
from sidecar.cli.conformance.check import Result
from sidecar.cli.conformance.items import ITEMS
from sidecar.cli.conformance.outcome import Row

EXAMPLE = """\b
Example:
  epochgate conformance
  epochgate conformance --only 4.6 --only 9
  epochgate conformance --against http://127.0.0.1:17011,http://127.0.0.1:17001
  epochgate conformance --config sidecar.yaml
"""
FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command(epilog=EXAMPLE)
@click.option("--only", multiple=True, metavar="ITEM", help="4.6, a section, or a check; repeat.")
@click.option("--list", "listing", is_flag=True, help="Show the items and their checks, run none.")
@click.option("--against", metavar="STATUS[,INBOUND]", help="URLs of a sidecar: only look at it.")
@click.option("--audit", type=FOLDER, help="Its audit folder, with --against.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False),
              help="Its configuration, instead of the three.")  # fmt: skip
@click.option("--dir", "folder", type=FOLDER, help="Where to put the deployment's files.")
@click.option("--keep", is_flag=True, help="Leave these files also when all held.")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
def conformance(
    *,
    only: tuple[str, ...],
    listing: bool,
    against: str | None,
    audit: Path | None,
    config: Path | None,
    folder: Path | None,
    keep: bool,
    output: str,
) -> None:
    """Check every item of EG-PROTOCOL-001 from outside, and show what was seen.

    Exit status 0 when nothing was broken. What is not built is shown as GAP or as held in part.
    """
    every = checks.EVERY
    chosen = campaign.chosen(every, only)
    known = outcome.by_item((check.name, check.items) for check in every)
    if listing:
        show_items(known, output)
        return
    view = target.view(against, audit, config)
    if view is not None:
        results = campaign.look(view, chosen)
    else:
        results = campaign.run(chosen, folder, keep=keep)
    show(outcome.rows(results, known), results, output)
    sys.exit(text.OK if all(result.held for result in results) else text.FAILURE)


def show_items(known: dict[str, list[str]], output: str) -> None:
    """The items, and which checks speak for each."""
    if output == "json":
        text.print_json([
            {
                "item": item.id, "requirement": item.words, "mechanism": item.mechanism,
                "reasons": item.codes, "missing": item.missing, "checks": known.get(item.id, []),
            }
            for item in ITEMS
        ])  # fmt: skip
        return
    headers = ("item", "requirement", "mechanism", "reasons", "checks")
    rows = [
        (item.id, item.words, item.mechanism, item.codes or None,
         ", ".join(known.get(item.id, ())) or outcome.GAP)
        for item in ITEMS
    ]  # fmt: skip
    text.table(headers, rows)


def show(found: list[Row], results: list[Result], output: str) -> None:
    """The table of the items, or everything as JSON."""
    if output == "json":
        text.print_json({
            "summary": outcome.counted(found),
            "items": [
                {
                    "item": row.item.id, "requirement": row.item.words,
                    "mechanism": row.item.mechanism, "result": row.result, "seen": row.seen,
                    "missing": row.item.missing, "checks": list(row.checks),
                }
                for row in found
            ],
            "checks": [
                {
                    "check": result.check, "items": list(result.items), "seen": result.seen,
                    "held": result.held, "ms": result.spent_ms,
                }
                for result in results
            ],
        })  # fmt: skip
        return
    click.echo()
    headers = ("item", "requirement", "mechanism", "seen", "result")
    rows = [
        (row.item.id, row.item.words, row.item.mechanism, row.seen, row.result) for row in found
    ]
    text.table(headers, rows)
    click.echo(f"\n{len(found)} items: {outcome.counted(found)}")
