"""What `status --fleet`, `wait`, `--watch` and `halt-check` share: the reports that peers hold."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from sidecar import clock
from sidecar.authority import fleet
from sidecar.authority.fleet import Row, Watch
from sidecar.cli import text
from sidecar.cli.peers import Choice, Where
from sidecar.cli.text import CliError
from sidecar.core.fleet import Member
from sidecar.sync.peer import Peer

POLL_S = 0.1
TIMED_OUT = 124  # as timeout(1) says it


async def polled(watch: Watch, ends_s: float) -> Sequence[Member] | None:
    """One look after a short pause; None once the time is over.

    Args:
        watch: Reads the peers.
        ends_s: On the event loop's clock.
    """
    left_s = ends_s - asyncio.get_running_loop().time()
    if left_s <= 0:
        return None
    await asyncio.sleep(min(POLL_S, left_s))
    return await watch.look(clock.now())


def shown(member: Member) -> Row:
    """One instance as its report says; its age by its own clock, as nobody watched it before."""
    age_ms = max(0, clock.now().wall - member.report.says.sent_at)
    found = fleet.row(member, age_ms, included=False)
    del found["included"]  # only an authority knows
    return found


def lag(member: Member) -> str:
    """Who it is and where it stands, for a list of those that are not there yet."""
    said = member.report.says
    seq = "none" if said.epoch is None else str(said.epoch.seq)
    return f"{member.name} ({said.state}, epoch {seq}{''.join(f' {one}' for one in said.reasons)})"


def show(config: Path | None, output: str) -> None:
    """Print what the instances report.

    Args:
        config: authority.yaml: where the peers are.
        output: `table` or `json`.

    Raises:
        CliError: no peer answered.
    """
    to = Choice(None, config, ()).where()
    members, failed = to.run(lambda peers: _look(to, peers))
    if len(failed) == len(to.addresses):
        why = ", ".join(f"{peer}: {result}" for peer, result in sorted(failed.items()))
        raise CliError(f"fleet: no peer answered ({why}); start the peers", text.UNAVAILABLE)
    found = [shown(member) for member in members]
    if output == "json":
        text.print_json({"instances": found, "failed": failed})
        return
    for peer, result in sorted(failed.items()):
        click.echo(f"note: peer {peer}: {result}", err=True)
    headers = ("instance", "service", "state", "epoch", "trust", "lease", "age", "reasons")
    text.table(headers, [_cells(row) for row in found])


async def _look(to: Where, peers: Sequence[Peer]) -> tuple[list[Member], dict[str, str]]:
    watch = Watch(peers, to.trust.domain)
    return await watch.look(clock.now()), watch.failed


def _cells(row: Row) -> list[object]:
    reasons = row["reasons"]
    assert isinstance(reasons, list)
    return [
        row["instance"], row["service"], row["state"], row["epoch"], row["trust"],
        f"{row['lease_ms_left']} ms", f"{row['age_ms']} ms", " ".join(reasons) or None,
    ]  # fmt: skip
