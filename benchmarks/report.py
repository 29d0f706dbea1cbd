"""Writes the tables of README.md from the newest results; no figure there is typed by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import figures

README = Path(__file__).parent / "README.md"
MARK = "<!-- {name}: {where} of the table, written by `python -m benchmarks report` -->"
PROXY_COLUMNS = (  # header, figure
    ("full: CPU µs", "full: CPU, µs per request"),
    ("req/s", "full: per second"),
    ("p50 µs", "full: p50, µs"),
    ("p99 µs", "full: p99, µs"),
    ("steady: CPU µs", "steady: CPU, µs per request"),
    ("p50 µs", "steady: p50, µs"),
    ("p99 µs", "steady: p99, µs"),
    ("one: CPU µs", "one: CPU, µs per request"),
    ("p50 µs", "one: p50, µs"),
    ("idle CPU ms/s", "idle CPU, ms per s"),
    ("idle MiB", "idle memory, MiB"),
)
SMALL = 100  # from here on no decimals


def write() -> None:
    """Replace what is between the marks."""
    text = README.read_text()
    for name, table in (("decide", _decide), ("proxy", _proxy)):
        document = figures.newest(name)
        if document is None:
            click.echo(f"no result of {name} yet", err=True)
            continue
        begin, end = (MARK.format(name=name, where=where) for where in ("begin", "end"))
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        if not rest or not after:
            raise click.ClickException(f"{README.name}: no marks for {name}")
        tables = "\n\n".join([_source(document), table(document), _targets(document)])
        text = f"{before}{begin}\n\n{tables}\n\n{end}{after}"
    README.write_text(text)


def _source(document: dict[str, Any]) -> str:
    on, load = document["machine"], document["load"]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    memory = on["memory_kib"] / 1024**2
    return (
        f"{document['date']}; {document['options']['rounds']} rounds; {on['cpu']}, "
        f"{on['cores']} cores, {memory:.0f} GiB, Linux {on['kernel']}, Python {on['python']}; "
        f"load average before {load['before'][0]}, after {load['after'][0]}.\n{versions}."
    )


def _decide(document: dict[str, Any]) -> str:
    rows = [
        (name, f"{found['median']:,.0f}", f"{found['min']:,.0f} to {found['max']:,.0f}")
        for name, found in document["summary"].items()
        if name != "growth"
    ]
    return _table(("ns per call", "median", "range"), rows)


def _proxy(document: dict[str, Any]) -> str:
    found = document["summary"]
    rows = [
        (name, *(_cell(found.get(f"{name}: {figure}")) for _, figure in PROXY_COLUMNS))
        for name in document["contestants"]
    ]
    skipped = "".join(f"\n\nSkipped: {name}: {why}." for name, why in document["skipped"].items())
    failed = "".join(f"\n\nNot counted: {said}." for said in document["failures"])
    return "\n\n".join([
        _table(("", *(header for header, _ in PROXY_COLUMNS)), rows) + skipped + failed,
        "CPU of epochgate as a multiple of theirs, computed within each round:",
        _ratios(document),
    ])  # fmt: skip


def _ratios(document: dict[str, Any]) -> str:
    found = document["summary"]
    others = [name for name in document["contestants"] if name not in ("direct", "epochgate")]
    loads = ("full", "steady", "one")
    rows = [
        (name, *(_spread(found.get(f"ratio: {load}: CPU against {name}")) for load in loads))
        for name in others
    ]
    return _table(("against", *loads), rows)


def _targets(document: dict[str, Any]) -> str:
    rows = [
        (
            one["number"], one["what"], *(f"{one[key]:g} {one['unit']}" for key in
            ("limit", "stretch")), f"{one['measured']:.2f} {one['unit']}", one["verdict"],
        )
        for one in document["targets"]
    ]  # fmt: skip
    return _table(("target", "figure", "at most", "stretch", "measured", ""), rows)


def _cell(found: dict[str, float] | None) -> str:
    if found is None:
        return "-"
    median = found["median"]
    return f"{median:,.0f}" if median >= SMALL else f"{median:.1f}"


def _spread(found: dict[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{found['median']:.2f} ({found['min']:.2f} to {found['max']:.2f})"


def _table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
