"""`epochgate policy diff`: what another policy would change, and in which direction."""

from collections.abc import Sequence
from pathlib import Path

import click

from sidecar.cli import text
from sidecar.cli.source import load_policy
from sidecar.cli.workbench import effect
from sidecar.cli.workbench.differences import Change, compare
from sidecar.cli.workbench.effect import Effect
from sidecar.core import canonical
from sidecar.core.policy import MAX_BYTES, Body

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
SHOWN = 60  # characters of a text in a table; -o json has all of it

SAID = {
    Effect.NONE: "no verdict changes",
    Effect.LOOSENS: "loosens: nothing that is permitted now will be denied",
    Effect.TIGHTENS: "tightens: nothing that is denied now will be permitted",
    Effect.EITHER: "may loosen and tighten; see: epochgate policy replay",
}


@click.command(epilog="Example: epochgate policy diff policy.yaml candidate.yaml")
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
@click.pass_context
def diff(context: click.Context, old: Path, new: Path, output: str) -> None:
    """Show what is different between the policies OLD and NEW: YAML, or bundles that were built.

    Comments, order of keys and the text of an expression with the same meaning are no difference.
    An effect is told where it is certain; that of `inFlight` is about exchanges that run.

    Exit code 83: they differ.
    """
    raws = load_policy(old), load_policy(new)
    if raws[0] == raws[1]:
        changes = []
    else:
        before, after = (canonical.load(raw, Body, MAX_BYTES) for raw in raws)
        changes = compare(before, after) or [_BYTES]
    told = effect.together(change.effect for change in changes)
    if output == "json":
        text.print_json(_as_json(raws, changes, told))
    else:
        _show(changes, told)
    if changes:
        context.exit(text.DIFFERENT)


# Something was compared too generously: still never called the same.
_BYTES = Change("bytes", "changed", "", "", Effect.EITHER)


def _show(changes: Sequence[Change], told: Effect) -> None:
    if not changes:
        click.echo("no difference")
        return
    rows = [
        (change.where, change.what, _short(change.before), _short(change.after),
         change.effect.value)
        for change in changes
    ]  # fmt: skip
    text.table(("where", "what", "before", "after", "effect"), rows)
    click.echo(f"{len(changes)} differences: {SAID[told]}")


def _short(said: str) -> str:
    return said if len(said) <= SHOWN else said[: SHOWN - 3] + "..."


def _as_json(
    raws: tuple[bytes, bytes], changes: Sequence[Change], told: Effect
) -> dict[str, object]:
    before, after = (canonical.digest(raw) for raw in raws)
    return {
        "old": before,
        "new": after,
        "effect": told.value,
        "changes": [
            {
                "where": change.where,
                "what": change.what,
                "before": change.before or None,
                "after": change.after or None,
                "effect": change.effect.value,
            }
            for change in changes
        ],
    }
