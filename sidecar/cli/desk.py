"""Where a draft of the next trust document is edited: what every edit is told, and what it does.

* The document in force is verified first; a draft that is there must follow it.
* An edit drops the signatures of the draft, and says so. A complete draft is never edited: it may
  be in force somewhere, and a second document of one version would contradict it.
* Floors come from peers only when peers are named: a key is revoked without them as well.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from sidecar import clock, durable
from sidecar.authority import edits, rotation
from sidecar.authority import floors as floor
from sidecar.authority.ceremony import CeremonyError, open_epoch
from sidecar.authority.rotation import Draft
from sidecar.cli import document, text
from sidecar.cli.peers import FILE, Choice, Where, load_trust, output_option
from sidecar.cli.text import CliError
from sidecar.core.instant import WallMs
from sidecar.core.objects.trust import Body, Mark, Trust
from sidecar.core.reason import ProtocolError
from sidecar.sync.peer import Peer

F = TypeVar("F", bound=Callable[..., object])
Edit = Callable[[Body, WallMs], Body]

DRAFT_MODE = 0o644  # nothing in it is secret


@dataclass(frozen=True, slots=True)
class Planned:
    """An edit that was checked and is not written yet."""

    current: Trust
    draft: Draft
    out: Path
    cautions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Desk:
    """What every edit is told: the document in force, where the draft lies, where floors come from.

    Attributes:
        choice: Trust document, and peers if floors shall come from them.
        floor_epoch: An epoch that is the lowest from now on, or None.
        out: The draft, or None for a name beside the trust document.
        output: `table` or `json`.
    """

    choice: Choice
    floor_epoch: Path | None
    out: Path | None
    output: str

    def plan(self, edit: Edit) -> Planned:
        """Apply an edit to a new draft, or to the one that is there.

        Raises:
            CliError: it makes no sense, or the peers do not answer.
        """
        now = clock.now().wall
        where = self.choice.where() if self.choice.config or self.choice.peers else None
        current = where.trust if where else self._current()
        out = self.out or Path(f"trust-{current.version + 1}.draft.json")
        try:
            body = edit(_draft(out, current, now).body, now)
            body, cautions = self._with_floors(body, current, where, now)
            draft = Draft(body, {})
            rotation.check(current, draft)
        except CeremonyError as error:
            raise CliError(f"trust: {error}", text.BAD_DATA) from None
        return Planned(current, draft, out, cautions)

    def write(self, planned: Planned) -> None:
        """Keep the draft, and say what it changes and what comes next."""
        current, draft, out = planned.current, planned.draft, planned.out
        durable.replace(out, draft.raw, DRAFT_MODE)
        for line in planned.cautions:
            click.echo(f"warning: {line}", err=True)
        if self.output == "json":
            text.print_json(
                {
                    "draft": str(out),
                    "version": draft.body.version,
                    "sha256": draft.sha256,
                    "changes": document.change_json(current.body, draft.body),
                    "warnings": planned.cautions,
                }
            )
            return
        document.show_changes(current.body, draft.body)
        click.echo(f"\nwritten: {out}: draft of version {draft.body.version}, {draft.sha256}")
        click.echo("next: more edits, or on the machine of each holder of a root key:")
        click.echo(f"  epochgate trust sign {out} --previous trust.json --key root-1.key")

    def edit(self, edit: Edit) -> None:
        """Plan and write."""
        self.write(self.plan(edit))

    def _current(self) -> Trust:
        if self.choice.trust_file is None:
            raise CliError(
                "trust document: none named; give --trust trust.json or --config authority.yaml",
                text.USAGE,
            )
        return load_trust(self.choice.trust_file)

    def _with_floors(
        self, body: Body, current: Trust, where: Where | None, now: WallMs
    ) -> tuple[Body, list[str]]:
        cautions: list[str] = []
        if where is not None:
            after = rotation.check(current, Draft(body, {}))

            async def job(peers: Sequence[Peer]) -> floor.Present:
                return await floor.survey(peers, current, now)

            present = where.run(job)
            body = edits.set_floors(body, floor.floors(present, body.floors, after, now))
            cautions = floor.cautions(present, after, now)
        if self.floor_epoch is not None:
            mark = _epoch_mark(self.floor_epoch, current, now)
            body = edits.set_floors(body, msgspec.structs.replace(body.floors, epoch=mark))
        return body, cautions


def desk_options(command: F) -> Callable[..., None]:
    """The options of every edit, handed to the command as `desk`."""

    @click.option("--trust", "trust_file", type=FILE, help="The document in force.")
    @click.option("--config", type=FILE, help="authority.yaml: trust document, and peers that say "
                  "the floors; without peers they stay.")  # fmt: skip
    @click.option(
        "--peer", "peers", multiple=True, metavar="URL", help="Peer that says the floors."
    )
    @click.option("--floor-epoch", type=FILE, help="Epoch (file) that is the lowest from now on.")
    @click.option("--out", type=FILE, help="The draft, new or gone on with.  [default: "
                  "trust-<N+1>.draft.json]")  # fmt: skip
    @output_option
    @functools.wraps(command)
    def resolved(
        *,
        trust_file: Path | None,
        config: Path | None,
        peers: tuple[str, ...],
        floor_epoch: Path | None,
        out: Path | None,
        output: str,
        **rest: object,
    ) -> None:
        command(desk=Desk(Choice(trust_file, config, peers), floor_epoch, out, output), **rest)

    return resolved


def read_draft(path: Path) -> Draft:
    """Read a draft from a file.

    Raises:
        CliError: it is none.
    """
    try:
        return rotation.read(path.read_bytes().removesuffix(b"\n"))
    except ProtocolError as error:
        raise CliError(
            f"draft: {path}: {error}; see: epochgate explain {error.reason.code}", text.BAD_DATA
        ) from None


def _draft(out: Path, current: Trust, now: WallMs) -> Draft:
    if not out.exists():
        return rotation.begin(current, now)
    found = read_draft(out)
    rotation.check(current, found)
    if not any(side.missing for side in rotation.tallies(current, found, now)):
        raise CeremonyError(
            f"{out} is complete and may be in force; a second version {found.body.version} would "
            f"contradict it. Go on from it with --trust {out}, or move it away"
        )
    if found.signatures:
        click.echo(
            f"warning: {out}: {len(found.signatures)} signatures dropped: they were over other "
            "bytes. Everybody signs again",
            err=True,
        )
    return found


def _epoch_mark(path: Path, current: Trust, now: WallMs) -> Mark:
    try:
        found = open_epoch(path.read_bytes().removesuffix(b"\n"), current, now)
    except ProtocolError as error:
        raise CliError(
            f"--floor-epoch: {path}: {error}; see: epochgate explain {error.reason.code}",
            text.VERIFICATION_FAILED,
        ) from None
    return Mark(seq=found.seq, sha256=found.sha256)
