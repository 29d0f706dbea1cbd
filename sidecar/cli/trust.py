"""`epochgate trust`: make the keys and the trust document; show what one says."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from sidecar import clock, signer
from sidecar.authority.ceremony import CeremonyError, TrustPlan, make_trust
from sidecar.cli import text
from sidecar.cli.peers import DURATION, FILE, load_trust, output_option
from sidecar.cli.text import CliError
from sidecar.config import units
from sidecar.core.objects import trust as trust_object
from sidecar.core.objects.trust import Limits, Quorum, Role, Trust
from sidecar.signer import FileSigner

FILE_NAME = "trust.json"

INIT_EXAMPLE = """\b
Example:
  epochgate trust init --domain prod --out trust --peers 5 --read-quorum 3 --write-quorum 3
"""
SHOW_EXAMPLE = """\b
Example:
  epochgate trust show trust/trust.json
"""


@click.group()
def trust() -> None:
    """Make keys and the trust document."""


COUNT = click.IntRange(1, 16)


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
    and resume keys offline and apart from each other; each authority gets one beat key.
    """
    counts = {role: said.get(f"{role.value}_keys") or 0 for role in Role}
    plan = _plan(domain, drift, said)
    _check_new(out)
    keys = {role: [FileSigner(_seed()) for _ in range(count)] for role, count in counts.items()}
    try:
        sealed = make_trust(plan, keys, clock.now().wall)
    except CeremonyError as error:
        raise CliError(f"trust init: {error}; change the options", text.USAGE) from None
    _write(out, keys, sealed)
    if output == "json":
        made = {role.value: len(held) for role, held in keys.items() if held}
        text.print_json({"trust": str(out / FILE_NAME), "keys": made, "domain": domain})
        return
    _show(load_trust(out / FILE_NAME))
    click.echo(f"\nwritten: {out / FILE_NAME} and {sum(counts.values())} keys in {out / 'keys'}")
    click.echo("next: give the trust document to every sidecar and authority; take the root, epoch")
    click.echo("and resume keys offline; then: epochgate epoch issue --help")


@trust.command(epilog=SHOW_EXAMPLE)
@click.argument("file", type=FILE)
@output_option
def show(file: Path, output: str) -> None:
    """Verify a trust document and say what it says."""
    found = load_trust(file)
    if output == "json":
        text.print_json({"sha256": found.sha256, **_as_json(found)})
    else:
        _show(found)


def moment(at_ms: int) -> str:
    """A signed time for people: UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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


def _seed() -> bytes:
    # Imported here: `trust show` needs none of the processes that roles wires.
    from sidecar.roles import fresh_bytes  # noqa: PLC0415

    return fresh_bytes(signer.SEED_BYTES)


def _write(out: Path, keys: Mapping[Role, list[FileSigner]], sealed: bytes) -> None:
    folder = out / "keys"
    folder.mkdir(mode=0o700, parents=True)
    for role, held in keys.items():
        for number, key in enumerate(held, start=1):
            key.save(folder / f"{role.value}-{number}.key")
    (out / FILE_NAME).write_bytes(sealed)


def _show(found: Trust) -> None:
    body = found.body
    quorum, limits = body.quorum, body.limits
    for name, value in (
        ("domain", body.domain),
        ("version", body.version),
        ("sha256", found.sha256),
        ("issued", moment(body.issued_at)),
        ("expires", moment(body.expires)),
        ("quorum", f"{quorum.r} of {quorum.n} peers to run, {quorum.w} to commit a write"),
        ("ttl", f"at most {units.show_duration(limits.ttl_max_ms)}"),
        ("skew", units.show_duration(limits.skew_max_ms)),
        ("drift", f"{limits.drift_ppm}ppm"),
    ):
        click.echo(f"{name + ':':9}{value}")
    click.echo()
    text.table(["role", "threshold", "keys", "key ids", "not after"], _rows(found))


def _rows(found: Trust) -> list[list[object]]:
    rows: list[list[object]] = []
    for role in Role:
        named = found.role(role)
        if not named.keyids:
            continue
        limits = {found.body.keys[key].not_after for key in named.keyids} - {None}
        short = " ".join(
            key[:12] + ("(revoked)" if key in found.revoked else "") for key in named.keyids
        )
        ends = moment(min(limit for limit in limits if limit is not None)) if limits else None
        rows.append([role.value, named.threshold, len(named.keyids), short, ends])
    return rows


def _as_json(found: Trust) -> dict[str, object]:
    import msgspec  # noqa: PLC0415 - only for programs

    said: dict[str, object] = msgspec.to_builtins(found.body)
    assert said["_type"] == trust_object.TYPE, "verified"
    return said
