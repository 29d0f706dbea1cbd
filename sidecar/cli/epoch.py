"""`epochgate epoch`: issue the next epoch; show, verify and list what there is."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from sidecar import clock
from sidecar.authority import ceremony, rollout
from sidecar.authority.ceremony import CeremonyError, EpochPlan
from sidecar.authority.rollout import Found
from sidecar.cli import source, text
from sidecar.cli.demands import demanded, demands, shown
from sidecar.cli.document import moment
from sidecar.cli.peers import (
    DURATION,
    FILE,
    Choice,
    Where,
    key_option,
    load_keys,
    load_trust,
    output_option,
    peer_options,
    show_acks,
)
from sidecar.cli.text import CliError
from sidecar.core.objects.epoch import Epoch
from sidecar.core.reason import ProtocolError
from sidecar.sync.peer import Peer

T = TypeVar("T")

ISSUE_EXAMPLE = """\b
Example:
  epochgate epoch issue --config authority.yaml --policy policy.yaml --routes routes.yaml \\
    --key keys/epoch-1.key --key keys/epoch-2.key --reason "permit embeddings"
"""
SHOW_EXAMPLE = """\b
Example:
  epochgate epoch show --config authority.yaml
  epochgate epoch show --trust trust.json epoch.json
"""
VERIFY_EXAMPLE = """\b
Example:
  epochgate epoch verify --trust trust.json epoch.json
"""
HISTORY_EXAMPLE = """\b
Example:
  epochgate epoch history --config authority.yaml --limit 5
