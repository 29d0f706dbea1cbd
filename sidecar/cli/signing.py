"""`epochgate trust sign` and `publish`: what turns a draft into the document in force.

`sign` works without a network, on the machine of one holder of a root key. `publish` needs no
private key: it puts on the peers only what every sidecar would take.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from sidecar import clock, durable
from sidecar.authority import floors, rollout, rotation
from sidecar.authority.ceremony import CeremonyError
from sidecar.authority.publisher import PeerLike
from sidecar.authority.rollout import TooFewPeersError
from sidecar.cli import document, text
from sidecar.cli.desk import DRAFT_MODE, read_draft
from sidecar.cli.peers import (
    FILE,
    Choice,
    load_keys,
    load_trust,
    output_option,
    peer_options,
    show_acks,
)
from sidecar.cli.text import CliError
from sidecar.core import canonical, layout
from sidecar.core.fault import PeerError
from sidecar.core.instant import WallMs
from sidecar.core.issuing import WriteCommand
from sidecar.core.objects import trust as trust_object
from sidecar.core.objects.trust import Trust
from sidecar.core.reason import ProtocolError
from sidecar.sync.peer import Peer

SIGN_EXAMPLE = """\b
Example:
  epochgate trust show trust-2.draft.json --previous trust.json     # read what you will sign
  epochgate trust sign trust-2.draft.json --previous trust.json --key root-1.key
  epochgate trust sign trust-2.draft.json --previous trust.json --key "exec:my-hsm --slot 3"
  epochgate trust sign trust-2.draft.json --previous trust.json --merge from-bob.json
"""
PUBLISH_EXAMPLE = """\b
Example:
  epochgate trust publish trust-2.draft.json --config authority.yaml
  epochgate trust publish trust-2.json trust-3.json --trust trust.json --peer redis://p1:6379/0
