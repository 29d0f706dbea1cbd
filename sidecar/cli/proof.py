"""`epochgate proof`: one record as evidence that anybody can check, offline."""

from pathlib import Path

import click
import msgspec

from sidecar import clock
from sidecar.audit import collection, grounds, prover
from sidecar.audit.prover import NotYetError, Proved
from sidecar.cli.journals import (
    FILE,
    FOLDER,
    KEY_FILE,
    KEYS,
    OUTPUT,
    given,
    key_of,
    line_of,
    progress_of,
)
from sidecar.cli.text import (
    BAD_DATA,
    UNAVAILABLE,
    UNVERIFIABLE,
    VERIFICATION_FAILED,
    CliError,
    print_json,
)
from sidecar.core.grounds import Findings, check
from sidecar.core.log import bundle, record
from sidecar.core.log.bundle import Bundle
from sidecar.core.log.grounds import NOTHING
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import Decision
from sidecar.core.objects import trust
from sidecar.core.objects.trust import Trust
from sidecar.core.reason import ProtocolError, Reason

NO_TRUST = "what the decision rested on: no trust document was given (--trust)"
NOT_CHECKED = (
    "whether the log shows everybody the same records: nobody else has signed this checkpoint",
)


@click.group(
    epilog="Example: epochgate proof get /var/lib/epochgate/audit 9f3c0a11b2d4e5f6-17 -O proof.json"
)
def proof() -> None:
    """Hand out one record of an audit log with its proof, and check what was handed out."""


@proof.command(epilog="Example: epochgate proof get /var/lib/epochgate/audit 17 -O proof.json")
@click.argument("folder", type=FOLDER)
@click.argument("which")
@click.option("-O", "out", type=click.Path(dir_okay=False, path_type=Path), help="Else stdout.")
@click.option("--plain", is_flag=True, help="Only the .tlog-proof, for other programs.")
@KEYS
@KEY_FILE
def get(
    folder: Path,
    which: str,
    out: Path | None,
    plain: bool,  # noqa: FBT001
    keys: tuple[str, ...],
    key_file: Path | None,
) -> None:
    """Prove the record WHICH of the audit log in FOLDER: a decision id, or an index.

    A client finds the decision id in the answer to its request. A record can be proved as soon as a
    checkpoint covers it, a second after it was written at the latest.
    """
    journal, index = _find(folder, which)
    key = key_of(journal, given(keys, key_file))
    made = _proved(journal, index, key)
    said = record.parse(made.record)
    rested_on = NOTHING
    if isinstance(said, Decision) and not plain:
        rested_on = grounds.gather(collection.find(folder), said)
    if not which.isdecimal() and getattr(said, "decision_id", None) != which:
        raise CliError(f"no such decision: {which}; record {index} of {journal} is another")
    content = made.proof.text() if plain else bundle.make(made.record, made.proof, rested_on)
    if out is None:
        click.echo(content, nl=False)
        return
    out.write_bytes(content)
    click.echo(f"record {index} of {made.checkpoint.size}, log {made.checkpoint.origin}: {out}")


def _proved(journal: Path, index: int, key: NoteKey) -> Proved:
    try:
        return prover.prove(journal, index, key, progress_of())
    except NotYetError as error:
        raise CliError(f"not proved yet: {error}; try again in a second", UNAVAILABLE) from None
    except ProtocolError as error:
        raise CliError(f"not proved: {journal}: {error}", VERIFICATION_FAILED) from None


def _find(folder: Path, which: str) -> tuple[Path, int]:
    """The journal that holds a record, and its index there."""
    journals = collection.find(folder)
    boot, _, digits = which.rpartition("-")
    if not digits.isdecimal() or len(digits) > len(str(2**53)):
        raise click.UsageError(f"{which}: neither a decision id (boot-index) nor an index")
    if not boot and len(journals) > 1:
        names = ", ".join(path.name for path in journals)
        raise click.UsageError(f"{folder} has several journals; name one of {names}, or an id")
    holding = [path for path in journals if not boot or collection.has_boot(path, boot)]
    if not holding:
        raise CliError(f"no such decision: {which}: no journal in {folder} knows boot {boot}")
    return holding[0], int(digits)


