"""Which figures are drawn: CPU by proxy, latencies, event streams, memory."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import svg
from benchmarks.figures import PERCENTS, name_of

FOLDER = Path(__file__).parent / "plots"
OURS = "epochgate"

Document = Mapping[str, Any]
Documents = Mapping[str, Document]


def write(found: Documents, folder: Path = FOLDER) -> list[str]:
    """Draw what there are results for; names of the files."""
    folder.mkdir(exist_ok=True)
    names = []
    for name, plot in PLOTS.items():
        text = plot(found)
        if text is not None:
            (folder / name).write_text(text)
            names.append(name)
    return names


def _cpu(found: Documents) -> str | None:
    wanted = (
        ("proxy", "full", "64 connections, at the limit"),
        ("proxy", "steady", "1,000 requests per second"),
        ("proxy", "one", "one connection"),
        ("fresh", "full", "a new connection for each request"),
    )
    panels = [
        _bars(found[name], f"{load}: CPU, µs per request", f"{title}: µs per request")
        for name, load, title in wanted
        if name in found
    ]
    return _drawing("CPU time per request, by proxy", found.get("proxy"), panels, 2)


def _latency(found: Documents) -> str | None:
    wanted = (
        ("proxy", "steady: ", "kept connections, 1,000 requests/s: µs"),
        ("fresh", "steady: ", "a new connection each, 500 requests/s: µs"),
    )
    panels = [_spread(found[name], *rest) for name, *rest in wanted if name in found]
    return _drawing("Latency from when a request was due", found.get("proxy"), panels, 2)


def _events(found: Documents) -> str | None:
    if "events" not in found:
        return None
    one = found["events"]
    panels: list[svg.Panel | None] = [
        _bars(one, "events: CPU, µs per event", "CPU: µs per event"),
        _bars(one, f"events: first byte: {name_of(50)}", "first byte, median: µs"),
        _spread(one, "events: delay: ", "from service to client, each event: µs"),
        _spread(one, "events: gap: ", "between two events, sent 2 ms apart: µs"),
    ]
    return _drawing("Server-sent events, 16 streams, an event each 2 ms", one, panels, 2)


def _memory(found: Documents) -> str | None:
    panels: list[svg.Panel | None] = []
    if "bulk" in found:
        panels.append(_over_time(found["bulk"]))
    if "idle" in found:
        figure = "memory, KiB per connection"
        panels.append(_bars(found["idle"], figure, "each idle connection: KiB"))
    return _drawing("Resident memory, by proxy", found.get("bulk"), panels, 2)


def _over_time(one: Document) -> svg.Panel | None:
    lines = {
        name: series["memory, MiB"]
        for name, series in one.get("series", {}).items()
        if name in svg.COLOURS
    }
    if not lines:
        return None
    marks = svg.steps(max(points[-1][0] for points in lines.values()))
    below = f"seconds, while {3 * one['options']['mib']} MiB go up, then as many down"
    return svg.Lines("MiB over time", below, [(mark, svg.number(mark)) for mark in marks], lines)


def _bars(one: Document, figure: str, title: str) -> svg.Panel | None:
    rows = [
        (name, found["median"], found["min"], found["max"])
        for name in one["contestants"]
        if (found := one["summary"].get(f"{name}: {figure}")) is not None
    ]
    return svg.Bars(title, rows) if rows else None


def _spread(one: Document, prefix: str, title: str) -> svg.Panel | None:
    """Percentiles as lines, evenly spaced."""
    lines = {}
    for name in one["contestants"]:
        points = [
            (float(place), one["summary"][key]["median"])
            for place, percent in enumerate(PERCENTS)
            if (key := f"{name}: {prefix}{name_of(percent)}") in one["summary"]
        ]
        if points:
            lines[name] = points
    if not lines:
        return None
    ticks = [(float(place), f"{percent:g}") for place, percent in enumerate(PERCENTS)]
    return svg.Lines(title, "percentile", ticks, lines, log=True)


def _drawing(
    title: str, one: Document | None, panels: Sequence[svg.Panel | None], columns: int
) -> str | None:
    there = [panel for panel in panels if panel is not None]
    if one is None or not there:
        return None
    on, rounds = one["machine"], one["options"]["rounds"]
    source = (
        f"{one['date'][:10]}; {on['cpu']}, {on['cores']} cores, "
        f"Linux {on['kernel'].split('-')[0]}, Python {on['python']}, "
        f"epochgate {one['versions']['epochgate']}; "
        + (f"median and range of {rounds} rounds" if rounds > 1 else "one round")
    )
    return svg.drawing(title, source, there, columns)


PLOTS: dict[str, Callable[[Documents], str | None]] = {
    "cpu.svg": _cpu,
    "latency.svg": _latency,
    "events.svg": _events,
    "memory.svg": _memory,
}
