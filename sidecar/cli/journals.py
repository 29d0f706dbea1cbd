"""What commands about audit journals share: their options, keys, progress, and a record as a line.

Every field of a record is shown with its control characters spelled out.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from sidecar.audit import checkpoints, collection
from sidecar.cli.text import BAD_DATA, UNVERIFIABLE, CliError
from sidecar.core.log import note
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import Outcome, Record, StateChange
from sidecar.core.reason import BY_CODE, ProtocolError

MB = 1_000_000
CLEAR = "\r\x1b[K"  # back to the start of the line, and empty it

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUTPUT = click.option("-o", "output", type=click.Choice(["text", "json"]), default="text")


KEYS = click.option("--key", "keys", multiple=True, help="Verifier key of the log: name+id+base64.")
KEY_FILE = click.option("--key-file", type=FILE, help="File that holds it; one key per line.")


def key_of(journal: Path, known: Sequence[NoteKey]) -> NoteKey:
    """The key of a log among those that were given; where none was, the one beside it."""
    name = collection.says_it_is(journal)
    key = next((one for one in known if one.name == name), None) if known else beside(journal)
    if key is None:
        raise CliError(f"no key: {journal} is the log {name or '?'}; give --key", UNVERIFIABLE)
    return key


def given(keys: Sequence[str], key_file: Path | None) -> list[NoteKey]:
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


def beside(folder: Path) -> NoteKey | None:
    """The key that lies beside a log, or None."""
    try:
        return checkpoints.read_vkey(folder)
    except ProtocolError as error:
        raise _not_a_key(error, str(folder / checkpoints.VKEY)) from None


def _not_a_key(error: ProtocolError, where: str) -> CliError:
    return CliError(f"{error.detail}: {where}; expected name+id+base64 on one line", BAD_DATA)


def progress_of() -> Callable[[int, int], None] | None:
    """Shows records and bytes on one line of a terminal; None where there is none."""
    if not sys.stderr.isatty():
        return None
    return lambda records, size: click.echo(
        f"{CLEAR}{records:,} records, {size / MB:,.0f} MB", nl=False, err=True
    )


def line_of(said: Record) -> str:
    """One line about a record, safe for a terminal."""
    return plain(_line(said))


def _line(said: Record) -> str:
    return " ".join([time_of(said.ts), *_fields(said)])


def time_of(wall_ms: int) -> str:
    """A time of a record, in UTC."""
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
    if isinstance(said.clause, str):
        yield f"clause={said.clause}"
    yield f"epoch={'-' if said.epoch is None else said.epoch.seq}"
    yield f"id={said.decision_id}"
    if said.parent_id is not None:
        yield f"parent={said.parent_id}"


def _why(code: str | None) -> Iterator[str]:
    if code is not None:
        known = BY_CODE.get(code)
        yield code if known is None else f"{code} {known.slug}"


def plain(text: str) -> str:
    """A text with its control characters spelled out."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
