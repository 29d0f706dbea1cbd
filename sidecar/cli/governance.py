"""`epochgate governance`: what an authority wrote down, checked as a stranger would.

Nothing here trusts what it is handed: the checkpoint has to be signed by a log key of the trust
document, and every entry and every hash has to make its root.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from sidecar import clock
from sidecar.audit import published
from sidecar.authority import floors
from sidecar.cli import copies
from sidecar.cli.journals import plain, time_of
from sidecar.cli.peers import FILE, Choice, Where, load_trust, output_option
from sidecar.cli.text import (
    UNVERIFIABLE,
    USAGE,
    VERIFICATION_FAILED,
    CliError,
    print_json,
    table,
)
from sidecar.core import governed
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import Record, StateChange
from sidecar.core.objects.trust import LogHead, Role, Trust
from sidecar.core.reason import ProtocolError, Reason
from sidecar.sync.peer import Peer

DEFAULT_URL = "http://127.0.0.1:17013"
LOOKS, PAUSE_S = 20, 0.1  # the public files follow the log a moment later
SHOWN = 16  # characters of a digest or key id in a table

EXAMPLE = """\b
Example:
  epochgate governance log --url http://authority:17013 --trust trust.json
  epochgate governance verify --url http://authority:17013 --config authority.yaml
"""


@click.group(epilog=EXAMPLE)
def governance() -> None:
    """Show and verify an authority's own log: trust, epochs, halts, clears, conflicts."""


@dataclass(slots=True)
class Found:
    """What came of a check.

    Attributes:
        over: The checkpoint, once its signature was checked.
        key: Whose it is.
        records: Read so far.
        wrong: What is wrong; empty: nothing.
        unverifiable: Whether nothing could be checked.
        checked: What was, one line each.
    """

    over: Checkpoint | None = None
    key: NoteKey | None = None
    records: list[Record] = field(default_factory=list)
    wrong: str = ""
    unverifiable: bool = False
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @property
    def result(self) -> str:
        """One word."""
        if self.unverifiable:
            return "unverifiable"
        return "failed" if self.wrong else "verified"

    @property
    def status(self) -> int:
        """Exit status."""
        codes = {"verified": 0, "failed": VERIFICATION_FAILED, "unverifiable": UNVERIFIABLE}
        return codes[self.result]


def _source_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--url", help=f"Public port of the authority.  [default: {DEFAULT_URL}]"),
        click.option("--dir", "folder", type=click.Path(exists=True, file_okay=False,
                     path_type=Path), help="Instead: a folder with a copy of the files."),
        click.option("--trust", "trust_file", type=FILE, help="The trust document."),
        click.option("--config", type=FILE,
                     help="authority.yaml: compare with what beats on the peers say."),
        output_option,
    ):  # fmt: skip
        command = option(command)
    return command


@governance.command(epilog=EXAMPLE)
@_source_options
@click.pass_context
def log(context: click.Context, /, output: str, **said: Any) -> None:  # noqa: ANN401, click's options
    """List what was governed, oldest first, once it is verified.

    Exit code 80: something is wrong, and nothing is listed. 81: signed by no log key of the trust
    document.
    """
    found = _checked(**said)
    if found.status:
        click.echo(f"{found.result}: {plain(found.wrong)}; nothing is listed", err=True)
        context.exit(found.status)
    if output == "json":
        print_json({"log": _described(found), "entries": [_entry(one) for one in _entries(found)]})
        return
    headers = ("index", "time", "what", "number", "digest", "by", "about")
    table(headers, [_row(one) for one in _entries(found)])


@governance.command(epilog=EXAMPLE)
@_source_options
@click.pass_context
def verify(context: click.Context, /, output: str, **said: Any) -> None:  # noqa: ANN401, click's options
    """Check signature, entries, hashes and chain of the log; say what was not checked.

    Exit code 80: something is wrong. 81: signed by no log key of the trust document.
    """
    found = _checked(**said)
    if output == "json":
        print_json({"result": found.result, "wrong": found.wrong or None, "log": _described(found),
                    "checked": found.checked, "unchecked": found.unchecked})  # fmt: skip
    else:
        size = 0 if found.over is None else found.over.size
        click.echo(f"{found.result}: {size} records, {len(_entries(found))} of what governs")
        for label, lines in (
            ("wrong", [found.wrong] if found.wrong else []), ("checked", found.checked),
            ("not checked", found.unchecked),
        ):  # fmt: skip
            for line in lines:
                click.echo(f"  {label:<11}  {plain(line)}")
    context.exit(found.status)


