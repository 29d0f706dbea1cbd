"""What `epoch issue` and `epoch rollback` share: sign the next epoch, publish it, watch it arrive.

Rules:

* The newest epoch is looked up and verified first; what the next one says differently is shown
  before it is signed. Nothing becomes looser without a word.
* `--dry-run` needs no key, signs nothing and writes nothing.
"""

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from sidecar import clock
from sidecar.authority import ceremony, rollout, terms
from sidecar.authority.ceremony import CeremonyError
from sidecar.authority.plan import EpochPlan
from sidecar.authority.terms import Change
from sidecar.cli import converge, text
from sidecar.cli.document import moment
from sidecar.cli.peers import (
    DURATION,
    FILE,
    Choice,
    Where,
    load_keys,
    output_option,
    peer_options,
    show_acks,
)
from sidecar.cli.text import CliError
from sidecar.core.instant import WallMs
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import Trust
from sidecar.sync.peer import Peer


@dataclass(frozen=True, slots=True)
class Desk:
    """How to sign and publish, as the options say it.

    Attributes:
        to: Peers, and the trust document to begin with.
        keys: Every --key.
        out: Where to keep the envelope as well.
        output: `table` or `json`.
        dry_run: Only show what would change.
        watch: Show the fleet until all of it holds the epoch.
        timeout_ms: For that.
    """

    to: Where
    keys: tuple[str, ...]
    out: Path | None
    output: str
    dry_run: bool
    watch: bool
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Before:
    """What there is before the next epoch is made.

    Attributes:
        peers: Connected.
        under: The trust document in force.
        newest: The newest epoch, or None.
        blobs: Policy and route table of it; None where no peer has them.
        profile: Likewise its profile; None: the one that is built in, or there is no epoch.
        now: Wall clock.
    """

    peers: Sequence[Peer]
    under: Trust
    newest: Epoch | None
    blobs: tuple[bytes | None, bytes | None]
    profile: bytes | None
    now: WallMs

    @property
    def refs(self) -> tuple[str | None, str | None]:
        """Digests of the policy and routes of the newest epoch; None: there is none."""
        if self.newest is None:
            return None, None
        return self.newest.says.policy.sha256, self.newest.says.routes.sha256

    @property
    def plan(self) -> EpochPlan | None:
        """What the newest epoch says; None: there is none.

        Raises:
            CeremonyError: no peer has its policy or its routes.
        """
        if self.newest is None:
            return None
        policy, routes = self.blobs
        if policy is None or routes is None:
            what, ref = ("policy", self.newest.says.policy.sha256)
            if policy is not None:
                what, ref = ("routes", self.newest.says.routes.sha256)
            raise CeremonyError(
                f"the {what} of epoch {self.newest.seq} ({ref}) are on no peer, so nobody can say "
                "what the next one changes; put them back (epochgate policy publish FILE), or let "
                "a running authority do it"
            )
        return terms.again(self.newest.says, policy, routes, self.profile)


@dataclass(frozen=True, slots=True)
class _Done:
    made: Epoch
    raw: bytes
    need: int  # peers that have to take it
    results: dict[str, str]
    differ: Sequence[Change]


Planned = Callable[[Before], Awaitable[EpochPlan]]


def desk_options(command: Callable[..., None]) -> Callable[..., None]:
    """Everything that says how to sign and publish, handed to the command as `desk`."""

    @peer_options
    @click.option("--key", "keys", multiple=True, metavar="FILE|exec:COMMAND",
                  help="Key file, or a program that signs; repeat it.")  # fmt: skip
    @click.option("--out", type=FILE, help="Keep the envelope in a file as well.")
    @click.option("--dry-run", is_flag=True, help="Show what would change; sign nothing.")
    @click.option("--watch", is_flag=True, help="Show the fleet until all of it holds the epoch.")
    @click.option("--timeout", "timeout_ms", default="60s", show_default=True, type=DURATION,
                  help="For --watch: exit 124 when it is over.")  # fmt: skip
    @output_option
    @functools.wraps(command)
    def resolved(
        *,
        choice: Choice,
        keys: tuple[str, ...],
        out: Path | None,
        dry_run: bool,
        watch: bool,
        timeout_ms: int,
        output: str,
        **rest: object,
    ) -> None:
        if not keys and not dry_run:
            raise click.UsageError("Missing option '--key'")
        desk = Desk(choice.where(), keys, out, output, dry_run, watch, timeout_ms)
        command(desk=desk, **rest)

    return resolved


