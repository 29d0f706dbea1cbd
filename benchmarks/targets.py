"""Every target in one table: number, what it bounds, and which figure of which run decides it."""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.figures import TIMES, Target

Summary = Mapping[str, Mapping[str, float]]
ADDED = "ratio: steady: added p99 against envoy + ext_authz"


class Wanted(NamedTuple):
    """One row; `scale` multiplies the figure, `at_least` turns the comparison round."""

    number: int
    what: str
    unit: str
    limit: float
    stretch: float
    benchmark: str
    figure: str
    scale: float = 1
    at_least: bool = False


_CPU = "ratio: full: CPU against"
_PER_EVENT = "ratio: events: CPU against haproxy"
_US = 1e-3  # from nanoseconds

WANTED = (
    Wanted(1, "CPU per request against Envoy", TIMES, 0.55, 0.45, "proxy", f"{_CPU} envoy"),
    Wanted(2, "CPU per request against Envoy + ext_authz", TIMES, 0.27, 0.2, "proxy",
           f"{_CPU} envoy + ext_authz"),
    Wanted(3, "CPU per request against HAProxy", TIMES, 2.2, 1.6, "proxy", f"{_CPU} haproxy"),
    Wanted(4, "added p99, 1,000 requests/s, against Envoy + ext_authz", TIMES, 0.7, 0.4, "proxy",
           ADDED),
    Wanted(5, "CPU per relayed event against HAProxy", TIMES, 1.5, 1.2, "events", _PER_EVENT),
    Wanted(6, "`decide()`, 32 rules", "µs", 3, 1.5, "decide", "permit, 32 rules", _US),
    Wanted(7, "`decide()`, 10,000 rules against 10", TIMES, 1.3, 1.05, "decide", "growth"),
    Wanted(8, "decision + audit records + metrics", "µs", 10, 6, "decide",
           "decision + records + metrics", _US),
    Wanted(9, "idle memory", "MiB", 48, 36, "proxy", "epochgate: idle memory, MiB"),
    Wanted(9, "memory per idle connection", "KiB", 12, 6, "idle",
           "epochgate: memory, KiB per connection"),
    Wanted(10, "start to first permit, peers up", "ms", 1000, 500, "proxy",
           "epochgate: start to first permit, ms"),
    Wanted(11, "last gate closed after a halt was acknowledged, 50 followers, p99", "ms", 100, 30,
           "halts", "closed after the acknowledgement: p99, ms"),
    Wanted(13, "reports verified and merged by an authority, per core", "per s", 2000, 5000,
           "fleetbeat", "reports verified and merged, per s", at_least=True),
    Wanted(13, "beat over 1,000 instances", "ms", 25, 10, "fleetbeat",
           "beat over all instances, ms"),
    Wanted(14, "audit records hashed and integrated out of band, per core", "per s", 20_000, 60_000,
           "audit", "records hashed and integrated, per s", at_least=True),
    Wanted(14, "a million audit records verified, one core", "s", 30, 30, "audit",
           "audit verify, s per million records"),
    Wanted(15, "256 MiB up, throughput against HAProxy", TIMES, 0.7, 0.9, "bulk",
           "ratio: up: throughput against haproxy", at_least=True),
    Wanted(15, "256 MiB down, throughput against HAProxy", TIMES, 0.7, 0.9, "bulk",
           "ratio: down: throughput against haproxy", at_least=True),
    Wanted(15, "growth of memory meanwhile", "MiB", 4, 4, "bulk",
           "epochgate: growth of memory, MiB"),
    Wanted(17, "simulation, virtual time against CPU time", TIMES, 200, 1000, "simulate",
           "virtual seconds per second", at_least=True),
)  # fmt: skip


def of(benchmark: str, found: Summary) -> list[Target]:
    """Targets of a benchmark with what its run measured; a figure that is missing decides none."""
    return [
        Target(
            one.number, one.what, one.unit, one.limit, one.stretch,
            found[one.figure]["median"] * one.scale, at_least=one.at_least,
        )
        for one in WANTED
        if one.benchmark == benchmark and one.figure in found
    ]  # fmt: skip
