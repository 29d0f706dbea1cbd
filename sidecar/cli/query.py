"""`epochgate audit query` and `stats`: find records, and count them; unverified, and said to be."""

import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from sidecar import clock
from sidecar.audit import beginning, collection, disk, segments
from sidecar.audit.beginning import Base
from sidecar.audit.disk import Use
from sidecar.audit.query import Stats, Wanted, search
from sidecar.cli.journals import CLEAR, FILE, FOLDER, MB, OUTPUT, line_of, progress_of, time_of
from sidecar.cli.peers import DURATION
from sidecar.cli.text import BAD_DATA, CliError, print_json, table
from sidecar.core import recording
from sidecar.core.log.record import StateType
from sidecar.core.reason import BY_CODE, ProtocolError

F = TypeVar("F", bound=Callable[..., object])

TYPES = ("decision", "outcome", *get_args(StateType))
UNVERIFIED = "unverified: see epochgate audit verify"


class Time(click.ParamType[int]):
    """`15m` ago, or a time like `2026-11-26T05:00:00Z`; in ms since 1970."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read the text; a number was read before."""
        if isinstance(value, int):
            return value
        said = str(value)
        try:
            when = datetime.fromisoformat(said)
        except ValueError:
            when = None
        if when is not None:
            aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
            return int(aware.timestamp() * 1000)
        try:
            return int(clock.now().wall) - int(DURATION.convert(said, param, ctx))
        except click.BadParameter:
            self.fail(f"{said!r} must be like 15m, 2h, 1d or 2026-11-26T05:00:00Z", param, ctx)


TIME = Time()