@proof.command(epilog="Example: epochgate proof verify proof.json --key-file log.vkey")
@click.argument("file", type=FILE)
@KEYS
@KEY_FILE
@click.option(
    "--trust",
    "trust_file",
    type=FILE,
    help="A trust document of the domain, as pods pin it: what the decision rested on is "
    "checked, too.",
)
@click.option("--receipt", help="x-epochgate-receipt of an answer: the proof must be of that one.")
@OUTPUT
@click.pass_context
def verify(
    context: click.Context,
    *,
    file: Path,
    keys: tuple[str, ...],
    key_file: Path | None,
    trust_file: Path | None,
    receipt: str | None,
    output: str,
) -> None:
    """Check the proof in FILE with nothing but the key of the log; say what was not checked.

    Exit code 80: something is wrong. 81: no key of that log was given.
    """
    known = {key.name: key for key in given(keys, key_file)}
    pinned = None if trust_file is None else _pinned(trust_file)
    held = _read(file)
    checked: list[str] = []
    unchecked = [*NOT_CHECKED]
    result, wrong = "verified", ""
    try:
        checked = bundle.check(held, known)
        if receipt is not None:
            checked.append(_receipted(held, receipt))
        found = _rested_on(held, pinned)
        checked += found.checked
        unchecked += found.unchecked
    except ProtocolError as error:
        unknown = error.reason is Reason.KEY_UNKNOWN
        result, wrong = ("unverifiable" if unknown else "failed"), str(error)
    if output == "json":
        print_json({"result": result, "wrong": wrong or None, "checked": checked,
                    "unchecked": unchecked, **_described(held)})  # fmt: skip
    else:
        click.echo(f"{result}: {line_of(held.says)}")
        for label, lines in (
            ("wrong", [wrong] if wrong else []), ("checked", checked), ("not checked", unchecked),
        ):  # fmt: skip
            for line in lines:
                click.echo(f"  {label:<11}  {line}")
    context.exit({"verified": 0, "failed": VERIFICATION_FAILED}.get(result, UNVERIFIABLE))


@proof.command(epilog="Example: epochgate proof inspect proof.json")
@click.argument("file", type=FILE)
@OUTPUT
def inspect(file: Path, output: str) -> None:
    """Show what FILE says, without checking any of it."""
    held = _read(file)
    if output == "json":
        print_json(_described(held))
        return
    click.echo(f"log     {held.claims.origin}, {held.claims.size} records")
    click.echo(f"index   {held.proof.index}, {len(held.proof.hashes)} hashes to the root")
    click.echo(f"record  {line_of(held.says)}")
    click.echo("nothing of this was checked; see: epochgate proof verify")


def _pinned(file: Path) -> Trust:
    try:
        return trust.parse(file.read_bytes(), clock.now().wall)
    except ProtocolError as error:
        raise CliError(f"not a trust document: {file}: {error.detail}", BAD_DATA) from None


def _receipted(held: Bundle, receipt: str) -> str:
    """What holds of a receipt.

    Raises:
        ProtocolError: it is of another record, or of another log.
    """
    origin, _, rest = receipt.strip().partition(" ")
    if (origin, rest) == (held.claims.origin, held.receipt):
        return "the receipt is of this very record"
    detail = (
        f"the receipt is for {origin} {rest}, the proof for {held.claims.origin} {held.receipt}"
    )
    raise ProtocolError(Reason.AUDIT_INCONSISTENT, detail)


def _rested_on(held: Bundle, pinned: Trust | None) -> Findings:
    if not isinstance(held.says, Decision):
        return Findings([], [])
    if pinned is None:
        return Findings([], [NO_TRUST])
    return check(held.says, held.grounds, pinned)


def _described(held: Bundle) -> dict[str, object]:
    return {
        "log": {"origin": held.claims.origin, "size": held.claims.size},
        "index": held.proof.index,
        "record": msgspec.to_builtins(held.says),
    }


def _read(file: Path) -> Bundle:
    try:
        with file.open("rb") as stream:
            return bundle.parse(stream.read(bundle.MAX_BYTES + 1))
    except ProtocolError as error:
        raise CliError(f"not a proof: {file}: {error.detail}", BAD_DATA) from None
