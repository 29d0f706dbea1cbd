"""`epochgate trust` commands that draft the next trust document, on a machine without root keys.

Each reads the document in force, makes or goes on with a draft of the next one, and says what it
changes. Nobody has signed it then: that is `epochgate trust sign`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from sidecar import signer
from sidecar.authority import edits
from sidecar.cli import document, text
from sidecar.cli.desk import Desk, desk_options
from sidecar.cli.peers import DURATION
from sidecar.cli.text import CliError
from sidecar.config import units
from sidecar.core.instant import WallMs
from sidecar.core.objects.trust import Body, Limits, Quorum, Role
from sidecar.signer import FileSigner

T = TypeVar("T", bound=msgspec.Struct)

PUBLIC = "FILE|HEX|exec:COMMAND"
ROLE = click.Choice([role.value for role in Role])
COUNT = click.IntRange(1, 16)

ROTATE_EXAMPLE = """\b
Example:
  epochgate trust rotate --role beat --generate 2 --out-keys keys --not-after 30d \\
    --config authority.yaml
  epochgate trust rotate --role root --retire 1f0c9a2b --new-key 8c55...e3 --trust trust.json
"""
REVOKE_EXAMPLE = """\b
Example:
  epochgate trust revoke 1f0c9a2b --reason "laptop stolen" --config authority.yaml
"""
ADD_KEY_EXAMPLE = """\b
Example:
  epochgate trust add-key --role epoch --new-key keys/epoch-4.key --trust trust.json
"""
SET_THRESHOLD_EXAMPLE = """\b
Example:
  epochgate trust set-threshold --role epoch 3 --trust trust.json
"""
SET_EXAMPLE = """\b
Example:
  epochgate trust set --expires 365d --beat-not-after 30d --trust trust.json
  epochgate trust set --peers 5 --read-quorum 3 --write-quorum 3 --trust trust.json
