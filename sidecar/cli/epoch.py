"""`epochgate epoch`: issue the next epoch, or an earlier one again; show and list what there is."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from click.core import ParameterSource

from sidecar import clock
from sidecar.authority import ceremony, rollout
from sidecar.authority.ceremony import CeremonyError
from sidecar.authority.plan import EpochPlan
from sidecar.authority.rollout import Found
from sidecar.cli import text
from sidecar.cli.artefact import (
    ARTEFACT,
    METAVAR,
    POLICY,
    PROFILE,
    PROFILE_ARTEFACT,
    ROUTES,
    Kind,
    Named,
    Wanted,
    built,
    fetched,
)
from sidecar.cli.demands import demanded, demands, kept, shown
from sidecar.cli.document import moment
from sidecar.cli.issuing import Before, Desk, carry_out, desk_options
from sidecar.cli.peers import (
    DURATION,
    FILE,
    Choice,
    Where,
    load_trust,
    output_option,
    peer_options,
)
from sidecar.cli.rollback import rollback
from sidecar.cli.text import CliError
from sidecar.core.objects.epoch import Epoch
from sidecar.core.profile import BASELINE
from sidecar.core.reason import ProtocolError
from sidecar.sync.peer import Peer

T = TypeVar("T")

ISSUE_EXAMPLE = """\b
Example:
  epochgate epoch issue --config authority.yaml --policy policy.yaml --routes routes.yaml \\
    --key keys/epoch-1.key --key keys/epoch-2.key --reason "the first"

\b
  The next one, all but the policy as it is, and see it arrive:
  epochgate policy publish policy.yaml --config authority.yaml
  epochgate epoch issue --config authority.yaml --policy sha256:DIGEST --keep --watch \\
    --key keys/epoch-1.key --key keys/epoch-2.key --reason "permit embeddings"

\b
  The same once more, for another day:
  epochgate epoch issue --config authority.yaml --keep --key ... --key ...
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
@desk_options
@click.option("--policy", type=ARTEFACT, metavar=METAVAR, show_default="that of the newest epoch",
              help="YAML, built bytes, or what the peers hold.")  # fmt: skip
@click.option("--routes", type=ARTEFACT, metavar=METAVAR, show_default="those of the newest epoch",
              help="Likewise.")  # fmt: skip
@click.option("--profile", type=PROFILE_ARTEFACT, metavar=f"{METAVAR}|baseline",
              show_default="that of the newest epoch",
              help="What is demanded of every sidecar; baseline: nothing.")  # fmt: skip
@click.option("--keep", is_flag=True,
              help="What no option says stays as in the newest epoch, instead of the defaults: "
                   "its scope, its demands, activation and enforcement, how long it "
                   "lives.")  # fmt: skip
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
def issue(
    *,
    desk: Desk,
    policy: Named | None,
    routes: Named | None,
    profile: Named | None,
    keep: bool,
    **said: Any,  # noqa: ANN401, the other fields of EpochPlan, by their names
) -> None:
    """Sign the next epoch and put it on the peers.

    The newest epoch is looked up and verified first; the new one takes the next number and names
    it as its predecessor. Of policy, routes and profile one is enough: the others stay. What else
    differs is shown, and what is looser than before is warned of. What that one lists and the new
    one does not has to be named by --remove. It is in force once the authority vouches for it:
    --watch shows how the fleet takes it.
    """
    given = _given()
    if policy is None and routes is None and profile is None and not keep:
        raise click.UsageError("nothing to issue: give --policy, --routes or --profile, or --keep")
    wanted = built(POLICY, policy), built(ROUTES, routes), built(PROFILE, profile)
    runtime = demanded(said)

    async def planned(before: Before) -> EpochPlan:
        base = before.plan if keep else None
        old = before.refs
        rules = await _artefact(before, POLICY, wanted[0], old[0])
        table = await _artefact(before, ROUTES, wanted[1], old[1])
        asked = await _profile(before, wanted[2])
        if base is None:
            return EpochPlan(rules, table, profile=asked, runtime=runtime, **said)
        chosen = {name: value for name, value in said.items() if name in given}
        chosen["runtime"] = kept(runtime, given, base.runtime)
        return replace(base, policy=rules, routes=table, profile=asked, **chosen)

    carry_out(desk, planned, "" if keep else "; --keep keeps what no option says")


epoch.add_command(rollback)


async def _artefact(before: Before, kind: Kind, said: Wanted, kept: str | None) -> bytes:
    """The bytes that were built, or what the peers hold: what was said, or that of the newest."""
    if isinstance(said, bytes):
        return said
    sha256 = said or kept
    if sha256 is None:
        raise CeremonyError(
            f"there is none before whose {kind.name} could be kept; give --{kind.name} {METAVAR}"
        )
    return await fetched(before.peers, before.under, kind, sha256)


async def _profile(before: Before, said: Wanted) -> bytes | None:
    """Likewise; None: the one that is built in."""
    if said is None:
        return before.profile
    return None if said == BASELINE.name else await _artefact(before, PROFILE, said, None)


def _given() -> frozenset[str]:
    """Names of the parameters that the command line says."""
    context = click.get_current_context()
    return frozenset(
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
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
        ("profile", f"{said.profile.name} {said.profile.sha256}"),
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
