"""Writes tables and plots of README.md from the newest results; no figure is typed by hand."""

from pathlib import Path

import click

from benchmarks import figures, plots, tables

README = Path(__file__).parent / "README.md"
MARK = "<!-- {name}: {where}, written by `python -m benchmarks report` -->"
NONE_YET = "Not measured yet."
SHOWS = {
    "cpu.svg": "CPU time per request of each proxy, in four loads",
    "latency.svg": "Percentiles of latency of each proxy",
    "events.svg": "CPU per event, first byte, delay and gap of server-sent events, by proxy",
    "memory.svg": "Resident memory of each proxy over time, and for each idle connection",
}


def write(readme: Path = README, results: Path = figures.RESULTS) -> None:
    """Draw the plots, and replace what is between the marks."""
    newest = {name: figures.newest(name, results) for name in tables.SECTIONS}
    found = {name: document for name, document in newest.items() if document is not None}
    drawn = plots.write(found, readme.parent / plots.FOLDER.name)
    images = [f"![{SHOWS[name]}]({plots.FOLDER.name}/{name})" for name in drawn]
    text = readme.read_text()
    text = _put(text, "targets", tables.aims(found))
    text = _put(text, "plots", "\n\n".join(images) or NONE_YET)
    for name, table in tables.SECTIONS.items():
        document = found.get(name)
        said = NONE_YET if document is None else f"{tables.source(document)}\n\n{table(document)}"
        text = _put(text, name, said)
    readme.write_text(text)


def _put(text: str, name: str, said: str) -> str:
    begin, end = (MARK.format(name=name, where=where) for where in ("begin", "end"))
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise click.ClickException(f"README.md: no marks for {name}")
    return f"{before}{begin}\n\n{said}\n\n{end}{after}"