"""


@click.command(epilog=ROTATE_EXAMPLE)
@click.option("--role", required=True, type=ROLE)
@click.option("--new-key", "new", multiple=True, metavar=PUBLIC, help="Public half; repeat it.")
@click.option("--generate", type=COUNT, help="Make so many keys here, in --out-keys.")
@click.option("--out-keys", type=click.Path(path_type=Path, file_okay=False), help="Folder.")
@click.option("--retire", multiple=True, metavar="KEYID", help="Only this key leaves; repeat it.")
@click.option("--not-after", type=DURATION, help="Life of the new keys from now.")
@click.option("--threshold", type=COUNT, help="How many must sign from then on.")
@desk_options
def rotate(
    *,
    desk: Desk,
    role: str,
    new: tuple[str, ...],
    generate: int | None,
    out_keys: Path | None,
    retire: tuple[str, ...],
    not_after: int | None,
    threshold: int | None,
) -> None:
    """Give a role new keys. All old ones leave it, or only those of --retire.

    A key that leaves did nothing wrong; one that was stolen is revoked with `trust revoke`.
    """
    if (generate is None) != (out_keys is None) or not (new or generate):
        raise CliError(
            "trust rotate: no new keys; give --new-key, or --generate and --out-keys", text.USAGE
        )
    made = [FileSigner(fresh_seed()) for _ in range(generate or 0)]
    public = [*(signer.public_of(said) for said in new), *(key.public for key in made)]

    def edit(body: Body, now: WallMs) -> Body:
        one = Role(role)
        held = getattr(body.roles, role).keyids
        leaving = [edits.find_key(body, said) for said in retire] or held
        body = edits.add_keys(body, one, public, _end(now, not_after))
        body = edits.retire_keys(body, one, leaving)
        return body if threshold is None else edits.set_threshold(body, one, threshold)

    planned = desk.plan(edit)
    if out_keys is not None:
        _save(made, out_keys, f"{role}-v{planned.draft.body.version}")
    desk.write(planned)


@click.command(epilog=REVOKE_EXAMPLE)
@click.argument("key", metavar="KEYID")
@click.option("--reason", required=True, help="Why, for people; signed.")
@desk_options
def revoke(*, desk: Desk, key: str, reason: str) -> None:
    """Take a key out of every role and never count it again.

    KEYID: its first letters, at least 8. A root key that is revoked still counts for the version
    before, and no longer for the new one.
    """
    desk.edit(lambda body, now: edits.revoke_key(body, edits.find_key(body, key), reason, now))


@click.command("add-key", epilog=ADD_KEY_EXAMPLE)
@click.option("--role", required=True, type=ROLE)
@click.option("--new-key", "new", multiple=True, required=True, metavar=PUBLIC,
              help="Public half; repeat it.")  # fmt: skip
@click.option("--not-after", type=DURATION, help="Life of the new keys from now.")
@desk_options
def add_key(*, desk: Desk, role: str, new: tuple[str, ...], not_after: int | None) -> None:
    """Give keys a role, beside those that hold it."""
    public = [signer.public_of(said) for said in new]
    desk.edit(lambda body, now: edits.add_keys(body, Role(role), public, _end(now, not_after)))


@click.command("set-threshold", epilog=SET_THRESHOLD_EXAMPLE)
@click.option("--role", required=True, type=ROLE)
@click.argument("threshold", type=COUNT)
@desk_options
def set_threshold(*, desk: Desk, role: str, threshold: int) -> None:
    """Say how many keys of a role must sign."""
    desk.edit(lambda body, _: edits.set_threshold(body, Role(role), threshold))


@click.command("set", epilog=SET_EXAMPLE)
@click.option("--peers", "n", type=click.IntRange(1, 15), help="How many peers there are.")
@click.option("--read-quorum", "r", type=click.IntRange(1, 15), help="Must agree to run.")
@click.option("--write-quorum", "w", type=click.IntRange(1, 15), help="Must take a write.")
@click.option("--ttl-max", "ttl_max_ms", type=DURATION, help="Of a lease.")
@click.option("--skew-max", "skew_max_ms", type=DURATION, help="Of clocks.")
@click.option("--drift", help="Rate error of clocks, like 2000ppm.")
@click.option("--expires", type=DURATION, help="Life of the document from now.")
@click.option("--beat-not-after", type=DURATION, help="Life of the beat keys from now.")
@desk_options
def set_values(
    *,
    desk: Desk,
    drift: str | None,
    expires: int | None,
    beat_not_after: int | None,
    **said: int | None,
) -> None:
    """Change quorum, limits or ends. Without options: the same again, for as long again."""
    drift_ppm = _ppm(drift)

    def edit(body: Body, now: WallMs) -> Body:
        quorum = _replaced(body.quorum, said, Quorum)
        limits = _replaced(body.limits, {**said, "drift_ppm": drift_ppm}, Limits)
        ends = body.expires if expires is None else now + expires
        body = msgspec.structs.replace(body, quorum=quorum, limits=limits, expires=ends)
        return (
            body
            if beat_not_after is None
            else edits.set_not_after(body, Role.BEAT, now + beat_not_after)
        )

    desk.edit(edit)


def fresh_seed() -> bytes:
    """Secret bytes for a new key."""
    # Imported here: reading a document needs none of the processes that roles wires.
    from sidecar.roles import fresh_bytes  # noqa: PLC0415

    return fresh_bytes(signer.SEED_BYTES)


def _save(made: Sequence[FileSigner], folder: Path, name: str) -> None:
    paths = [folder / f"{name}-{number}.key" for number in range(1, len(made) + 1)]
    for path in paths:
        if path.exists():
            raise CliError(
                f"--out-keys: {path} exists; keys are never replaced: choose another folder",
                text.USAGE,
            )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for key, path in zip(made, paths, strict=True):
        key.save(path)
        click.echo(f"key: {path}: {key.key_id[: document.SHORT]}", err=True)


def _end(now: WallMs, life_ms: int | None) -> int | None:
    return None if life_ms is None else now + life_ms


def _ppm(said: str | None) -> int | None:
    try:
        return None if said is None else units.ppm(said)
    except ValueError as error:
        raise CliError(f"--drift {said}: {error}", text.USAGE) from None


def _replaced(value: T, said: Mapping[str, int | None], kind: type[T]) -> T:
    fields = {
        name: number
        for name, number in said.items()
        if number is not None and name in kind.__struct_fields__
    }
    return msgspec.structs.replace(value, **fields)
