"""Every metric of an authority, in one file: how well it vouches.

The figures are counted where the work is done and fetched here at each scrape.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sidecar.telemetry.series import Counter, Gauge

_MS_PER_S = 1000


class Covered(Protocol):
    """What the latest beat said about the fleet."""

    @property
    def size(self) -> int:
        """Instances that it covers."""

    @property
    def expected(self) -> int:
        """Instances that there should be."""

    @property
    def diverged(self) -> int:
        """Of those covered, how many hold another state."""


class Figures(Protocol):
    """What is shown of an authority."""

    @property
    def covered(self) -> Covered | None:
        """The latest beat's fleet."""

    reports_verified: int
    trust_version: int
    beats: int
    committed: int
    seq: int
    epoch_seq: int
    issued_at: int
    acks: int
    failures: dict[tuple[str, str], int]
    conditions: dict[str, str]


class AuthorityMetrics(Collector):
    """All metrics of one authority.

    Args:
        figures: Looked at anew for each scrape.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Every family, now."""
        now = self._figures
        yield _counter("epochgate_authority_beats_total", "Beats signed and offered.", now.beats)
        yield _counter(
            "epochgate_authority_beats_committed_total", "Taken by enough peers.", now.committed
        )
        yield _gauge("epochgate_authority_beat_number", "Number of the latest beat.", now.seq)
        yield _gauge("epochgate_authority_epoch_number", "Epoch vouched for.", now.epoch_seq)
        yield _gauge("epochgate_authority_beat_acks", "Peers that took the latest beat.", now.acks)
        yield _gauge(
            "epochgate_authority_beat_timestamp_seconds",
            "When the latest beat was issued.",
            now.issued_at / _MS_PER_S,
        )
        yield _gauge("epochgate_authority_trust_version", "Trust in force.", now.trust_version)
        covered = now.covered
        size, diverged = (covered.size, covered.diverged) if covered else (0, 0)
        yield _gauge("epochgate_authority_fleet_size", "Instances that a beat covers.", size)
        yield _gauge("epochgate_authority_fleet_diverged", "Of them, in another state.", diverged)
        yield _counter(
            "epochgate_authority_reports_verified_total",
            "Reports of instances verified.",
            now.reports_verified,
        )
        failures = Counter(
            "epochgate_authority_peer_failures_total", "Reads and writes failed.", "peer", "kind"
        )
        for (peer, kind), count in sorted(now.failures.items()):
            failures.add(peer, kind, count=count)
        yield failures.family()
        conditions = Gauge("epochgate_authority_condition", "What is the case now.", "condition")
        for word in sorted(now.conditions):
            conditions.set(1, word)
        yield conditions.family()

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type.

        Args:
            accept: The scraper's Accept header: text format or OpenMetrics.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


def state(figures: Figures, instances: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    """The answer to /v1/state of an authority.

    Args:
        figures: What it counted.
        instances: Who reports, one row each.
    """
    covered = figures.covered
    return {
        "beat": {"seq": figures.seq, "issued_at": figures.issued_at, "acks": figures.acks},
        "epoch": figures.epoch_seq,
        "trust": figures.trust_version,
        "beats": figures.beats,
        "committed": figures.committed,
        "conditions": dict(figures.conditions),
        "failures": {f"{peer}: {kind}": n for (peer, kind), n in figures.failures.items()},
        "fleet": {
            "size": covered.size if covered else 0,
            "expected": covered.expected if covered else 0,
            "diverged": covered.diverged if covered else 0,
            "instances": list(instances),
        },
    }


def _counter(name: str, about: str, value: int) -> Metric:
    counter = Counter(name, about)
    counter.add(count=value)
    return counter.family()


def _gauge(name: str, about: str, value: float) -> Metric:
    gauge = Gauge(name, about)
    gauge.set(value)
    return gauge.family()
