"""`epochgate audit`: verify a journal, and read its end.

Nothing here trusts what it reads: `verify` says what it checked and what it could not, and every
field of a record is shown with its control characters spelled out.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from sidecar.audit import checkpoints, collection, reader, tail
from sidecar.audit.reader import Report
from sidecar.cli.text import (
    BAD_DATA,
    UNVERIFIABLE,
    VERIFICATION_FAILED,
    CliError,
    print_json,
)
from sidecar.core.log import note, record
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import Outcome, Record, StateChange
from sidecar.core.reason import BY_CODE, ProtocolError

FOLLOW_S = 0.25
MB = 1_000_000
_CLEAR = "\r\x1b[K"  # back to the start of the line, and empty it

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUTPUT = click.option("-o", "output", type=click.Choice(["text", "json"]), default="text")


@click.group(epilog="Example: epochgate audit verify /var/lib/epochgate/audit")
def audit() -> None:
    """Verify audit records and read them."""


@audit.command(
    epilog="Example: epochgate audit verify /var/lib/epochgate/audit --key-file log.vkey"
)
@click.argument("folder", type=_FOLDER)
@click.option("--key", "keys", multiple=True, help="Verifier key of the log: name+id+base64.")
@click.option("--key-file", type=_FILE, help="File that holds it; one key per line.")
@_OUTPUT
@click.pass_context
def verify(
    context: click.Context, folder: Path, keys: tuple[str, ...], key_file: Path | None, output: str
) -> None:
    """Check every record of the journal in FOLDER against its chain and its signed checkpoint.

    A sidecar with several workers keeps a journal for each process in folders below FOLDER: all of
    them are checked, each with the key of its name; a key without its journal is a fault.

    Without a key, the one stored beside a journal is used. Exit code 80: something is wrong. 81:
    nothing is known to be wrong, but there is no signed checkpoint to check against.
    """
    given = _given(keys, key_file)
    folders = collection.find(folder)
    progress = _progress()
    if given and (len(folders) > 1 or len(given) > 1):
        reports = collection.verify(folders, given, progress)
    else:
        key = given[0] if given else None
        reports = {path: _verified(path, key, progress) for path in folders}
        collection.find_copies(reports)
    if progress is not None:
        click.echo(_CLEAR, nl=False, err=True)
    _tell(folder, reports, output)
    if not all(report.verified for report in reports.values()):
        failed = any(report.fault is not None for report in reports.values())
        context.exit(VERIFICATION_FAILED if failed else UNVERIFIABLE)


def _verified(
    folder: Path, given: NoteKey | None, progress: Callable[[int, int], None] | None
) -> Report:
    """One journal, with the key that was given or with the one beside it."""
    key = _beside(folder) if given is None else given
    report = reader.verify(folder, key, progress)
    if given is None and key is not None:
        report.unchecked.append(
            f"the key: {checkpoints.VKEY} lies beside the log, which proves nothing about somebody "
            "who could replace both; give --key"
        )
    return report


def _tell(folder: Path, reports: Mapping[Path, Report], output: str) -> None:
    if len(reports) == 1:
        for report in reports.values():
            print_json(_as_json(report)) if output == "json" else _print(report)
        return
    named = {str(path.relative_to(folder)): report for path, report in reports.items()}
    if output == "json":
        results = {_result(report) for report in reports.values()}
        worst = next(word for word in ("failed", "unverifiable", "verified") if word in results)
        logs = {name: _as_json(report) for name, report in named.items()}
        print_json({"result": worst, "logs": logs})
        return
    for name, report in named.items():
        click.echo(f"{name}:")
        _print(report)
    click.echo(f"{len(reports)} journals; whether there were more was not checked")


@audit.command("tail", epilog="Example: epochgate audit tail /var/lib/epochgate/audit -n 50 -f")
@click.argument("folder", type=_FOLDER)
@click.option("-n", "count", type=click.IntRange(0, 1_000_000), default=20, show_default=True)
@click.option("-f", "follow", is_flag=True, help="Go on with what is appended.")
@_OUTPUT
def tail_(folder: Path, count: int, follow: bool, output: str) -> None:  # noqa: FBT001
    """Show the last records of the journal in FOLDER, unverified, one line each.

    With `-o json` the lines are the records themselves.
    """
    folders = collection.find(folder)
    if folder not in folders:
        names = ", ".join(path.name for path in folders)
        raise click.UsageError(f"{folder} has a journal for each process; name one of {names}")
    lines, position = tail.last(folder, count)
    for line in lines:
        _show(line, output)
    while follow:
        for line in tail.fresh(folder, position):
            _show(line, output)
        time.sleep(FOLLOW_S)


def _given(keys: Sequence[str], key_file: Path | None) -> list[NoteKey]:
    """The keys to verify with; none: those that lie beside the logs."""
    if keys and key_file is not None:
        raise click.UsageError("give --key or --key-file, not both")
    try:
        if key_file is not None:
            lines = key_file.read_bytes().splitlines() or [b""]
            return [checkpoints.parse_vkey(line) for line in lines]
        return [note.parse_key(key) for key in keys]
    except ProtocolError as error:
        raise _not_a_key(error, "--key" if keys else str(key_file)) from None


def _beside(folder: Path) -> NoteKey | None:
    try:
        return checkpoints.read_vkey(folder)
    except ProtocolError as error:
        raise _not_a_key(error, str(folder / checkpoints.VKEY)) from None


def _not_a_key(error: ProtocolError, where: str) -> CliError:
    return CliError(f"{error.detail}: {where}; expected name+id+base64 on one line", BAD_DATA)


def _progress() -> Callable[[int, int], None] | None:
    if not sys.stderr.isatty():
        return None
    return lambda records, size: click.echo(
        f"{_CLEAR}{records:,} records, {size / MB:,.0f} MB", nl=False, err=True
    )


def _as_json(report: Report) -> dict[str, object]:
    signed = report.checkpoint
    said: dict[str, object] = msgspec.to_builtins(report)
    said["checkpoint"] = signed and {
        "origin": signed.origin,
        "size": signed.size,
        "root": signed.root.hex(),
    }
    return {"result": _result(report), **said}


def _result(report: Report) -> str:
    if report.fault is not None:
        return "failed"
    return "verified" if report.verified else "unverifiable"


def _print(report: Report) -> None:
    size = f"{report.segments} segments, {report.bytes_read / MB:.1f} MB"
    click.echo(f"{_result(report)}: {report.records} records in {size}")
    fault = report.fault
    if fault is not None:
        index = "" if fault.index is None else f"record {fault.index}, "
        click.echo(f"  wrong        {index}{fault.where}: {_plain(fault.why)}")
    else:
        ends = ", ".join(f"{count} {kind}" for kind, count in report.ended.items())
        click.echo(f"  requests     {ends}")
    for line in report.checked:
        click.echo(f"  checked      {line}")
    for line in report.unchecked:
        click.echo(f"  not checked  {line}")


def _show(line: bytes, output: str) -> None:
    try:
        said = record.parse(line)
    except ProtocolError as error:
        click.echo(f"not a record: {_plain(error.detail)}", err=True)
        return
    click.echo(line if output == "json" else _plain(_line(said)))


def _line(said: Record) -> str:
    return " ".join([_time(said.ts), *_fields(said)])


def _time(wall_ms: int) -> str:
    try:
        when = datetime.fromtimestamp(wall_ms / 1000, UTC)
    except (ValueError, OverflowError):  # a count of milliseconds reaches beyond the year 9999
        return f"{wall_ms}ms"
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(said: Record) -> Iterator[str]:
    if isinstance(said, Outcome):
        yield f"outcome {said.outcome}"
        yield from _why(said.reason)
        yield f"status={said.status}"
        yield f"ms={said.dur_us / 1000:.1f}"
        yield f"id={said.decision_id}"
        return
    if isinstance(said, StateChange):
        yield said.type
        yield json.dumps(said.detail, sort_keys=True)
        return
    yield said.decision
    yield from _why(said.reason)
    yield f"{said.method or '-'} {said.path or '-'}"
    yield f"route={said.route or '-'}"
    yield f"rule={said.rule or '-'}"
    yield f"epoch={'-' if said.epoch is None else said.epoch.seq}"
    yield f"id={said.decision_id}"


def _why(code: str | None) -> Iterator[str]:
    if code is not None:
        known = BY_CODE.get(code)
        yield code if known is None else f"{code} {known.slug}"


def _plain(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()
