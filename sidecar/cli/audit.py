"""`epochgate audit`: verify a journal, and read its end.

Nothing here trusts what it reads: `verify` says what it checked and what it could not, and every
field of a record is shown with its control characters spelled out.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import msgspec

from sidecar.audit import checkpoints, collection, prover, reader, tail
from sidecar.audit.prover import NotYetError, PrunedError
from sidecar.audit.reader import Report
from sidecar.cli import witnesses
from sidecar.cli.journals import (
    CLEAR,
    FOLDER,
    KEY_FILE,
    KEYS,
    MB,
    OUTPUT,
    beside,
    given,
    key_of,
    line_of,
    plain,
    progress_of,
)
from sidecar.cli.lineage import lineage
from sidecar.cli.proof import get
from sidecar.cli.query import query, stats
from sidecar.cli.text import (
    UNAVAILABLE,
    UNVERIFIABLE,
    VERIFICATION_FAILED,
    CliError,
    print_json,
)
from sidecar.core.log import record
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError

FOLLOW_S = 0.25


@click.group(epilog="Example: epochgate audit verify /var/lib/epochgate/audit")
def audit() -> None:
    """Verify audit records and read them."""


audit.add_command(query)
audit.add_command(stats)
audit.add_command(lineage)
audit.add_command(witnesses.policy)
audit.add_command(get, "prove")  # where people look for it, too


@audit.command(
    epilog="Example: epochgate audit verify /var/lib/epochgate/audit --key-file log.vkey"
)
@click.argument("folder", type=FOLDER)
@KEYS
@KEY_FILE
@OUTPUT
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
    known = given(keys, key_file)
    folders = collection.find(folder)
    progress = progress_of()
    if known and (len(folders) > 1 or len(known) > 1):
        reports = collection.verify(folders, known, progress)
    else:
        key = known[0] if known else None
        reports = {path: _verified(path, key, progress) for path in folders}
        collection.find_copies(reports)
    if progress is not None:
        click.echo(CLEAR, nl=False, err=True)
    _tell(folder, reports, output)
    if not all(report.verified for report in reports.values()):
        failed = any(report.fault is not None for report in reports.values())
        context.exit(VERIFICATION_FAILED if failed else UNVERIFIABLE)


def _verified(
    folder: Path, given: NoteKey | None, progress: Callable[[int, int], None] | None
) -> Report:
    """One journal, with the key that was given or with the one beside it."""
    key = beside(folder) if given is None else given
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
@click.argument("folder", type=FOLDER)
@click.option("-n", "count", type=click.IntRange(0, 1_000_000), default=20, show_default=True)
@click.option("-f", "follow", is_flag=True, help="Go on with what is appended.")
@OUTPUT
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


@audit.command(epilog="Example: epochgate audit export /var/lib/epochgate/audit /srv/www/log")
@click.argument("folder", type=FOLDER)
@click.argument("to", type=click.Path(file_okay=False, path_type=Path))
@KEYS
@KEY_FILE
def export(folder: Path, to: Path, keys: tuple[str, ...], key_file: Path | None) -> None:
    """Copy the journal in FOLDER to TO as the static files of C2SP tlog-tiles.

    Any web server can hand them out, and programs that know the format check them. Done again, the
    copy grows with the log. A journal for each process makes a folder for each.

    Records after the newest checkpoint are not copied: nobody has signed them yet. A journal whose
    oldest records were pruned cannot be copied any more: copy before that, and keep the copies.
    """
    known = given(keys, key_file)
    folders = collection.find(folder)
    for journal in folders:
        key = key_of(journal, known)
        place = to if len(folders) == 1 else to / journal.name
        try:
            made = prover.export(journal, place, key, progress_of())
        except NotYetError as error:
            raise CliError(f"not exported: {journal}: {error}", UNAVAILABLE) from None
        except PrunedError as error:
            how = "tiles hold a whole log; keep a copy from before, and the segments that are left"
            raise CliError(f"not exported: {journal}: {error}; {how}", UNVERIFIABLE) from None
        except ProtocolError as error:
            raise CliError(f"not exported: {journal}: {error}", VERIFICATION_FAILED) from None
        click.echo(f"{made.size} records of {made.origin}: {place}")


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
        click.echo(f"  wrong        {index}{fault.where}: {plain(fault.why)}")
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
        click.echo(f"not a record: {plain(error.detail)}", err=True)
        return
    click.echo(line if output == "json" else line_of(said))
