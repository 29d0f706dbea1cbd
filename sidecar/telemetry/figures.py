"""What one process counted, as plain values, and the sum over several.

Rules:

* What only grows never goes back: what a process had counted when it ended is kept. It told us at
  most `REPORT_S` before; what it counted after that is in its journal and nowhere else.
* What concerns the one follower (state, lease, peers, rounds) is what the process that follows
  says. Everything else is a sum.
* A log goes on after its process: its size is what was told last, not added up over processes.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sidecar.telemetry.series import Counter, Gauge, Histogram

Series = Counter | Gauge | Histogram
_Labelled = list[tuple[tuple[str, ...], float]]

# Of a log on the disk: told by whoever writes it now, and still true when that has ended.
OF_THE_LOG = frozenset({
    "epochgate_audit_records_total", "epochgate_audit_chain_size", "epochgate_audit_disk_bytes",
    "epochgate_audit_disk_budget_bytes",
})  # fmt: skip
# The oldest tells whether any log is not sealed any more.
OLDEST = frozenset({"epochgate_audit_last_checkpoint_timestamp_seconds"})
# Of the follower, of which there is one.
_FOLLOWER = (
    "epochgate_build_info", "epochgate_gate_state", "epochgate_lease_", "epochgate_epoch_",
    "epochgate_beat_", "epochgate_halts_", "epochgate_trust_", "epochgate_policy_",
    "epochgate_peer_", "epochgate_round", "epochgate_quorum_", "epochgate_validation",
    "epochgate_worker", "epochgate_integrity_",
    "epochgate_sink_",
)  # fmt: skip


class Figures(msgspec.Struct, frozen=True):
    """Values of all series of one process, by name.

    Attributes:
        counters: Name -> label values and count.
        gauges: Name -> label values and value.
        histograms: Name -> counts by bound, and the sum in nanoseconds.
    """

    counters: dict[str, _Labelled] = {}
    gauges: dict[str, _Labelled] = {}
    histograms: dict[str, tuple[list[int], int]] = {}


def of(series: Iterable[Series]) -> Figures:
    """The values now; those of the follower are left out."""
    counters: dict[str, _Labelled] = {}
    gauges: dict[str, _Labelled] = {}
    histograms: dict[str, tuple[list[int], int]] = {}
    for item in series:
        if item.name.startswith(_FOLLOWER):
            continue
        match item:
            case Counter():
                counters[item.name] = list(item.values.items())
            case Gauge():
                gauges[item.name] = list(item.values.items())
            case Histogram():
                histograms[item.name] = (list(item.counts), item.sum_ns)
    return Figures(counters, gauges, histograms)


def together(own: Series, others: Sequence[Figures]) -> Series:
    """One series over several processes."""
    if isinstance(own, Histogram):
        return _histogram(own, [figures.histograms.get(own.name) for figures in others])
    said = [
        (figures.counters if isinstance(own, Counter) else figures.gauges).get(own.name, [])
        for figures in others
    ]
    if isinstance(own, Counter):
        whole = Counter(own.name, own.about, *own.labels)
        whole.values = {key: int(value) for key, value in _sum(own.values, said).items()}
        return whole
    gauge = Gauge(own.name, own.about, *own.labels)
    gauge.values = _oldest(own.values, said) if own.name in OLDEST else _sum(own.values, said)
    return gauge


def ended(kept: Figures, last: Figures) -> Figures:
    """What still counts of processes that have ended.

    Args:
        kept: Of those before.
        last: What the one that has just ended told last.
    """
    counters = {
        name: list(_sum(dict(kept.counters.get(name, [])), [values]).items())
        for name, values in last.counters.items()
        if name not in OF_THE_LOG
    }
    histograms = {}
    for name, (counts, sum_ns) in last.histograms.items():
        before, before_ns = kept.histograms.get(name, ([0] * len(counts), 0))
        both = [one + other for one, other in zip(before, counts, strict=True)]
        histograms[name] = (both, before_ns + sum_ns)
    return Figures(counters, {}, histograms)


def of_the_log(last: Figures) -> Figures:
    """What is still true of the log of a process that has ended."""
    return Figures(
        {name: values for name, values in last.counters.items() if name in OF_THE_LOG},
        {name: values for name, values in last.gauges.items() if name in OF_THE_LOG | OLDEST},
    )


def _histogram(own: Histogram, said: Iterable[tuple[list[int], int] | None]) -> Histogram:
    whole = Histogram(own.name, own.about, own.bounds_ns)
    whole.counts, whole.sum_ns = list(own.counts), own.sum_ns
    for item in said:
        if item is not None and len(item[0]) == len(whole.counts):
            whole.counts = [one + other for one, other in zip(whole.counts, item[0], strict=True)]
            whole.sum_ns += item[1]
    return whole


def _sum(
    own: Mapping[tuple[str, ...], float], said: Iterable[_Labelled]
) -> dict[tuple[str, ...], float]:
    whole = dict(own)
    for values in said:
        for key, value in values:
            whole[key] = whole.get(key, 0) + value
    return whole


def _oldest(
    own: Mapping[tuple[str, ...], float], said: Iterable[_Labelled]
) -> dict[tuple[str, ...], float]:
    whole = dict(own)
    for values in said:
        for key, value in values:
            whole[key] = min(whole.get(key, value), value)
    return whole
