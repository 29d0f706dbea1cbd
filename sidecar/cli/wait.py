"""`epochgate wait`: until the fleet serves under an epoch."""

import asyncio
from collections.abc import Sequence

import click

from sidecar import clock
from sidecar.authority import rollout
from sidecar.authority.ceremony import CeremonyError
from sidecar.authority.fleet import Watch, admitted
from sidecar.cli import fleet, text
from sidecar.cli.peers import DURATION, Choice, output_option, peer_options
from sidecar.cli.text import CliError
from sidecar.core.fleet import Member
from sidecar.core.objects.epoch import Epoch
from sidecar.core.snapshot import State
from sidecar.sync.peer import Peer

EXAMPLE = """\b
Example:
  epochgate wait --epoch 7 --all --timeout 60s --config authority.yaml
"""


@click.command(epilog=EXAMPLE)
@peer_options
@click.option("--epoch", "number", required=True, type=click.IntRange(1), help="Its number.")
@click.option("--all", "everybody", is_flag=True,
              help="Of a closed roster, also those that do not report.")  # fmt: skip
@click.option("--timeout", "timeout_ms", default="60s", show_default=True, type=DURATION)
@output_option
def wait(*, choice: Choice, number: int, everybody: bool, timeout_ms: int, output: str) -> None:
    """Wait until every instance that reports serves under epoch N, or a later one.

    Who has not reported for ten seconds is not waited for. Exit 124 when the time is over, with a
    list of who lags.
    """
    to = choice.where()

    async def job(peers: Sequence[Peer]) -> tuple[list[Member], list[str]]:
        now = clock.now().wall
        under = await rollout.walk(peers, to.trust, now)
        newest = (await rollout.look(peers, under, now, under.body.quorum.r)).newest
        ends_s = asyncio.get_running_loop().time() + timeout_ms / 1000
        watch = Watch(peers, to.trust.domain)
        return await _until(watch, number, newest, everybody=everybody, ends_s=ends_s)

    try:
        there, missing = to.run(job)
    except CeremonyError as error:
        raise CliError(f"wait: {error}", text.BAD_DATA) from None
    if output == "json":
        text.print_json({
            "epoch": number, "reached": [member.name for member in there], "missing": missing,
        })  # fmt: skip
    if missing:
        raise CliError(
            f"wait: epoch {number}: {len(there)} of {len(there) + len(missing)} after "
            f"{timeout_ms} ms; not there: {', '.join(missing)}",
            fleet.TIMED_OUT,
        )
    if output != "json":
        click.echo(f"epoch {number}: {len(there)} of {len(there)}")


async def _until(
    watch: Watch, number: int, newest: Epoch | None, *, everybody: bool, ends_s: float
) -> tuple[list[Member], list[str]]:
    """Who is there, and the names of who is not once the time is over."""
    there: list[Member] = []
    missing = ["nobody reports"]
    told = ""
    while (members := await fleet.polled(watch, ends_s)) is not None:
        counted = admitted(members, newest)
        there = [member for member in counted if _serves(member, number)]
        missing = [fleet.lag(member) for member in counted if not _serves(member, number)]
        if everybody and newest is not None:
            known = {member.key_id for member in counted}
            silent = sorted(set(newest.says.scope.instances) - known)
            missing += [f"key {key_id[:16]} (does not report)" for key_id in silent]
        if there and not missing:
            break
        if not counted and not missing:
            missing = ["nobody reports"]
        line = f"epoch {number}: {len(there)} of {len(counted)}"
        if line != told:
            click.echo(line, err=True)
            told = line
    return there, missing


def _serves(member: Member, number: int) -> bool:
    said = member.report.says
    return said.state == State.RUNNING.value and said.epoch is not None and said.epoch.seq >= number