def _checked(
    url: str | None, folder: Path | None, trust_file: Path | None, config: Path | None
) -> Found:
    if url is not None and folder is not None:
        raise click.UsageError("give --url or --dir, not both")
    if trust_file is None and config is None:
        raise CliError("trust document: none named; give --trust or --config", USAGE)
    where = None if config is None else Choice(trust_file, config, ()).where()
    trust = where.trust if where is not None else load_trust(trust_file)  # type: ignore[arg-type]
    heads = [] if where is None else _heads(where)
    fetch = copies.folder(folder) if folder is not None else copies.url(url or DEFAULT_URL)
    found = Found()
    try:
        _check(found, fetch, trust, heads if where is not None else None)
    except ProtocolError as error:
        found.unverifiable = error.reason is Reason.KEY_UNKNOWN and found.over is None
        found.wrong = str(error)
    return found


def _check(found: Found, fetch: published.Fetch, trust: Trust, heads: list[LogHead] | None) -> None:
    keys = {
        name: NoteKey(name, public)
        for key, public in trust.keys[Role.LOG].items()
        for name in (governed.origin(trust.domain, key),)
    }
    over, theirs = _caught_up(fetch, keys, heads)
    found.over, found.key = over, keys[over.origin]
    found.checked.append(
        f"the checkpoint of {over.origin} over {over.size} records is signed by its key, which has "
        f"role log in trust version {trust.version}"
    )
    roots: dict[int, str] = {}
    found.records += published.records(fetch, over, roots, {head.size for head in theirs})
    found.checked += [
        "the entries make the signed root, and each names the one before (RFC 6962, SHA-256)",
        "each tile of hashes is what the entries make",
    ]
    _check_heads(found, over, theirs, roots)
    if heads is None:
        found.unchecked.append("whether beats on the peers name this log: give --config")
    found.unchecked += [
        "the objects themselves: entries name them by digest",
        "whether the authority wrote everything down: a log shows what is in it",
        "whether the log shows everybody the same: nobody else has signed this checkpoint",
    ]


def _caught_up(
    fetch: published.Fetch, keys: Mapping[str, NoteKey], heads: list[LogHead] | None
) -> tuple[Checkpoint, list[LogHead]]:
    """A checkpoint that is as new as what beats said, and the heads of its own log among these."""
    looks = 0
    while True:
        over = published.signed(fetch(copies.CHECKPOINT), keys)
        theirs = [head for head in heads or () if head.origin == over.origin]
        looks += 1
        if looks == LOOKS or not any(head.size > over.size for head in theirs):
            return over, theirs
        time.sleep(PAUSE_S)


def _check_heads(
    found: Found, over: Checkpoint, heads: list[LogHead], roots: Mapping[int, str]
) -> None:
    for head in heads:
        if head.size > over.size:
            detail = f"a beat names {head.size} records of this log, it shows {over.size}"
            raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)
        if head.size and roots.get(head.size) != head.root:
            detail = f"a beat names another root over the first {head.size} records"
            raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)
    if heads:
        sizes = ", ".join(str(size) for size in sorted({head.size for head in heads}))
        found.checked.append(f"beats on the peers name roots of this very log, at {sizes} records")


def _heads(where: Where) -> list[LogHead]:
    """What the newest beats on the peers say about governance logs."""
    now = clock.now().wall

    async def job(peers: Sequence[Peer]) -> list[LogHead]:
        heard = [await floors.beats_on(peer, where.trust, now) for peer in peers]
        return [one.says.gov_log for beats in heard for one in beats]

    return list(dict.fromkeys(where.run(job)))


def _entries(found: Found) -> list[StateChange]:
    return [
        one for one in found.records if isinstance(one, StateChange) and one.type in governed.KINDS
    ]


def _described(found: Found) -> dict[str, object] | None:
    over = found.over
    if over is None:
        return None
    return {
        "origin": over.origin,
        "size": over.size,
        "root": over.root.hex(),
        "vkey": str(found.key),
    }


def _entry(one: StateChange) -> dict[str, object]:
    return {"index": one.seq, "ts": one.ts, "type": one.type, **one.detail}


def _row(one: StateChange) -> list[object]:
    detail = one.detail
    by = detail.get("by") or ()
    assert isinstance(by, list | tuple), "verified: an authority wrote it"
    return [
        one.seq, time_of(one.ts), one.type, detail.get("number"),
        " ".join(str(part)[:SHOWN] for part in _digests(detail.get("sha256"))),
        " ".join(str(key)[:SHOWN] for key in by) or None, plain(_about(detail)) or None,
    ]  # fmt: skip


def _digests(said: object) -> Iterator[object]:
    if isinstance(said, list | tuple):
        yield from said
    else:
        yield said


def _about(detail: Mapping[str, object]) -> str:
    parts = [detail.get("what"), detail.get("id")]
    scope = detail.get("scope")
    if isinstance(scope, dict):
        parts.append(":".join(str(scope[name]) for name in ("kind", "value") if scope.get(name)))
    if detail.get("clears"):
        parts.append(f"ends {detail['clears']}")
    parts.append(detail.get("reason"))
    return " ".join(str(part) for part in parts if part)
