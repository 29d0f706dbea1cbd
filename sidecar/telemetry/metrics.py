"""Every metric, its labels and its buckets.

* Base units, `_total` for what grows, timestamps rather than ages (an age goes stale with the
  scrape; a timestamp does not).
* Label values come from enums, from the configuration, or from signed objects: never from a client.
* Every reason that can deny is there from the start, at 0.

Source: Prometheus naming and instrumentation practices; conventions 3.1, 11-E.
"""

import platform
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sidecar import __version__
from sidecar.clock import Clock
from sidecar.core import runtime
from sidecar.core.instant import NS_PER_MS
from sidecar.core.reason import Reason
from sidecar.core.snapshot import CLOSED, Snapshot, State
from sidecar.core.validations import validate
from sidecar.telemetry import figures
from sidecar.telemetry.series import NS_PER_S, Counter, Gauge, Histogram

NO_REASON = "none"
# How the data plane says that a request ended -> label of `requests_total`.
RESULT_OF = {
    "permit": "ok",
    "exempt": "exempt",
    "deny": "denied",
    "abort": "denied",
    "cut": "cut",
    "late": "late",
    "failed": "upstream_error",
    "gone": "client_gone",
}
# Of the exchange too, but not the client's fault.
_UPSTREAM = (Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_INVALID, Reason.UPSTREAM_TIMEOUT)
SCOPES = ("global", "service", "instance", "route", "model", "tenant")  # of halts
LEVELS = ("debug", "info", "warning", "error")
_MS_PER_S = 1000

_US = 1_000  # nanoseconds
_OVERHEAD_NS = [
    *(n * _US for n in (1, 2.5, 5, 10, 25, 50, 100, 250, 500)),
    *(n * NS_PER_MS for n in (1, 2.5, 5, 10, 50)),
]
# The bounds of OpenTelemetry's http.server.request.duration, and further: models think for minutes.
_REQUEST_NS = [n * NS_PER_MS for n in (5, 10, 25, 50, 75, 100, 250, 500, 750)] + [
    int(n * NS_PER_S) for n in (1, 2.5, 5, 7.5, 10, 30, 60, 120, 300, 600)
]
SYNC_BOUNDS_US = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000)
_ROUND_NS = [n * NS_PER_MS for n in (1, 2, 5, 10, 25, 50, 100, 200, 300, 500, 1000, 2000)]


class AuditFigures(Protocol):
    """What is shown of the audit log."""

    @property
    def records(self) -> int:
        """Written."""

    @property
    def size(self) -> int:
        """In the tree."""

    @property
    def backlog(self) -> int:
        """Written and not yet in the tree."""

    @property
    def checkpoint_size(self) -> int:
        """Sealed."""

    @property
    def checkpoint_wall_ms(self) -> int:
        """When the log was last sealed; 0: not by this process."""

    @property
    def disk_bytes(self) -> int:
        """Taken on the disk."""

    @property
    def disk_budget_bytes(self) -> int:
        """What may be taken; 0: without a bound."""

    @property
    def sync_counts(self) -> Sequence[int]:
        """Flushes by duration, bounds as in `SYNC_BOUNDS_US`, and one for longer ones."""

    @property
    def sync_sum_us(self) -> int:
        """Time that all flushes took together."""


class SinkFigures(Protocol):
    """What is shown of a place where the audit log is copied to."""

    @property
    def name(self) -> str:
        """Of the configuration."""

    @property
    def lag_ms(self) -> int:
        """How long its oldest record has been waiting."""

    @property
    def records(self) -> int:
        """Acknowledged."""

    @property
    def failures(self) -> int:
        """Attempts that were not."""

    @property
    def dropped(self) -> int:
        """Records that it will never have."""


