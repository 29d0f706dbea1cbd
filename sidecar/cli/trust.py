"""`epochgate trust`: make the keys and the trust document; show and export what one says.

How one document follows another: `rotation` drafts it, `signing` signs and publishes it.
"""

from collections.abc import Mapping
from pathlib import Path

import click

from sidecar import clock
from sidecar.authority.ceremony import CeremonyError, TrustPlan, make_trust
from sidecar.authority.rotation import Draft, check, complete, signers, tallies
from sidecar.cli import document, rotation, signing, text
from sidecar.cli.desk import read_draft
from sidecar.cli.peers import DURATION, FILE, load_trust, output_option
from sidecar.cli.rotation import COUNT, fresh_seed
from sidecar.cli.text import CliError
from sidecar.config import units
from sidecar.core import canonical
from sidecar.core.objects.trust import Limits, Quorum, Role, Trust
from sidecar.signer import FileSigner

FILE_NAME = "trust.json"

INIT_EXAMPLE = """\b
Example:
  epochgate trust init --domain prod --out trust --peers 5 --read-quorum 3 --write-quorum 3
"""
NEW_KEY_EXAMPLE = """\b
Example:
  epochgate trust new-key root-4.key
"""
SHOW_EXAMPLE = """\b
Example:
  epochgate trust show trust/trust.json
  epochgate trust show trust-2.draft.json --previous trust/trust.json
"""
EXPORT_EXAMPLE = """\b
Example:
  epochgate trust export trust/trust.json | jq .roles
  epochgate trust export trust/trust.json --format pem
"""


@click.group()
def trust() -> None:
    """Make the trust document, and rotate it: draft, sign, publish."""