def _code(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None or value.upper() in BY_CODE:
        return value and value.upper()
    for code, reason in BY_CODE.items():
        if reason.slug == value.lower():
            return code
    raise click.BadParameter(f"{value!r} is no reason; see: epochgate explain")


_FILTERS = (
    click.option("--since", type=TIME, help="Not before: 15m ago, or a time in ISO 8601."),
    click.option("--until", type=TIME, help="Before: likewise."),
    click.option("--type", "types", type=click.Choice(TYPES), multiple=True, metavar="TYPE",
                 help=f"One of {', '.join(TYPES)}; repeat for several."),
    click.option("--decision", type=click.Choice(["permit", "deny"])),
    click.option("--reason", callback=_code, help="Code or name: EG102, lease-expired."),
    click.option("--route", help="Name of the route."),
    click.option("--trace", help="W3C trace id."),
    click.option("--request", help="Decision id: the decision, and what became of it."),
    click.option("--parent", help="Decision id: the decisions that descend from it."),
    click.option("--subject", help="Who asked, as its header said; needs --digest-key."),
    click.option("--tenant", help="For whom, likewise."),
    click.option("--digest-key", "digest_key", type=FILE,
                 help="digest.key in the pod's state folder, or its audit.digestKeyFile."),
)  # fmt: skip


def _filtered(command: F) -> F:
    """Hand a command its filters as one `Wanted`."""

    @functools.wraps(command)
    def call(**options: Any) -> object:  # noqa: ANN401, click's
        names = ("since", "until", "decision", "reason", "route", "trace", "request", "parent")
        key_file = options.pop("digest_key")
        digests: dict[str, Any] = {
            what: _digest(what, options.pop(what), key_file) for what in ("subject", "tenant")
        }
        wanted = Wanted(
            types=frozenset(options.pop("types")), **digests,
            **{name: options.pop(name) for name in names},
        )  # fmt: skip
        return command(wanted=wanted, **options)

    for option in reversed(_FILTERS):
        call = option(call)
    return call  # type: ignore[return-value]


def _digest(what: str, value: str | None, key_file: Path | None) -> str | None:
    """What stands in records for a subject or tenant."""
    if value is None:
        return None
    if key_file is None:
        raise click.UsageError(f"--{what} needs --digest-key: records hold only keyed digests")
    try:
        key = recording.read_key(key_file.read_bytes())
    except ProtocolError as error:
        raise CliError(f"not a digest key: {key_file}: {error.detail}", BAD_DATA) from None
    return recording.digest(key, what.encode(), value.encode())


@click.command(
    epilog="Example: epochgate audit query /var/lib/epochgate/audit --since 15m --decision deny"
)
@click.argument("folder", type=FOLDER)
@_filtered
@click.option("-n", "--limit", type=click.IntRange(1), help="Stop after so many.")
@OUTPUT
@click.pass_context
def query(
    context: click.Context, folder: Path, wanted: Wanted, limit: int | None, output: str
) -> None:
    """Show the records of the journals in FOLDER that fit every filter, unverified, oldest first.

    With `-o json` the lines are the records themselves. Exit code 1: none fits.
    """
    shown, stats, progress = 0, Stats(), progress_of()
    for journal in collection.find(folder):
        for line, said in search(journal, wanted, progress, stats):
            if progress is not None:
                click.echo(CLEAR, nl=False, err=True)
            click.echo(line if output == "json" else line_of(said))
            shown += 1
            if shown == limit:
                return
    _end(progress, stats)
    context.exit(0 if shown else 1)


@click.command(epilog="Example: epochgate audit stats /var/lib/epochgate/audit --since 1h")
@click.argument("folder", type=FOLDER)
@_filtered
@OUTPUT
def stats(folder: Path, wanted: Wanted, output: str) -> None:
    """Count the records of the journals in FOLDER that fit every filter, unverified.

    Also says what each journal takes of the disk, and what was pruned of it.
    """
    found, progress = Stats(), progress_of()
    rooms = {journal: _room(journal) for journal in collection.find(folder)}
    for journal in rooms:
        for _, said in search(journal, wanted, progress, found):
            found.add(said)
    _end(progress, found)
    if output == "json":
        print_json({**_as_json(found), "journals": [_room_json(*room) for room in rooms.items()]})
        return
    _show(found)
    for room in rooms.items():
        _show_room(*room)


_Room = tuple[Use, int, Base]  # what is taken, number of segments, where the journal begins


def _room(journal: Path) -> _Room:
    return beginning.steady(
        journal,
        lambda begins: (
            disk.measure(journal), len(segments.find(journal, begins.cut.segment)), begins
        ),
    )  # fmt: skip


def _room_json(journal: Path, room: _Room) -> Mapping[str, object]:
    use, count, begins = room
    return {
        "folder": str(journal), "disk_bytes": use.taken_bytes, "free_bytes": use.free_bytes,
        "segments": count, "first_segment": begins.cut.segment, "pruned": begins.pruned,
        "pruned_by": begins.record if begins.pruned else None,
    }  # fmt: skip


def _show_room(journal: Path, room: _Room) -> None:
    use, count, begins = room
    disk_mb = f"{use.taken_bytes / MB:,.1f} MB, {use.free_bytes / MB:,.1f} MB free"
    click.echo(f"{journal}: segments: {count}, {disk_mb}")
    if begins.pruned:
        click.echo(
            f"  pruned: records 0 to {begins.pruned - 1}, as record {begins.record} says; "
            f"begins with {segments.name(begins.cut.segment)}"
        )


def _end(progress: object, found: Stats) -> None:
    if progress is not None:
        click.echo(CLEAR, nl=False, err=True)
    if found.unreadable:
        click.echo(f"{found.unreadable} lines are no records; see: audit verify", err=True)


def _show(found: Stats) -> None:
    total = sum(found.records.values())
    if not total:
        click.echo("no record fits")
        return
    click.echo(f"{total:,} records, {time_of(found.first)} to {time_of(found.last)}; {UNVERIFIED}")
    decisions = sum(found.decisions.values())
    rows = [
        (decision, reason and f"{reason} {BY_CODE[reason].slug}" if reason in BY_CODE else reason,
         route or None, f"{count:,}", f"{count / decisions:.1%}")
        for (decision, reason, route), count in found.decisions.most_common()
    ]  # fmt: skip
    if rows:
        table(("decision", "reason", "route", "count", "share"), rows)
    ends = ", ".join(f"{count:,} {kind}" for kind, count in found.ended.items() if count)
    if ends:
        click.echo(f"ended: {ends}")
    if found.buckets:
        click.echo(f"permitted requests took: {_times(found)}")
    others = {kind: n for kind, n in found.records.items() if kind not in ("decision", "outcome")}
    if others:
        click.echo("also: " + ", ".join(f"{count:,} {kind}" for kind, count in others.items()))


def _times(found: Stats) -> str:
    return ", ".join(
        f"p{share * 100:g} <= {(found.percentile_us(share) or 0) / 1000:.2f} ms"
        for share in (0.5, 0.9, 0.99)
    )


def _as_json(found: Stats) -> Mapping[str, object]:
    return {
        "records": dict(found.records),
        "first_ms": found.first, "last_ms": found.last, "unreadable": found.unreadable,
        "decisions": [
            {"decision": decision, "reason": reason or None, "route": route or None, "count": count}
            for (decision, reason, route), count in found.decisions.most_common()
        ],
        "ended": dict(found.ended),
        "permitted_us": {
            name: found.percentile_us(share)
            for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
        },
        "verified": False,
    }  # fmt: skip