class Metrics(Collector):
    """All metrics of one sidecar.

    Args:
        clock: Both clocks, for what is computed when somebody looks.
        peers: Their ids, from the configuration.

    Attributes:
        snapshot: What the observer saw last.
        audit: Asked at each scrape, once it is set.
        sinks: Of the audit log; asked at each scrape.
        others: What other processes of this sidecar counted; asked at each scrape, and added.
    """

    def __init__(self, clock: Clock, peers: Sequence[str] = ()) -> None:
        self._clock = clock
        self.snapshot: Snapshot = CLOSED
        self.audit: Callable[[], AuditFigures] | None = None
        self.sinks: Sequence[SinkFigures] = ()
        self.others: Callable[[], Sequence[figures.Figures]] = tuple
        self.registry = CollectorRegistry(auto_describe=False)
        self._process()
        self._requests()
        self._gate()
        self._sync(peers)
        self._integrity()
        self._log()
        self._sinks()
        self._workers()
        self.registry.register(self)

    def _process(self) -> None:
        self.build_info = Gauge("epochgate_build_info", "What runs here.", "version", "python")
        self.build_info.set(1, __version__, platform.python_version())
        self.log_messages = Counter("epochgate_log_messages_total", "Log lines.", "level")
        for level in LEVELS:
            self.log_messages.start(level)

    def _requests(self) -> None:
        self.requests = Counter("epochgate_requests_total", "Requests finished.", "result")
        for result in dict.fromkeys(RESULT_OF.values()):
            self.requests.start(result)
        self.decisions = Counter(
            "epochgate_decisions_total", "Decisions of the gate.", "decision", "reason"
        )
        self.decisions.start("permit", NO_REASON)
        self.decisions.start("exempt", NO_REASON)
        for reason in (Reason.POLICY_DENY, Reason.POLICY_INVALID):
            self.decisions.start("observe", reason.code)
        self.refusals = Counter(
            "epochgate_http_parse_rejections_total", "Requests that broke HTTP.", "reason"
        )
        for reason in Reason:
            if reason.validation:
                self.decisions.start("deny", reason.code)
            elif reason not in _UPSTREAM:
                self.refusals.start(reason.code)
        self.request_duration = Histogram(
            "epochgate_request_duration_seconds", "From decision to last byte.", _REQUEST_NS
        )
        self.first_byte = Histogram(
            "epochgate_first_byte_seconds",
            "From the decision to the first byte of the response.",
            _REQUEST_NS,
        )
        self.overhead = Histogram(
            "epochgate_overhead_seconds",
            "From the decision to the write upstream, the audit record included.",
            [int(bound) for bound in _OVERHEAD_NS],
        )
        self.inflight = Gauge("epochgate_inflight_requests", "Exchanges under way.")
        self.connections = Gauge("epochgate_downstream_connections", "Client connections open.")
        self.streams_cut = Counter(
            "epochgate_streams_cut_total", "Exchanges cut because the gate closed.", "reason"
        )
        self.late_writes = Counter(
            "epochgate_late_writes_total", "Writes that a pause made late; taken back."
        )

    def _gate(self) -> None:
        self.gate_state = Gauge("epochgate_gate_state", "1 for the state it is in.", "state")
        self.gate_state_changes = Counter(
            "epochgate_gate_state_changes_total", "Changes of state.", "from", "to"
        )
        self.lease_remaining = Gauge(
            "epochgate_lease_remaining_seconds", "Until the gate closes unless a beat comes."
        )
        self.epoch_number = Gauge("epochgate_epoch_number", "Number of the epoch held.")
        self.epoch_issued = Gauge(
            "epochgate_epoch_issued_timestamp_seconds", "When that epoch was issued."
        )
        self.epoch_not_after = Gauge(
            "epochgate_epoch_not_after_timestamp_seconds", "When that epoch lapses."
        )
        self.beat_seq = Gauge("epochgate_beat_seq", "Number of the beat leaned on.", "issuer")
        self.halts_active = Gauge("epochgate_halts_active", "Halts in force.", "scope")
        self.trust_version = Gauge("epochgate_trust_version", "Version of the trust document.")
        self.validation = Gauge(
            "epochgate_validation", "1 while the validation holds.", "number", "name"
        )
        self.policy_info = Gauge(
            "epochgate_policy_info", "The policy in force.", "name", "digest", "mode", "rollout"
        )

    def _sync(self, peers: Sequence[str]) -> None:
        self.peer_up = Gauge(
            "epochgate_peer_up", "Whether the peer's last vote was acceptable.", "peer"
        )
        self.peer_reads = Counter("epochgate_peer_reads_total", "Reads.", "peer", "result")
        self.peer_last_success = Gauge(
            "epochgate_peer_last_success_timestamp_seconds", "Last acceptable vote.", "peer"
        )
        for peer in peers:
            self.peer_up.set(0, peer)
            for result in ("ok", "timeout", "refused"):
                self.peer_reads.start(peer, result)
        self.rounds = Counter("epochgate_rounds_total", "Verification rounds.", "result")
        self.rounds.start("agreed")
        self.round_duration = Histogram(
            "epochgate_round_duration_seconds", "From send to last answer.", _ROUND_NS
        )
        self.quorum_size = Gauge("epochgate_quorum_size", "Peers behind the present lease.")
        self.quorum_required = Gauge("epochgate_quorum_required", "Peers that must agree.")

    def _integrity(self) -> None:
        self.integrity_measured = Gauge(
            "epochgate_integrity_measured_timestamp_seconds",
            "When code, configuration and files were last looked at.",
        )
        self.integrity_mismatch = Gauge(
            "epochgate_integrity_mismatch",
            "Whether what runs here is not what the epoch demands.",
            "reason",
        )

    def _log(self) -> None:
        self.audit_records = Counter("epochgate_audit_records_total", "Records written.")
        self.audit_size = Gauge("epochgate_audit_chain_size", "Records in the log.")
        self.audit_checkpoint = Gauge(
            "epochgate_audit_last_checkpoint_timestamp_seconds", "Up to when the log is sealed."
        )
        self.audit_backlog = Gauge(
            "epochgate_audit_backlog_records", "Records that wait for the tree."
        )
        self.audit_disk = Gauge("epochgate_audit_disk_bytes", "What the log takes of the disk.")
        self.audit_disk_budget = Gauge(
            "epochgate_audit_disk_budget_bytes", "What it may take; 0: as much as there is."
        )
        self.audit_sync_duration = Histogram(
            "epochgate_audit_sync_duration_seconds",
            "Flushes to the disk.",
            [us * _US for us in SYNC_BOUNDS_US],
        )

    def _sinks(self) -> None:
        self.sink_lag = Gauge(
            "epochgate_sink_lag_seconds", "How long the oldest record waits for the sink.", "sink"
        )
        self.sink_records = Counter(
            "epochgate_sink_records_total", "Records that the sink acknowledged.", "sink"
        )
        self.sink_failures = Counter(
            "epochgate_sink_failures_total", "Attempts that it did not.", "sink"
        )
        self.sink_dropped = Counter(
            "epochgate_sink_dropped_records_total",
            "Records that it will never get: pruned before, or thrown away there.",
            "sink",
        )

    def _workers(self) -> None:
        self.worker_up = Gauge(
            "epochgate_worker_up", "Whether the worker has told of itself lately.", "worker"
        )
        self.worker_running = Gauge(
            "epochgate_worker_running", "Whether the gate of the worker is open.", "worker"
        )
        self.worker_restarts = Counter(
            "epochgate_worker_restarts_total", "Workers that ended and were replaced.", "worker"
        )

    def collect(self) -> Iterator[Metric]:
        """Every family, over all processes of this sidecar."""
        others = self.others()
        for series in self.series():
            yield (figures.together(series, others) if others else series).family()

    def series(self) -> Iterator[figures.Series]:
        """All that this process counts; what depends on the time of day is computed here."""
        self._look()
        if self.audit is not None:
            self._show_audit(self.audit())
        for sink in self.sinks:
            self.sink_lag.set(sink.lag_ms / _MS_PER_S, sink.name)
            self.sink_records.values[sink.name,] = sink.records
            self.sink_failures.values[sink.name,] = sink.failures
            self.sink_dropped.values[sink.name,] = sink.dropped
        for series in vars(self).values():
            if isinstance(series, Counter | Gauge | Histogram):
                yield series

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type.

        Args:
            accept: The scraper's Accept header: text format or OpenMetrics.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _look(self) -> None:
        now, snapshot = self._clock(), self.snapshot
        state = snapshot.state(now)
        for item in State:
            self.gate_state.set(int(item is state), item.value)
        lease, epoch = snapshot.lease, snapshot.epoch
        left_ns = 0
        if lease is not None:
            wall_ns = (lease.wall_deadline - now.wall) * NS_PER_MS
            left_ns = max(0, min(lease.deadline - now.boot, wall_ns))
            self.beat_seq.set(lease.beat.seq, lease.beat.issuer[:16])
        self.lease_remaining.set(left_ns / NS_PER_S)
        against = {*snapshot.unmet, *(hold.reason for hold in snapshot.holds)}
        for reason in runtime.REASONS:
            self.integrity_mismatch.set(int(reason in against), reason.code)
        self.quorum_size.set(len(lease.peers) if lease is not None else 0)
        halted = Counts[str](order.says.scope.kind for order in snapshot.halts.active)
        for kind in SCOPES:
            self.halts_active.set(halted[kind], kind)
        self.trust_version.set(snapshot.trust_version)
        for verdict in validate(snapshot, now):
            self.validation.set(int(verdict.holds), str(verdict.number), verdict.name)
        policy = snapshot.policy
        mode = "observe" if policy.observes else "enforce"
        self.policy_info.only(1, policy.name, policy.sha256[:12], mode, policy.half or "")
        if epoch is not None:
            self.epoch_number.set(epoch.seq)
            self.epoch_issued.set(epoch.says.issued_at / _MS_PER_S)
            self.epoch_not_after.set(epoch.says.not_after / _MS_PER_S)

    def _show_audit(self, log: AuditFigures) -> None:
        self.audit_records.values[()] = log.records
        self.audit_size.set(log.size)
        self.audit_backlog.set(log.backlog)
        self.audit_disk.set(log.disk_bytes)
        self.audit_disk_budget.set(log.disk_budget_bytes)
        sealed_ms = log.checkpoint_wall_ms
        if log.checkpoint_size == log.records:
            sealed_ms = self._clock().wall  # nothing waits: it is sealed up to this moment
        if sealed_ms:
            self.audit_checkpoint.set(sealed_ms / _MS_PER_S)
        self.audit_sync_duration.counts = list(log.sync_counts)
        self.audit_sync_duration.sum_ns = log.sync_sum_us * _US