"""


@click.command(epilog=SIGN_EXAMPLE)
@click.argument("file", metavar="DRAFT", type=FILE)
@click.option("--previous", required=True, type=FILE, help="The document that it follows.")
@click.option("--key", "keys", multiple=True, metavar="FILE|exec:COMMAND",
              help="Root key file, or a program that signs; repeat it.")  # fmt: skip
@click.option("--merge", "copies", multiple=True, type=FILE,
              help="The same draft, signed elsewhere; repeat it.")  # fmt: skip
@output_option
def sign(
    *, file: Path, previous: Path, keys: tuple[str, ...], copies: tuple[Path, ...], output: str
) -> None:
    """Add signatures to a draft, in its file; say who has signed it and who is missing.

    It needs the root threshold of the document before and the one of its own.
    """
    if not keys and not copies:
        raise CliError("trust sign: nothing to add; give --key or --merge", text.USAGE)
    current, draft, now = load_trust(previous), read_draft(file), clock.now().wall
    left_out: list[str] = []
    try:
        for copy in copies:
            draft, useless = rotation.merge(current, draft, read_draft(copy), now)
            left_out += useless
        draft = rotation.sign(current, draft, load_keys(keys), now)
        sides = rotation.tallies(current, draft, now)
    except CeremonyError as error:
        raise CliError(f"trust sign: {file}: {error}", text.BAD_DATA) from None
    durable.replace(file, draft.raw, DRAFT_MODE)
    for key in left_out:
        click.echo(f"warning: signature of key {key[:16]} does not count: left out", err=True)
    missing = sum(side.missing for side in sides)
    if output == "json":
        text.print_json(
            {
                "draft": str(file),
                "version": draft.body.version,
                "sha256": draft.sha256,
                "complete": not missing,
                "thresholds": [document.tally_json(side) for side in sides],
            }
        )
        return
    click.echo(f"signed: version {draft.body.version}, {draft.sha256}")
    document.show_changes(current.body, draft.body)
    click.echo()
    document.show_tallies(sides)
    click.echo("\n" + _next_step(file, missing))


@click.command(epilog=PUBLISH_EXAMPLE)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@peer_options
@output_option
def publish(*, choice: Choice, files: tuple[Path, ...], output: str) -> None:
    """Put the next trust document on every peer, or several in their order.

    Each must be complete and follow the one before, the first the document of --trust. Sidecars
    and authorities walk there by themselves.
    """
    to = choice.where()
    now = clock.now().wall
    chain = _chain(to.trust, files, now)
    last = chain[-1]

    async def job(peers: Sequence[Peer]) -> tuple[list[str], dict[str, str]]:
        notes = await _notes(peers, to.trust, last, now)
        await _check_unclaimed(peers, to.trust, chain, now)
        return notes, await rollout.publish(peers, _commands(chain))

    try:
        notes, results = to.run(job)
    except CeremonyError as error:
        raise CliError(f"trust publish: {error}", text.BAD_DATA) from None
    for note in notes:
        click.echo(f"warning: {note}", err=True)
    need = max(to.trust.body.quorum.w, last.body.quorum.w)
    ends = document.moment(last.body.expires)
    said = {"version": last.version, "sha256": last.sha256, "expires": ends}
    acks = show_acks(results, need, output, said)
    if acks < need:
        raise CliError(
            f"trust {last.version}: {acks} of {need} needed peers took it; run this again until "
            "enough did",
            text.UNAVAILABLE,
        )


def _next_step(file: Path, missing: int) -> str:
    if missing:
        return f"next: pass {file} on to who may still sign"
    return f"complete. next: epochgate trust publish {file} --config authority.yaml"


def _chain(current: Trust, files: Sequence[Path], now: WallMs) -> list[Trust]:
    chain: list[Trust] = []
    for file in files:
        try:
            raw = file.read_bytes().removesuffix(b"\n")
            current = rotation.complete(current, raw, now)
        except (CeremonyError, ProtocolError) as error:
            raise CliError(f"trust publish: {file}: {error}", text.BAD_DATA) from None
        chain.append(current)
    if current.expired(now):
        raise CliError(
            f"trust publish: {files[-1]}: expired {document.moment(current.body.expires)}: no "
            "sidecar would run under it; make one that lasts: epochgate trust set --expires 365d",
            text.BAD_DATA,
        )
    return chain


async def _notes(peers: Sequence[PeerLike], current: Trust, after: Trust, now: WallMs) -> list[str]:
    # What the peers hold must not keep a revocation from them: it only warns.
    try:
        present = await floors.survey(peers, current, now)
    except (TooFewPeersError, CeremonyError) as error:
        return [f"what is in force was not looked at: {error}"]
    return floors.cautions(present, after, now)


async def _check_unclaimed(
    peers: Sequence[PeerLike], current: Trust, chain: Sequence[Trust], now: WallMs
) -> None:
    """Two signed documents of one version would split the fleet: the first one stays."""

    async def one(peer: PeerLike) -> Mapping[str, tuple[bytes, ...]]:
        try:
            return await peer.read(names, (), max_bytes, tag)
        except PeerError:
            return {}  # it will not take the write either, and the table says so

    names = tuple(layout.trust_key(one.domain, one.version) for one in chain)
    tag = canonical.digest("\n".join(names).encode()).encode()
    max_bytes = 2 * (len(names) + 1) * trust_object.MAX_BYTES
    answers = await asyncio.gather(*(one(peer) for peer in peers))
    for peer, answer in zip(peers, answers, strict=True):
        before = current
        for name, ours in zip(names, chain, strict=True):
            for raw in answer.get(name, ()):
                _check_same(peer.id, before, raw, ours, now)
            before = ours


def _check_same(peer: str, before: Trust, raw: bytes, ours: Trust, now: WallMs) -> None:
    try:
        theirs = before.rotate(raw, now)
    except ProtocolError:
        return  # junk under that name: no sidecar takes it, and ours replaces it
    if theirs.sha256 != ours.sha256:
        raise CeremonyError(
            f"peer {peer} holds another signed version {ours.version} ({theirs.sha256[:16]}, not "
            f"{ours.sha256[:16]}): the fleet may follow it; go on from that one"
        )


def _commands(chain: Sequence[Trust]) -> list[WriteCommand]:
    lines: list[WriteCommand] = [
        ("SET", layout.trust_key(one.domain, one.version), one.raw) for one in chain
    ]
    return [*lines, ("PUBLISH", layout.push_channel(chain[0].domain), b"")]
