"""`epochgate evidence`: the contradictions that a sidecar holds the gate for, and what proves them.

It reads the marks of a sidecar, so it works on the node of a quarantined pod, on a copy of its
state folder, and while the sidecar is down. What it prints anybody can check: two envelopes, each
signed by a key of the fleet, that cannot both be true.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from sidecar.cli import text
from sidecar.cli.document import SHORT, moment
from sidecar.cli.text import CliError
from sidecar.config import read
from sidecar.core import canonical, envelope, marks
from sidecar.core.marks import DIGEST_LINE, Latch, Marks
from sidecar.core.objects import halt
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.reason import BY_CODE, ProtocolError
from sidecar.sync.store import FILE as MARKS_FILE

ENVELOPE_MAX_BYTES = 64 * 1024  # of the largest object that can contradict another

EXAMPLE = """\b
Example:
  epochgate evidence --config sidecar.yaml
  epochgate evidence --state /var/lib/epochgate --out evidence
"""


@click.command(epilog=EXAMPLE)
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="sidecar.yaml.")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Its state.dir.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Folder to write the envelopes to, one file each.")  # fmt: skip
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table",
              help="Form of output.")  # fmt: skip
def evidence(config: Path | None, state: Path | None, out: Path | None, output: str) -> None:
    """Show the contradictions that a sidecar keeps: what they prove, and both envelopes of each.

    A latched hold ends only with a clear that names its evidence:
    epochgate clear EVIDENCE, signed by a threshold of resume keys.
    """
    kept = _load(_folder(config, state) / MARKS_FILE)
    cleared = NO_HALTS.union(halt.reread(raw.encode()) for raw in kept.halts).cleared
    found = [_described(latch, cleared=latch.evidence in cleared) for latch in kept.latches]
    if out is not None:
        _write(out, kept.latches)
    if output == "json":
        text.print_json(found)
        return
    if not found:
        click.echo("no contradiction is kept: nothing is quarantined")
        return
    text.table(["evidence", "reason", "cleared", "object", "signed by"], _rows(found))
    if out is not None:
        click.echo(f"\nwritten: {2 * len(found)} envelopes in {out}")


def _folder(config: Path | None, state: Path | None) -> Path:
    if (config is None) == (state is None):
        raise CliError("evidence: whose? give --config sidecar.yaml or --state DIR", text.USAGE)
    if config is not None:
        return read.read_sidecar(config, os.environ).config.state_dir
    assert state is not None, "one of the two"
    return state


def _load(path: Path) -> Marks:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise CliError(
            f"marks: {path}: there are none; has this sidecar run with that state.dir?",
            text.BAD_DATA,
        ) from None
    try:
        domain = canonical.load(raw[DIGEST_LINE:], Marks, marks.MAX_BYTES).domain
        return marks.decode(raw, domain)
    except ProtocolError as error:
        raise CliError(
            f"marks: {path}: {error}; keep the file as it is", text.VERIFICATION_FAILED
        ) from None


def _described(latch: Latch, *, cleared: bool) -> dict[str, Any]:
    return {
        "evidence": latch.evidence,
        "reason": latch.reason,
        "title": BY_CODE[latch.reason].title,
        "cleared": cleared,
        "objects": [_object(raw.encode()) for raw in latch.envelopes],
    }


def _object(raw: bytes) -> dict[str, Any]:
    """One side of a contradiction: what it is, what it says of itself, and the envelope."""
    sealed = envelope.parse(raw, ENVELOPE_MAX_BYTES)
    said = canonical.parse(sealed.unverified_payload, ENVELOPE_MAX_BYTES)
    body = said if isinstance(said, Mapping) else {}
    inner = body.get("predicate", body)
    assert isinstance(inner, Mapping), "it was verified before it was kept"
    return {
        "type": sealed.payload_type.removeprefix("application/vnd."),
        "sha256": canonical.digest(sealed.unverified_payload),
        "seq": inner.get("seq", inner.get("version")),
        "issued_at": inner.get("issued_at"),
        "epoch": inner.get("epoch"),
        "signed_by": [key for key, _ in sealed.signatures],
        "envelope": raw.decode(),
    }


def _rows(found: list[dict[str, Any]]) -> Iterator[list[object]]:
    for item in found:
        for index, one in enumerate(item["objects"]):
            named = [item["evidence"], item["reason"], "yes" if item["cleared"] else "no"]
            vouched = f", epoch {one['epoch']['seq']} {one['epoch']['sha256'][:SHORT]}"
            yield [
                *(named if index == 0 else ["", "", ""]),
                f"{one['type']} {one['seq']} {one['sha256'][:SHORT]}"
                f"{vouched if one['epoch'] else ''}, {moment(one['issued_at'])}",
                " ".join(key[:SHORT] for key in one["signed_by"]),
            ]


def _write(out: Path, latches: tuple[Latch, ...]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for latch in latches:
        for number, raw in enumerate(latch.envelopes, start=1):
            (out / f"{latch.evidence}-{number}.json").write_text(raw)
