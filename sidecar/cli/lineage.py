"""`epochgate audit lineage`: what a decision descends from, and what descends from it."""

from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from sidecar.audit import collection
from sidecar.audit.lineage import Relative, family
from sidecar.cli.journals import CLEAR, FOLDER, OUTPUT, line_of, plain, progress_of
from sidecar.cli.text import print_json

INDENT = "  "


@click.command(
    epilog="Example: epochgate audit lineage 9f3c0a11b2d4e5f6-17 /logs/planner /logs/search"
)
@click.argument("decision_id", metavar="ID")
@click.argument("folders", type=FOLDER, nargs=-1, required=True, metavar="FOLDER...")
@OUTPUT
@click.pass_context
def lineage(
    context: click.Context, decision_id: str, folders: tuple[Path, ...], output: str
) -> None:
    """Show what the decision ID descends from, and what descends from it, unverified.

    Agents that call agents leave a record in each pod: give the journals of all of them. A decision
    that none of them holds is shown as missing. Exit code 1: none of them holds the decision ID.
    """
    journals = [journal for folder in folders for journal in collection.find(folder)]
    progress = progress_of()
    found = family(journals, decision_id, progress)
    if progress is not None:
        click.echo(CLEAR, nl=False, err=True)
    if output == "json":
        print_json([_as_json(one) for one in found])
    else:
        for one in found:
            click.echo(_line(one, decision_id))
    held = any(one.said is not None for one in found if one.decision_id == decision_id)
    context.exit(0 if held else 1)


def _line(one: Relative, asked: str) -> str:
    mark = "> " if one.decision_id == asked else "  "
    said = "missing" if one.said is None else f"{line_of(one.said)} at={plain(one.said.inst)}"
    name = f" id={plain(one.decision_id)}" if one.said is None else ""
    return f"{mark}{INDENT * one.depth}{said}{name}"


def _as_json(one: Relative) -> Mapping[str, object]:
    return {
        "decision_id": one.decision_id,
        "depth": one.depth,
        "record": None if one.said is None else msgspec.to_builtins(one.said),
    }
