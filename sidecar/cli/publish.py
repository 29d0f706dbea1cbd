"""`epochgate policy publish`: put policies and route tables on the peers, under their digests.

Nothing takes effect by it: what a digest names counts once a signed epoch names the digest. So it
needs no key of any role, and who can write to a peer can do no more with it than fill it.
"""

from collections.abc import Sequence
from pathlib import Path

import click

from sidecar import clock
from sidecar.authority import rollout
from sidecar.authority.ceremony import CeremonyError
from sidecar.cli import source, text
from sidecar.cli.artefact import PREFIX
from sidecar.cli.peers import Choice, output_option, peer_options, show_acks
from sidecar.cli.resource import ResourceError
from sidecar.cli.text import CliError
from sidecar.core import canonical
from sidecar.sync.peer import Peer

EXAMPLE = """\b
Example:
  epochgate policy publish policy.yaml --config authority.yaml
  epochgate policy publish policy.yaml routes.yaml --trust trust.json --peer redis://p1:6379/0
"""
OPTIONS = {source.POLICY: "--policy", source.ROUTES: "--routes", source.PROFILE: "--profile"}


@click.command(epilog=EXAMPLE)
@click.argument("files", metavar="FILE...", nargs=-1, required=True,
                type=click.Path(path_type=Path, exists=True, dir_okay=False))  # fmt: skip
@peer_options
@output_option
def publish(*, choice: Choice, files: tuple[Path, ...], output: str) -> None:
    """Build FILES and put them on every peer, under the digests that an epoch can name.

    Nothing takes effect by it: epoch issue does that. Again is harmless.
    """
    built = _built(files)
    to = choice.where()

    async def job(peers: Sequence[Peer]) -> tuple[int, dict[str, str]]:
        under = await rollout.walk(peers, to.trust, clock.now().wall)
        lines = rollout.blob_commands(under, [raw for _, _, raw in built])
        return under.body.quorum.w, await rollout.publish(peers, lines)

    try:
        need, results = to.run(job)
    except CeremonyError as error:
        raise CliError(f"policy publish: {error}", text.BAD_DATA) from None
    rows: list[dict[str, object]] = [
        {"file": str(file), "kind": kind, "bytes": len(raw), "sha256": canonical.digest(raw)}
        for file, kind, raw in built
    ]
    if output != "json":
        text.table(list(rows[0]), [list(row.values()) for row in rows])
        click.echo()
    acks = show_acks(results, need, output, {"published": rows} if output == "json" else {})
    if acks < need:
        raise CliError(
            f"policy publish: {acks} of {need} needed peers took it; run this again until enough "
            "did",
            text.UNAVAILABLE,
        )
    if output != "json":
        click.echo(f"\n{acks} of {len(results)} peers hold it, {need} were needed. next:")
        click.echo(f"  epochgate epoch issue {_named(built)} --keep --watch ...")


def _built(files: Sequence[Path]) -> list[tuple[Path, str, bytes]]:
    found: list[tuple[Path, str, bytes]] = []
    wrong: list[ResourceError] = []
    for file in files:
        try:
            found.append((file, *source.load(file)))
        except ResourceError as error:
            wrong.append(error)
    if wrong:
        raise ResourceError([problem for error in wrong for problem in error.problems])
    return found


def _named(built: Sequence[tuple[Path, str, bytes]]) -> str:
    # The last of each kind: an epoch names one.
    last = {kind: canonical.digest(raw) for _, kind, raw in built if kind in OPTIONS}
    return " ".join(f"{OPTIONS[kind]} {PREFIX}{sha256}" for kind, sha256 in last.items())
