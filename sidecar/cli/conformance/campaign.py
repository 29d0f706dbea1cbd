"""Runs the chosen checks, and says of each as it ends what was seen."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from sidecar.cli import text
from sidecar.cli.conformance import checks, runner
from sidecar.cli.conformance.check import Check, Result
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.items import BY_ID, SECTIONS
from sidecar.cli.conformance.view import View
from sidecar.cli.demo import processes
from sidecar.cli.text import CliError

_MS_PER_S = 1000


def chosen(every: Sequence[Check[Any]], only: Sequence[str]) -> list[Check[Any]]:
    """The checks that speak for what is named; all that are not pending when nothing is.

    Args:
        every: All checks.
        only: Items, sections or names of checks.

    Raises:
        CliError: nothing is called so.
    """
    known = {*BY_ID, *map(str, SECTIONS), *(check.name for check in every)}
    for said in only:
        if said not in known:
            raise CliError(f"--only {said}: no such item, section or check; see --list", text.USAGE)

    def wanted(check: Check[Any]) -> bool:
        names = {check.name, *check.items, *(item.partition(".")[0] for item in check.items)}
        return not check.pending and (not only or not names.isdisjoint(only))

    return [check for check in every if wanted(check)]


def look(view: View, wanted: Sequence[Check[Any]]) -> list[Result]:
    """Run those of the checks that only look, on a sidecar that somebody runs."""
    todo = [check for check in checks.possible(view) if check in wanted]
    return [
        _told(result, place, len(todo))
        for place, check in enumerate(todo, start=1)
        for result in (asyncio.run(runner.on_view(check, view)),)
    ]


def run(wanted: Sequence[Check[Any]], folder: Path | None, *, keep: bool) -> list[Result]:
    """Run checks on a deployment of our own.

    Args:
        wanted: Which.
        folder: Where to put its files; None: in a folder of their own.
        keep: Leave the files also when all held.
    """
    with _files(folder, keep=keep) as (place, keeping):
        deployment = Deployment(place)
        with contextlib.closing(deployment), processes.ending(*deployment.processes):
            click.echo(f"three peers, an authority, a service, two sidecars: {place}", err=True)
            deployment.prepare()
            asyncio.run(deployment.start())
            results: list[Result] = []
            for number, check in enumerate(wanted, start=1):
                lost = bool(results) and not results[-1].ran
                result = _lost(check) if lost else one(check, deployment)
                results.append(_told(result, number, len(wanted)))
        if not all(result.held for result in results):
            keeping.append(place)
    return results


def one(check: Check[Any], deployment: Deployment) -> Result:
    """Run one check of either kind on a deployment."""
    if check in checks.ON_VIEW:
        return asyncio.run(runner.on_view(check, deployment.view))
    return asyncio.run(runner.on_deployment(check, deployment))


def _lost(check: Check[Any]) -> Result:
    seen = "not run: the deployment did not recover"
    return Result(check.name, check.items, seen, held=False, ran=False)


def _told(result: Result, number: int, count: int) -> Result:
    word = "ok" if result.held else "BROKEN"
    spent_s = result.spent_ms / _MS_PER_S
    click.echo(
        f"[{number}/{count}] {result.check} ({spent_s:.1f} s) {word}: {result.seen}", err=True
    )
    return result


@contextlib.contextmanager
def _files(folder: Path | None, *, keep: bool) -> Iterator[tuple[Path, list[Path]]]:
    """A folder for the deployment; removed when it is ours and nobody wants it."""
    keeping: list[Path] = []
    place = folder or Path(tempfile.mkdtemp(prefix="epochgate-conformance-"))
    place.mkdir(parents=True, exist_ok=True)
    place = place.resolve()
    try:
        yield place, keeping
    except BaseException:
        keeping.append(place)
        raise
    finally:
        if keeping or keep or folder is not None:
            click.echo(f"files are left in {place}", err=True)
        else:
            shutil.rmtree(place, ignore_errors=True)