@trust.command(epilog=INIT_EXAMPLE)
@click.option("--domain", required=True, help="Name of the fleet, in every signed object.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@click.option("--root-keys", default=3, show_default=True, type=COUNT, help="Sign trust.")
@click.option("--root-threshold", default=2, show_default=True, type=COUNT)
@click.option("--epoch-keys", default=3, show_default=True, type=COUNT, help="Sign epochs.")
@click.option("--epoch-threshold", default=2, show_default=True, type=COUNT)
@click.option("--resume-keys", default=3, show_default=True, type=COUNT, help="Sign clears.")
@click.option("--resume-threshold", default=2, show_default=True, type=COUNT)
@click.option("--beat-keys", default=2, show_default=True, type=COUNT, help="One per authority.")
@click.option("--halt-keys", default=2, show_default=True, type=COUNT, help="Any one stops.")
@click.option("--witness-keys", default=0, show_default=True, type=click.IntRange(0, 16),
              help="Cosign audit logs; an authority can be one.")  # fmt: skip
@click.option("--log-keys", default=2, show_default=True, type=COUNT, help="One per authority.")
@click.option("--peers", default=3, show_default=True, type=click.IntRange(1, 15))
@click.option("--read-quorum", default=2, show_default=True, type=click.IntRange(1, 15))
@click.option("--write-quorum", default=2, show_default=True, type=click.IntRange(1, 15))
@click.option("--ttl-max", default="4s", show_default=True, type=DURATION, help="Of a lease.")
@click.option("--skew-max", default="500ms", show_default=True, type=DURATION, help="Of clocks.")
@click.option("--drift", default="2000ppm", show_default=True, help="Rate error of clocks.")
@click.option("--expires", default="365d", show_default=True, type=DURATION, help="The document.")
@click.option("--beat-not-after", type=DURATION, help="Life of beat keys; default: the document's.")
@output_option
def init(domain: str, out: Path, drift: str, output: str, **said: int | None) -> None:
    """Make all keys and version 1 of a trust document.

    Private keys go to OUT/keys, one file each, mode 0600, and are never printed. Keep root, epoch
    and resume keys offline and apart from each other; each authority gets one beat key, and one log
    key for the log of what it saw and did (or none: --log-keys 0).
    """
    counts = {role: said.get(f"{role.value}_keys") or 0 for role in Role}
    plan = _plan(domain, drift, said)
    _check_new(out)
    keys = {
        role: [FileSigner(fresh_seed()) for _ in range(count)] for role, count in counts.items()
    }
    try:
        sealed = make_trust(plan, keys, clock.now().wall)
    except CeremonyError as error:
        raise CliError(f"trust init: {error}; change the options", text.USAGE) from None
    _write(out, keys, sealed)
    if output == "json":
        made = {role.value: len(held) for role, held in keys.items() if held}
        text.print_json({"trust": str(out / FILE_NAME), "keys": made, "domain": domain})
        return
    document.show(load_trust(out / FILE_NAME))
    click.echo(f"\nwritten: {out / FILE_NAME} and {sum(counts.values())} keys in {out / 'keys'}")
    click.echo("next: give the trust document to every sidecar and authority; take the root, epoch")
    click.echo("and resume keys offline; then: epochgate epoch issue --help")


@trust.command("new-key", epilog=NEW_KEY_EXAMPLE)
@click.argument("file", type=FILE)
@output_option
def new_key(file: Path, output: str) -> None:
    """Make a key on the machine of its holder, and say its public half.

    Only what is printed is passed on, to `trust rotate` or `trust add-key` as --new-key.
    """
    key = FileSigner(fresh_seed())
    try:
        key.save(file)
    except FileExistsError:
        raise CliError(
            f"trust new-key: {file} exists; keys are never replaced: choose another name",
            text.USAGE,
        ) from None
    if output == "json":
        text.print_json({"file": str(file), "keyid": key.key_id, "public": key.public.hex()})
        return
    click.echo(f"written: {file}")
    click.echo(f"key id:  {key.key_id}")
    click.echo(f"public:  {key.public.hex()}")


@trust.command(epilog=SHOW_EXAMPLE)
@click.argument("file", type=FILE)
@click.option(
    "--previous", type=FILE, help="The document before: show the changes, and who signed."
)
@output_option
def show(file: Path, previous: Path | None, output: str) -> None:
    """Verify a trust document and say what it says; with --previous also a draft.

    Exit 0 when it is signed as it must be; 81 for a draft that lacks signatures; 80 otherwise.
    """
    if previous is not None:
        _show_next(load_trust(previous), read_draft(file), file, output)
        return
    try:
        found = load_trust(file)
    except CliError as error:
        message = f"{error.message}; a draft is shown with --previous"
        raise CliError(message, error.exit_code) from None
    signed_by = signers(found)
    if output == "json":
        text.print_json(
            {"sha256": found.sha256, "signers": signed_by, **document.as_json(found.body)}
        )
        return
    document.show(found)
    click.echo(f"\nsigned by root keys: {document.short(signed_by)}")


@trust.command(epilog=EXPORT_EXAMPLE)
@click.argument("file", type=FILE)
@click.option("--format", "form", type=click.Choice(["json", "pem", "hex"]), default="json",
              show_default=True, help="Signed bytes, PEM keys, or a key a line.")  # fmt: skip
def export(file: Path, form: str) -> None:
    """Print what a trust document says in a form that other tools read.

    json: the canonical bytes that were signed. pem: each public key as RFC 8410 writes it, under a
    line with role and key id. hex: role, key id and public key, one key a line. Revoked keys are
    left out of both.
    """
    found = load_trust(file)
    if form == "json":
        click.echo(canonical.dump(found.body), nl=False)
        return
    for role in Role:
        for key, public in sorted(found.keys[role].items()):
            if form == "hex":
                click.echo(f"{role.value} {key} {public.hex()}")
            else:
                click.echo(f"# {role.value} {key}\n{document.pem(public)}", nl=False)


for command in (rotation.rotate, rotation.revoke, rotation.add_key, rotation.set_threshold,
                rotation.set_values, signing.sign, signing.publish):  # fmt: skip
    trust.add_command(command)


def _show_next(current: Trust, draft: Draft, file: Path, output: str) -> None:
    now = clock.now().wall
    try:
        after = check(current, draft)
        sides = tallies(current, draft, now)
        missing = any(side.missing for side in sides)
        if not missing:
            complete(current, draft.raw, now)
    except CeremonyError as error:
        raise CliError(f"trust show: {file}: {error}", text.VERIFICATION_FAILED) from None
    if output == "json":
        text.print_json(
            {
                "sha256": draft.sha256,
                "complete": not missing,
                "changes": document.change_json(current.body, draft.body),
                "thresholds": [document.tally_json(side) for side in sides],
                **document.as_json(draft.body),
            }
        )
    else:
        document.show(after)
        click.echo()
        document.show_changes(current.body, draft.body)
        click.echo()
        document.show_tallies(sides)
    if missing:
        raise CliError(
            f"draft: {file}: signatures are missing, nothing is in force; "
            "add them: epochgate trust sign",
            text.UNVERIFIABLE,
        )


def _plan(domain: str, drift: str, said: Mapping[str, int | None]) -> TrustPlan:
    def number(name: str) -> int:
        return said.get(name) or 0

    try:
        drift_ppm = units.ppm(drift)
    except ValueError as error:
        raise CliError(f"--drift {drift}: {error}", text.USAGE) from None
    thresholds = {role: number(f"{role.value}_threshold") or 1 for role in Role}
    return TrustPlan(
        domain=domain,
        thresholds=thresholds,
        quorum=Quorum(n=number("peers"), r=number("read_quorum"), w=number("write_quorum")),
        limits=Limits(
            ttl_max_ms=number("ttl_max"), skew_max_ms=number("skew_max"), drift_ppm=drift_ppm
        ),
        expires_ms=number("expires"),
        beat_expires_ms=said.get("beat_not_after"),
    )


def _check_new(out: Path) -> None:
    for path in (out / FILE_NAME, out / "keys"):
        if path.exists():
            raise CliError(
                f"trust init: {path} exists; keys are never replaced: choose another --out",
                text.USAGE,
            )


def _write(out: Path, keys: Mapping[Role, list[FileSigner]], sealed: bytes) -> None:
    folder = out / "keys"
    folder.mkdir(mode=0o700, parents=True)
    for role, held in keys.items():
        for number, key in enumerate(held, start=1):
            key.save(folder / f"{role.value}-{number}.key")
    (out / FILE_NAME).write_bytes(sealed)
