"""`--watch`: the fleet, live, until every instance that an epoch is for serves under it.

Rules:

* Rows come from signed reports alone. An instance holds the epoch when it says that it runs under
  it, with its policy and its routes, or under a later one.
* Counted are those that the epoch is for: its roster, services and regions. Of a closed roster also
  those that are silent; else who has not reported for ten seconds is not waited for.
* On a terminal a table that is drawn anew; else a line on stderr whenever a count changes and the
  table once, at the end. `-o json`: one object a line, whenever anything changes.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import click

from sidecar.authority.fleet import Row, Watch, admitted
from sidecar.cli import fleet, text
from sidecar.cli.peers import Where
from sidecar.cli.text import CliError
from sidecar.core.fleet import Member
from sidecar.core.objects.epoch import Epoch
from sidecar.core.snapshot import State
from sidecar.sync.peer import Peer

if TYPE_CHECKING:
    from rich.live import Live

HEADERS = ("instance", "epoch", "policy", "state", "age", "why", "holds")
DIGEST_DIGITS = 8
_STEADY = ("instance", "epoch", "policy", "state", "reasons", "holds")  # worth a line when changed


@dataclass(frozen=True, slots=True)
class View:
    """The fleet at one look.

    Attributes:
        number: Of the epoch.
        rows: One for each instance, with `holds`: whether it does.
        missing: Whom it is for and who does not hold it, each with why.
        there: How many hold it.
        elapsed_ms: Since the watch began.
    """

    number: int
    rows: Sequence[Row]
    missing: Sequence[str]
    there: int
    elapsed_ms: int

    @property
    def line(self) -> str:
        """The count, for people."""
        return f"epoch {self.number}: {self.there} of {self.there + len(self.missing)}"


class Display(Protocol):
    """Where a view is shown."""

    def update(self, view: View) -> None:
        """Show one look."""
        ...

    def end(self, view: View) -> None:
        """Show how it ended."""
        ...


def watch(to: Where, made: Epoch, timeout_ms: int, output: str) -> None:
    """Show the fleet until all of it holds an epoch.

    Args:
        to: Peers and domain.
        made: The epoch.
        timeout_ms: How long to wait.
        output: `table` or `json`.

    Raises:
        CliError: the time is over; with who does not hold it.
    """
    live, display = _display(output)

    async def job(peers: Sequence[Peer]) -> View:
        ends_s = asyncio.get_running_loop().time() + timeout_ms / 1000
        return await _until(Watch(peers, to.trust.domain), made, ends_s, display)

    with live:
        view = to.run(job)
    display.end(view)
    if view.missing:
        raise CliError(
            f"{view.line} after {timeout_ms} ms; not there: {', '.join(view.missing)}; the epoch "
            f"stays issued: look with epochgate wait --epoch {made.seq}, undo it with epochgate "
            "epoch rollback",
            fleet.TIMED_OUT,
        )


def judged(members: Sequence[Member], made: Epoch, elapsed_ms: int) -> View:
    """Who holds an epoch, of those that report."""
    counted = {one.key_id for one in admitted(members, made) if _meant(one, made)}
    rows: list[Row] = []
    missing = []
    for member in members:
        holds = _holds(member, made) if member.key_id in counted else None
        rows.append({**fleet.shown(member), "holds": holds})
        if holds is False:
            missing.append(fleet.lag(member))
    for key_id in sorted(set(made.says.scope.instances) - {one.key_id for one in members}):
        rows.append(_silent(f"key {key_id[:16]}"))
        missing.append(f"key {key_id[:16]} (does not report)")
    there = sum(row["holds"] is True for row in rows)
    return View(made.seq, rows, missing or ([] if there else ["nobody reports"]), there, elapsed_ms)


async def _until(watch: Watch, made: Epoch, ends_s: float, display: Display) -> View:
    began_s = asyncio.get_running_loop().time()
    view = judged((), made, 0)
    while (members := await fleet.polled(watch, ends_s)) is not None:
        elapsed_s = asyncio.get_running_loop().time() - began_s
        view = judged(members, made, round(elapsed_s * 1000))
        display.update(view)
        if not view.missing:
            break
    return view


def _silent(name: str) -> Row:
    return {
        "instance": name, "epoch": None, "policy": None, "state": "silent", "reasons": [],
        "age_ms": None, "holds": False,
    }  # fmt: skip


def _meant(member: Member, made: Epoch) -> bool:
    said, scope = member.report.says, made.says.scope
    return (not scope.services or said.service in scope.services) and (
        not scope.regions or said.region in scope.regions
    )


def _holds(member: Member, made: Epoch) -> bool:
    said = member.report.says
    if said.state != State.RUNNING.value or said.epoch is None:
        return False
    if said.epoch.seq > made.seq:
        return True
    wanted = (made.sha256, made.says.policy.sha256, made.says.routes.sha256)
    return (said.epoch.sha256, said.policy_sha256, said.routes_sha256) == wanted


def _cells(row: Row) -> list[object]:
    policy, age_ms, reasons = row["policy"], row["age_ms"], row["reasons"]
    assert isinstance(reasons, list)
    holds = {True: "yes", False: "not yet", None: "not for it"}[row["holds"]]  # type: ignore[index]
    return [
        row["instance"], row["epoch"], str(policy)[:DIGEST_DIGITS] if policy else None,
        row["state"], None if age_ms is None else f"{age_ms} ms", " ".join(reasons) or None, holds,
    ]  # fmt: skip


def _display(output: str) -> tuple[AbstractContextManager[object], Display]:
    if output == "json":
        return nullcontext(), _Lines()
    if not sys.stdout.isatty():
        return nullcontext(), _Counts()
    # Imported here: a pipe needs no rich.
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    live = Live(console=Console(highlight=False), refresh_per_second=10)
    return live, _Drawn(live)


class _Lines:
    """JSON, one object a line."""

    def __init__(self) -> None:
        self._told: object = None

    def update(self, view: View) -> None:
        told = [[row[key] for key in _STEADY] for row in view.rows], list(view.missing)
        if told != self._told:
            self._told = told
            self._print("fleet", view)

    def end(self, view: View) -> None:
        self._print("timeout" if view.missing else "converged", view)

    def _print(self, event: str, view: View) -> None:
        text.print_line({
            "event": event, "epoch": view.number, "elapsed_ms": view.elapsed_ms,
            "there": view.there, "missing": list(view.missing), "instances": list(view.rows),
        })  # fmt: skip


class _Counts:
    """A line on stderr when a count changes, the table at the end."""

    def __init__(self) -> None:
        self._told = ""

    def update(self, view: View) -> None:
        if view.line != self._told:
            self._told = view.line
            click.echo(view.line, err=True)

    def end(self, view: View) -> None:
        click.echo()
        text.table(HEADERS, map(_cells, view.rows))
        if not view.missing:
            click.echo(f"\n{view.line} after {view.elapsed_ms} ms")


class _Drawn:
    """A table that is drawn anew in its place."""

    def __init__(self, live: "Live") -> None:
        self._live = live

    def update(self, view: View) -> None:
        caption = f"{view.line} after {view.elapsed_ms / 1000:.1f} s"
        self._live.update(text.drawn(HEADERS, map(_cells, view.rows), caption))

    def end(self, view: View) -> None:
        """Its last state stays."""
