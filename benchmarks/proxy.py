"""The data plane beside HAProxy, nginx and Envoy: workloads 1 and 2.

Load and upstream share one core, the proxy has another one for itself. Contestants take turns, each
started anew for each round. What is compared is CPU time per request, from /proc/PID/stat: it
survives a noisy machine far better than throughput or latency, which are shown beside it.
"""

import tempfile
import time
from pathlib import Path

import click

from benchmarks import figures, load, machine, usage
from benchmarks.contestants import ALL, Contestant, Service
from benchmarks.figures import Target
from benchmarks.load import Load
from sidecar.cli.demo.processes import free_ports

CONNECTIONS = 64
WARM_S = 1
SINGLE_S = 2  # workload 2
SETTLE_S = 0.5  # before idle memory is read
US = "CPU, µs per request"


def run(rounds: int, seconds: int, only: tuple[str, ...], folder: Path) -> dict[str, object]:
    """Measure every contestant once per round, in turn.

    Args:
        rounds: How often.
        seconds: Of load on each contestant, for workload 1.
        only: Names of contestants; none: all.
        folder: Where the result goes.

    Returns:
        The result's document.
    """
    chosen, skipped = _chosen(only)
    before = machine.load()
    measured: list[dict[str, float]] = []
    loads: list[list[float]] = []
    with tempfile.TemporaryDirectory(prefix="epochgate-bench-") as scratch:
        service = Service(Path(scratch), free_ports(1)[0])
        service.start()
        try:
            for number in range(1, rounds + 1):
                loads.append(machine.load())
                found: dict[str, float] = {}
                for kind in chosen:
                    click.echo(f"round {number} of {rounds}: {kind.name}", err=True)
                    contestant = kind(Path(scratch), service.port)
                    for name, value in _measure(contestant, Load(Path(scratch)), seconds).items():
                        found[f"{kind.name}: {name}"] = value
                measured.append(found)
        finally:
            service.stop()
    _add_ratios(measured)
    return figures.save(
        "proxy", folder, measured, _targets(measured),
        versions={
            **machine.versions(), "wrk": load.version(),
            **{kind.name: kind.version() for kind in chosen if kind.version()},
        },
        load={"before": before, "rounds": loads, "after": machine.load()},
        options={"rounds": rounds, "seconds": seconds, "connections": CONNECTIONS},
        contestants=[kind.name for kind in chosen], skipped=skipped,
    )  # fmt: skip


def _chosen(only: tuple[str, ...]) -> tuple[list[type[Contestant]], dict[str, str]]:
    """Who takes part, and who does not and why."""
    unknown = set(only) - {kind.name for kind in ALL}
    if unknown:
        names = ", ".join(repr(kind.name) for kind in ALL)
        raise click.UsageError(f"no contestant {', '.join(sorted(unknown))}; there are {names}")
    for program, there in (("wrk", load.installed()), ("nginx", not _nginx_missing())):
        if not there:
            raise click.ClickException(f"{program} is not installed; apt-get install {program}")
    chosen, skipped = [], {}
    for kind in ALL:
        missing = kind.missing()
        if only and kind.name not in only:
            continue
        if missing:
            skipped[kind.name] = f"not installed: {missing}"
            click.echo(f"skipped: {kind.name}: {skipped[kind.name]}", err=True)
        else:
            chosen.append(kind)
    return chosen, skipped


def _nginx_missing() -> bool:
    from benchmarks.contestants import Nginx  # noqa: PLC0415

    return bool(Nginx.missing())


def _measure(contestant: Contestant, source: Load, seconds: int) -> dict[str, float]:
    """Start it, load it, end it; its figures."""
    load_core = machine.cores()[0]
    try:
        contestant.start()
        time.sleep(SETTLE_S)
        found = {}
        if contestant.pids:
            found["idle memory, MiB"] = usage.resident_mib(contestant.pids.values())
        with machine.pinned(load_core):
            warm = source.run(contestant.port, CONNECTIONS, WARM_S)
            found |= _loaded(contestant, source, seconds)
            single = source.run(contestant.port, 1, SINGLE_S)
        found["1 connection: p50, µs"] = single.p50_us
        found["1 connection: p99, µs"] = single.p99_us
        served = warm.requests + single.requests + found["requests"]
        return {**found, **_more(contestant, served)}
    finally:
        contestant.stop()


def _loaded(contestant: Contestant, source: Load, seconds: int) -> dict[str, float]:
    before = {name: usage.cpu_us([pid]) for name, pid in contestant.pids.items()}
    served = source.run(contestant.port, CONNECTIONS, seconds)
    used = {name: usage.cpu_us([pid]) - before[name] for name, pid in contestant.pids.items()}
    found = {
        "requests": served.requests, "per second": served.rate, "p50, µs": served.p50_us,
        "p99, µs": served.p99_us,
    }  # fmt: skip
    if used:
        found[US] = sum(used.values()) / served.requests
    if len(used) > 1:
        found |= {f"{US}, {name}": spent / served.requests for name, spent in used.items()}
    return found


def _more(contestant: Contestant, served: float) -> dict[str, float]:
    """Its own figures; a gate that did not write a record per request measured nothing."""
    more = contestant.more()
    if "records" in more and more["records"] < served:
        raise load.LoadError(f"{served} requests were served, {more['records']} recorded")
    return more


def _add_ratios(measured: list[dict[str, float]]) -> None:
    name = f"epochgate: {US}"
    others = {
        f"ratio: CPU of epochgate against {kind.name}": f"{kind.name}: {US}"
        for kind in ALL
        if kind.name != "epochgate"
    }
    for found, ratio in zip(measured, figures.ratios(measured, name, others), strict=True):
        found |= ratio


def _targets(measured: list[dict[str, float]]) -> list[Target]:
    found = figures.summary(measured)
    wanted = (
        (1, "CPU per request against Envoy", "×", 0.55, 0.45,
         "ratio: CPU of epochgate against envoy"),
        (2, "CPU per request against Envoy + ext_authz", "×", 0.27, 0.2,
         "ratio: CPU of epochgate against envoy + ext_authz"),
        (3, "CPU per request against HAProxy", "×", 2.2, 1.6,
         "ratio: CPU of epochgate against haproxy"),
        (9, "idle memory", "MiB", 48, 36, "epochgate: idle memory, MiB"),
        (10, "start to first permit, peers up", "ms", 1000, 500,
         "epochgate: start to first permit, ms"),
    )  # fmt: skip
    return [
        Target(number, what, unit, limit, stretch, found[name]["median"])
        for number, what, unit, limit, stretch, name in wanted
        if name in found
    ]