def carry_out(desk: Desk, planned: Planned, hint: str = "") -> None:
    """Make the epoch that `planned` says, put it on the peers, and watch it when that was asked.

    Args:
        desk: How.
        planned: What it shall say, from what there is.
        hint: What to do where it is looser than the one before and that is not meant.

    Raises:
        CliError: nothing was signed, too few peers took it, or the fleet does not hold it in time.
    """
    signers = load_keys(desk.keys)

    async def job(peers: Sequence[Peer]) -> _Done | None:
        before = await _before(desk, peers)
        plan = await planned(before)
        ceremony.check_pace(plan, await rollout.beats(peers, before.under, before.now))
        differ = _compared(before, plan)
        _show_changes(desk, before, differ, hint)
        if desk.dry_run:
            return None
        made, raw = ceremony.make_epoch(plan, before.under, before.newest, signers, before.now)
        lines = rollout.epoch_commands(before.under, made, raw, plan.blobs)
        need = max(before.under.body.quorum.w, plan.compiled_profile.write)
        return _Done(made, raw, need, await rollout.publish(peers, lines), differ)

    try:
        done = desk.to.run(job)
    except CeremonyError as error:
        raise CliError(f"epoch: {error}", text.BAD_DATA) from None
    if done is None:
        return
    if desk.out is not None:
        desk.out.write_bytes(done.raw)
    _show_made(desk, done)
    if desk.watch:
        converge.watch(desk.to, done.made, desk.timeout_ms, desk.output)


async def _before(desk: Desk, peers: Sequence[Peer]) -> Before:
    now = clock.now().wall
    under = await rollout.walk(peers, desk.to.trust, now)
    found = await rollout.look(peers, under, now, under.body.quorum.r)
    if found.newest is None:
        if found.notes and under.version > 1:
            raise CeremonyError(
                f"{found.notes[0]} under trust version {under.version}; a number would be used "
                "twice: the next trust document has to name it as its floor"
            )
        return Before(peers, under, None, (None, None), None, now)
    blobs = await rollout.blobs(peers, under, found.newest)
    profile = await rollout.profile(peers, under, found.newest)
    return Before(peers, under, found.newest, blobs, profile, now)


def _compared(before: Before, plan: EpochPlan) -> list[Change]:
    if before.newest is None or before.plan is None:
        return []
    ceremony.check_removals(plan, before.newest, before.blobs)
    return terms.changes(before.plan, plan)


def _show_changes(desk: Desk, before: Before, differ: Sequence[Change], hint: str) -> None:
    if before.newest is None:
        return
    number = before.newest.seq
    looser = ", ".join(change.what for change in differ if change.looser)
    if looser:
        click.echo(f"warning: looser than epoch {number}: {looser}{hint}", err=True)
    if desk.output == "json":
        if desk.dry_run:
            text.print_json({"follows": number, "changes": [asdict(one) for one in differ]})
        return
    if not differ:
        click.echo(f"says what epoch {number} says\n")
        return
    rows = [(one.what, one.before, one.after, "looser" if one.looser else None) for one in differ]
    text.table([f"differs from {number}", "before", "after", "note"], rows)
    click.echo()


def _show_made(desk: Desk, done: _Done) -> None:
    made = done.made
    need = done.need
    said: dict[str, object] = {
        "epoch": made.seq, "sha256": made.sha256, "not_after": moment(made.says.not_after),
    }  # fmt: skip
    if desk.output == "json":
        said["changes"] = [asdict(one) for one in done.differ]
    acks = show_acks(done.results, need, desk.output, said, one_line=desk.watch)
    if acks < need:
        raise CliError(
            f"epoch {made.seq}: {acks} of {need} needed peers took it; the authority brings it to "
            "the others as soon as it sees it: check with epochgate epoch show",
            text.UNAVAILABLE,
        )
