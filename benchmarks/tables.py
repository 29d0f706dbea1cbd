"""The tables of README.md, in Markdown, each from one result."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import targets
from benchmarks.figures import Target

SMALL = 100  # from here on no decimals
OURS = "epochgate"
Document = Mapping[str, Any]
Columns = tuple[tuple[str, str], ...]  # header, figure

COLUMNS: dict[str, Columns] = {
    "proxy": (
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
    ),
    "fresh": (
        ("full: CPU µs", "full: CPU, µs per request"),
        ("req/s", "full: per second"),
        ("steady: CPU µs", "steady: CPU, µs per request"),
        ("p50 µs", "steady: p50, µs"),
        ("p99 µs", "steady: p99, µs"),
    ),
    "events": (
        ("CPU µs per event", "events: CPU, µs per event"),
        ("first byte p50 µs", "events: first byte: p50, µs"),
        ("p99 µs", "events: first byte: p99, µs"),
        ("delay p50 µs", "events: delay: p50, µs"),
        ("p99 µs", "events: delay: p99, µs"),
        ("gap p50 µs", "events: gap: p50, µs"),
        ("p99 µs", "events: gap: p99, µs"),
    ),
    "bulk": (
        ("up: MiB/s", "up: throughput, MiB/s"),
        ("CPU µs per MiB", "up: CPU, µs per MiB"),
        ("down: MiB/s", "down: throughput, MiB/s"),
        ("CPU µs per MiB", "down: CPU, µs per MiB"),
        ("growth of memory, MiB", "growth of memory, MiB"),
    ),
    "idle": (
        ("KiB per connection", "memory, KiB per connection"),
        ("MiB before", "memory before, MiB"),
        ("MiB with them", "memory with them, MiB"),
        ("idle CPU ms/s", "idle CPU, ms per s"),
    ),
}
HOSTILE: Columns = (
    ("good p50 µs", "good p50, µs"),
    ("p99 µs", "good p99, µs"),
    ("failed", "good, failed"),
    ("CPU ms/s", "CPU of proxy, ms per s"),
    ("attacker's", "CPU of attacker, ms per s"),
    ("MiB before", "memory before, MiB"),
    ("at most", "memory at most, MiB"),
    ("descriptors", "descriptors at most"),
)
RATIOS: dict[str, Columns] = {
    "proxy": (
        ("full: CPU", "full: CPU"),
        ("steady: CPU", "steady: CPU"),
        ("one: CPU", "one: CPU"),
        ("one: p50", "one: p50"),
    ),
    "fresh": (
        ("full: CPU", "full: CPU"),
        ("steady: CPU", "steady: CPU"),
        ("steady: p50", "steady: p50"),
    ),
    "events": (("CPU", "events: CPU"), ("delay p99", "events: delay p99")),
    "bulk": (
        ("up: throughput", "up: throughput"),
        ("up: CPU", "up: CPU"),
        ("down: throughput", "down: throughput"),
        ("down: CPU", "down: CPU"),
    ),
    "idle": (("memory", "memory"),),
}


def source(document: Document) -> str:
    """When, on what, with which versions."""
    on, load = document["machine"], document["load"]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    memory = on["memory_kib"] / 1024**2
    return (
        f"{document['date']}; {document['options']['rounds']} rounds; {on['cpu']}, "
        f"{on['cores']} cores, {memory:.0f} GiB, Linux {on['kernel']}, Python {on['python']}; "
        f"load average before {load['before'][0]}, after {load['after'][0]}.\n{versions}."
    )


def decide(document: Document) -> str:
    """What each step takes in process."""
    return _medians("ns per call", document)


def simulate(document: Document) -> str:
    """How fast the simulation runs."""
    return _medians(document["unit"], document)


def _medians(unit: str, document: Document) -> str:
    rows = [
        (name, f"{found['median']:,.0f}", f"{found['min']:,.0f} to {found['max']:,.0f}")
        for name, found in document["summary"].items()
        if name != "growth"
    ]
    return table((unit, "median", "range"), rows)


def fleetbeat(document: Document) -> str:
    """What a fleet costs its authority."""
    options = document["options"]
    return _plain(f"{options['instances']} instances, {options['peers']} peers", document)


def audit(document: Document) -> str:
    """What the log costs out of band, and whoever checks it."""
    return _plain(f"{document['options']['records']:,} records", document)


def halts(document: Document) -> str:
    """How fast a fleet stops."""
    return _plain(f"{document['options']['followers']} followers", document)


def _plain(what: str, document: Document) -> str:
    rows = [
        (name, _cell(found), f"{found['min']:,.1f} to {found['max']:,.1f}")
        for name, found in document["summary"].items()
    ]
    return table((what, "median", "range"), rows)


def workload(document: Document) -> str:
    """Every contestant, and epochgate against each of them."""
    name, found = document["benchmark"], document["summary"]
    columns = COLUMNS[name]
    rows = [
        (one, *(_cell(found.get(f"{one}: {figure}")) for _, figure in columns))
        for one in document["contestants"]
    ]
    left_out = [f"Left out: {one}: {why}." for one, why in document["skipped"].items()]
    failed = [f"Not counted: {said}." for said in document["failures"]]
    return "\n\n".join([
        table(("", *(header for header, _ in columns)), rows), *left_out, *failed,
        "epochgate as a multiple of them, computed within each round:", _ratios(document),
    ])  # fmt: skip


def hostile(document: Document) -> str:
    """Every attack on every contestant."""
    found = document["summary"]
    attacks = dict.fromkeys(name.split(": ")[1] for name in found if name.count(": ") > 1)
    rows = [
        (attack, one, *(_cell(found.get(f"{one}: {attack}: {what}")) for _, what in HOSTILE))
        for attack in attacks
        for one in document["contestants"]
    ]
    left_out = [f"Left out: {one}: {why}." for one, why in document["skipped"].items()]
    if "slow headers" not in attacks:
        left_out.append("Left out: the attacks of slowhttptest: it was not installed.")
    headers = ("attacked by", "", *(header for header, _ in HOSTILE))
    failed = [f"Not counted: {said}." for said in document["failures"]]
    return "\n\n".join([table(headers, rows), *left_out, *failed])


def aims(found: Mapping[str, Document]) -> str:
    """Every target beside what was measured for it."""
    measured = {
        (one.number, one.what): one
        for name, document in found.items()
        for one in targets.of(name, document["summary"])
    }
    rows = [
        (one.number, one.what, *_bounds(one), *_verdict(measured.get((one.number, one.what))))
        for one in sorted(targets.WANTED, key=lambda one: one.number)
    ]
    return table(("#", "figure", "target", "stretch", "measured", ""), rows)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _bounds(one: targets.Wanted) -> tuple[str, str]:
    sign = "≥" if one.at_least else "≤"
    return f"{sign} {one.limit:g} {one.unit}", f"{sign} {one.stretch:g} {one.unit}"


def _verdict(one: Target | None) -> tuple[str, str]:
    return ("-", "not measured") if one is None else (f"{one.measured:.2f} {one.unit}", one.verdict)


def _ratios(document: Document) -> str:
    found, name = document["summary"], document["benchmark"]
    others = [one for one in document["contestants"] if one != OURS]
    rows = [
        (one, *(_range(found.get(f"ratio: {ratio} against {one}")) for _, ratio in RATIOS[name]))
        for one in others
    ]
    rows = [row for row in rows if set(row[1:]) != {"-"}]
    return table(("against", *(header for header, _ in RATIOS[name])), rows)


def _cell(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "-"
    median = found["median"]
    return f"{median:,.0f}" if median >= SMALL else f"{median:.1f}"


def _range(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{found['median']:.2f} ({found['min']:.2f} to {found['max']:.2f})"


SECTIONS: dict[str, Callable[[Document], str]] = {
    "decide": decide,
    "simulate": simulate,
    "fleetbeat": fleetbeat,
    "audit": audit,
    "halts": halts,
    **dict.fromkeys(COLUMNS, workload),
    "hostile": hostile,
}