"""


@click.group()
def epoch() -> None:
    """Issue, show and verify sync epochs."""


@epoch.command(epilog=ISSUE_EXAMPLE)
@peer_options
@key_option
@click.option("--policy", "policy_file", required=True, type=FILE, help="YAML, or built bytes.")
@click.option("--routes", "routes_file", required=True, type=FILE, help="YAML, or built bytes.")
@click.option("--not-after", "life_ms", default="24h", show_default=True, type=DURATION,
              help="Life from now.")  # fmt: skip
@click.option("--activation", type=click.Choice(["lease", "immediate"]), default="lease",
              show_default=True, help="The old one ends as leases lapse, or at once.")  # fmt: skip
@click.option("--service", "services", multiple=True, help="Only for this service; repeat it.")
@click.option("--region", "regions", multiple=True, help="Only for this region; repeat it.")
@click.option("--instance", "instances", multiple=True, metavar="KEYID",
              help="Closed roster: only instances with these keys; repeat it.")  # fmt: skip
@click.option("--max-unacked", "max_unacked_ms", default=0, type=DURATION, show_default="no limit",
              help="How long reports may go unacknowledged.")  # fmt: skip
@click.option("--max-diverged", type=click.IntRange(0), show_default="no limit",
              help="How many instances may hold another state.")  # fmt: skip
@click.option("--max-checkpoint-age", "max_checkpoint_age_ms", default=0, type=DURATION,
              show_default="no limit",
              help="How long a record of the audit log may go unsigned.")  # fmt: skip
@click.option("--max-audit-unacked", "max_audit_unacked_ms", default=0, type=DURATION,
              show_default="no limit", help="The same, without enough witnesses.")  # fmt: skip
@click.option("--remove", "removes", multiple=True, metavar="KIND:NAME",
              help="What the epoch before lists and this one does not: route:NAME, service:NAME, "
                   "policy:NAME; repeat it.")  # fmt: skip
@click.option("--tenant", "tenants", multiple=True, help="Only for this tenant; repeat it.")
@click.option("--enforcement", type=click.Choice(["enforce", "observe"]), default="enforce",
              show_default=True, help="observe: let pass what policy denies.")  # fmt: skip
@demands
@click.option("--reason", default="", help="Why, for people; signed.")
@click.option("--out", type=FILE, help="Keep the envelope in a file as well.")
@output_option
def issue(
    *,
    choice: Choice,
    keys: tuple[str, ...],
    policy_file: Path,
    routes_file: Path,
    out: Path | None,
    output: str,
    **said: Any,  # noqa: ANN401, the other fields of EpochPlan, by their names
) -> None:
    """Sign the next epoch and put it on the peers.

    The newest epoch is looked up and verified first; the new one takes the next number and names
    it as its predecessor. What that one lists and the new one does not has to be named by --remove.
    It is in force once the authority vouches for it.
    """
    to = choice.where()
    signers = load_keys(keys)
    policy, routes = source.load_policy(policy_file), source.load_routes(routes_file)
    plan = EpochPlan(policy, routes, runtime=demanded(said), **said)

    async def job(connected: Sequence[Peer]) -> tuple[Epoch, bytes, dict[str, str]]:
        now = clock.now().wall
        under = await rollout.walk(connected, to.trust, now)
        found = await rollout.look(connected, under, now, under.body.quorum.r)
        if found.newest is None and found.notes and under.version > 1:
            raise CeremonyError(
                f"{found.notes[0]} under trust version {under.version}; a number would be used "
                "twice: the next trust document has to name it as its floor"
            )
        if found.newest is not None:
            blobs = await rollout.blobs(connected, under, found.newest)
            ceremony.check_removals(plan, found.newest, blobs)
        made, raw = ceremony.make_epoch(plan, under, found.newest, signers, now)
        lines = rollout.epoch_commands(under, made, raw, (plan.policy, plan.routes))
        return made, raw, await rollout.publish(connected, lines)

    made, raw, results = _ceremony(to, job)
    if out is not None:
        out.write_bytes(raw)
    need = to.trust.body.quorum.w
    acks = show_acks(
        results, need, output, {"epoch": made.seq, "sha256": made.sha256,
                                "not_after": moment(made.says.not_after)},
    )  # fmt: skip
    if acks < need:
        raise CliError(
            f"epoch {made.seq}: {acks} of {need} needed peers took it; the authority brings it to "
            "the others as soon as it sees it: check with epochgate epoch show",
            text.UNAVAILABLE,
        )


@epoch.command(epilog=SHOW_EXAMPLE)
@peer_options
@click.argument("file", required=False, type=FILE)
@output_option
def show(*, choice: Choice, file: Path | None, output: str) -> None:
    """Show the newest epoch that the peers hold, or the one in FILE."""
    if file is not None:
        _show(_from_file(file, choice.trust_file), output)
        return
    found = _look(choice.where())
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    _show(_some(found), output)


@epoch.command(epilog=VERIFY_EXAMPLE)
@click.option("--trust", "trust_file", required=True, type=FILE, help="The trust document.")
@click.argument("file", type=FILE)
@output_option
def verify(*, trust_file: Path, file: Path, output: str) -> None:
    """Verify the epoch in FILE against a trust document; exit 80 when it fails."""
    found = _from_file(file, trust_file)
    if output == "json":
        text.print_json({"verified": True, "epoch": found.seq, "sha256": found.sha256})
    else:
        click.echo(f"verified: epoch {found.seq} {found.sha256}")


@epoch.command(epilog=HISTORY_EXAMPLE)
@peer_options
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1024))
@output_option
def history(*, choice: Choice, limit: int, output: str) -> None:
    """List the chain of epochs, newest first, each verified."""
    to = choice.where()

    async def job(connected: Sequence[Peer]) -> list[Epoch]:
        now = clock.now().wall
        under = await rollout.walk(connected, to.trust, now)
        found = await rollout.look(connected, under, now, under.body.quorum.r)
        return await rollout.history(connected, under, _some(found), now, limit)

    chain = _ceremony(to, job)
    if output == "json":
        text.print_json([_as_json(one) for one in chain])
        return
    headers = ["epoch", "sha256", "issued", "not after", "policy", "routes", "reason"]
    text.table(headers, [_row(one) for one in chain])


def _ceremony(to: Where, job: Callable[[Sequence[Peer]], Awaitable[T]]) -> T:
    try:
        return to.run(job)
    except CeremonyError as error:
        raise CliError(f"epoch: {error}", text.BAD_DATA) from None


def _look(to: Where) -> Found:
    async def job(connected: Sequence[Peer]) -> Found:
        now = clock.now().wall
        under = await rollout.walk(connected, to.trust, now)
        return await rollout.look(connected, under, now, under.body.quorum.r)

    return _ceremony(to, job)


def _some(found: Found) -> Epoch:
    if found.newest is None:
        raise CliError(
            "epoch: none on the peers; make the first: epochgate epoch issue --help", text.BAD_DATA
        )
    return found.newest


def _from_file(file: Path, trust_file: Path | None) -> Epoch:
    if trust_file is None:
        raise CliError("trust document: none named; give --trust trust.json", text.USAGE)
    under = load_trust(trust_file)
    try:
        return ceremony.open_epoch(file.read_bytes().removesuffix(b"\n"), under, clock.now().wall)
    except ProtocolError as error:
        raise CliError(
            f"epoch: {file}: {error}; see: epochgate explain {error.reason.code}",
            text.VERIFICATION_FAILED,
        ) from None


def _as_json(one: Epoch) -> dict[str, object]:
    return {"sha256": one.sha256, **msgspec.to_builtins(one.says)}


def _row(one: Epoch) -> list[object]:
    said = one.says
    return [
        one.seq, one.sha256[:16], moment(said.issued_at), moment(said.not_after),
        said.policy.sha256[:12], said.routes.sha256[:12], said.reason,
    ]  # fmt: skip


def _ms(value: int) -> str | None:
    return f"{value} ms" if value else None


def _show(one: Epoch, output: str) -> None:
    if output == "json":
        text.print_json(_as_json(one))
        return
    said = one.says
    rows: list[tuple[str, object]] = [
        ("epoch", one.seq),
        ("sha256", one.sha256),
        ("previous", said.prev_sha256),
        ("trust", f"version {said.trust.version} {said.trust.sha256[:16]}"),
        ("issued", moment(said.issued_at)),
        ("valid", f"{moment(said.not_before)} to {moment(said.not_after)}"),
        ("activation", said.activation.mode),
        ("services", ", ".join(said.scope.services) or "all"),
        ("regions", ", ".join(said.scope.regions) or "all"),
        ("tenants", ", ".join(said.scope.tenants) or "all"),
        ("enforcement", said.enforcement),
        ("instances", len(said.scope.instances) or "open"),
        ("max unacked", _ms(said.telemetry.max_unacked_ms)),
        ("max diverged", said.telemetry.max_diverged),
        ("log unsigned", _ms(said.audit.max_checkpoint_age_ms)),
        ("log unacked", _ms(said.audit.max_unacked_ms)),
        ("removes", ", ".join(said.removes) or None),
        ("policy", f"{said.policy.sha256} ({said.policy.size} bytes)"),
        ("routes", f"{said.routes.sha256} ({said.routes.size} bytes)"),
        *shown(said.runtime),
        ("reason", said.reason or None),
    ]
    text.table(["field", "value"], rows)
