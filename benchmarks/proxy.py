"""The data plane beside HAProxy, nginx and Envoy.

* `full`: 64 connections, each asks again as soon as it is answered; every proxy at its limit.
* `steady`: 1,000 requests per second for every proxy, latency from the instant they were due.
* `one`: a single connection, closed loop.

Load and upstream share one core, the proxy has another one for itself. Contestants take turns, each
started anew for each round. What is compared is CPU time per request, from /proc/PID/stat: it
survives a noisy machine far better than throughput or latency, which are shown beside it.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from benchmarks import figures, load, machine, steady, usage
from benchmarks.contestants import ALL, Contestant, Service
from benchmarks.figures import TIMES, Target
from benchmarks.load import Load, LoadError, Served
from sidecar.cli.demo.processes import free_ports

CONNECTIONS = 64
WARM_S = 1
SINGLE_S = 2
RATE = 1_000  # requests per second of `steady`
SETTLE_S = 0.5
IDLE_S = 2  # to see what a proxy does when nobody asks
US = "CPU, µs per request"
OURS = "epochgate"
DEAREST = "envoy + ext_authz"
ADDED = "ratio: steady: added p99 against envoy + ext_authz"


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
    failures: list[str] = []
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
                    try:
                        figured = _measure(contestant, Load(Path(scratch)), seconds)
                    except LoadError as error:
                        # Kept in the result: a round that failed is a finding, not a nuisance.
                        failures.append(f"round {number}: {kind.name}: {error}")
                        click.echo(failures[-1], err=True)
                        continue
                    found |= {f"{kind.name}: {name}": value for name, value in figured.items()}
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
        options={"rounds": rounds, "seconds": seconds, "connections": CONNECTIONS, "rate": RATE},
        contestants=[kind.name for kind in chosen], skipped=skipped, failures=failures,
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
            pids = contestant.pids.values()
            before = usage.cpu_us(pids)
            time.sleep(IDLE_S)
            found["idle CPU, ms per s"] = (usage.cpu_us(pids) - before) / 1000 / IDLE_S
            found["idle memory, MiB"] = usage.resident_mib(pids)
        port = contestant.port
        with machine.pinned(load_core):
            warm = source.run(port, CONNECTIONS, WARM_S)
            runs = {
                "full": partial(source.run, port, CONNECTIONS, seconds),
                "steady": partial(steady.run, port, CONNECTIONS, RATE, seconds),
                "one": partial(source.run, port, 1, SINGLE_S),
            }
            served = warm.requests
            for name, step in runs.items():
                figured, requests = _loaded(contestant, step)
                found |= {f"{name}: {what}": value for what, value in figured.items()}
                served += requests
        return {**found, **_more(contestant, served)}
    except LoadError as error:
        raise LoadError(f"{error}{contestant.explain()}") from None
    finally:
        contestant.stop()


def _loaded(contestant: Contestant, step: Callable[[], Served]) -> tuple[dict[str, float], int]:
    """Figures of one load, and how many requests it had."""
    before = {name: usage.cpu_us([pid]) for name, pid in contestant.pids.items()}
    served = step()
    used = {name: usage.cpu_us([pid]) - before[name] for name, pid in contestant.pids.items()}
    found: dict[str, float] = {}
    if used:
        found[US] = sum(used.values()) / served.requests
    if len(used) > 1:
        found |= {f"{US}, {name}": spent / served.requests for name, spent in used.items()}
    found |= {"per second": served.rate, "p50, µs": served.p50_us, "p99, µs": served.p99_us}
    return found, served.requests


def _more(contestant: Contestant, served: float) -> dict[str, float]:
    """Its own figures; a gate that did not write a record per request measured nothing."""
    more = contestant.more()
    if "records" in more and more["records"] < served:
        raise LoadError(f"{served} requests were served, {more['records']} recorded")
    return more


def _add_ratios(measured: list[dict[str, float]]) -> None:
    """CPU of ours against each other's, and added latency against that of the dearest peer."""
    for how in ("full", "steady", "one"):
        others = {
            f"ratio: {how}: CPU against {kind.name}": f"{kind.name}: {how}: {US}"
            for kind in ALL
            if kind.name != OURS
        }
        ratios = figures.ratios(measured, f"{OURS}: {how}: {US}", others)
        for whole, ratio in zip(measured, ratios, strict=True):
            whole.update(ratio)
    for whole in measured:
        direct, ours, dear = (
            whole.get(f"{name}: steady: p99, µs", 0) for name in ("direct", OURS, DEAREST)
        )
        # A direct path that was slower than a proxy was disturbed: it adds nothing that means much.
        if 0 < direct < min(ours, dear):
            whole[ADDED] = (ours - direct) / (dear - direct)


def _targets(measured: list[dict[str, float]]) -> list[Target]:
    found = figures.summary(measured)
    cpu = "ratio: full: CPU against"
    wanted = (
        (1, "CPU per request against Envoy", TIMES, 0.55, 0.45, f"{cpu} envoy"),
        (2, "CPU per request against Envoy + ext_authz", TIMES, 0.27, 0.2, f"{cpu} {DEAREST}"),
        (3, "CPU per request against HAProxy", TIMES, 2.2, 1.6, f"{cpu} haproxy"),
        (4, f"added p99, {RATE:,} requests/s, against Envoy + ext_authz", TIMES, 0.7, 0.4, ADDED),
        (9, "idle memory", "MiB", 48, 36, f"{OURS}: idle memory, MiB"),
        (10, "start to first permit, peers up", "ms", 1000, 500,
         f"{OURS}: start to first permit, ms"),
    )  # fmt: skip
    return [
        Target(number, what, unit, limit, stretch, found[name]["median"])
        for number, what, unit, limit, stretch, name in wanted
        if name in found
    ]
