"""What a scrape shows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args, get_type_hints

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.audit import sequencer
from sidecar.core import canonical
from sidecar.core.facts import Workload
from sidecar.core.instant import Now, WallMs
from sidecar.core.lease import Lease, Terms, grant
from sidecar.core.objects.halt import Halts, Scope
from sidecar.core.policy import MAX_BYTES, Policy
from sidecar.core.policy import parse as parse_policy
from sidecar.core.quorum import Agreement, PeerId
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Hold, HoldKind, Snapshot
from sidecar.telemetry.metrics import SCOPES, SYNC_BOUNDS_US, Metrics
from tests import builders

TERMS = Terms(ttl_ms=4000, skew_ms=500, drift_ppm=0)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> Now:
        return builders.now(self.ms)


def running() -> Snapshot:
    """A snapshot with a lease that was granted at `builders.now()`."""
    trust = builders.make_trust()
    epoch = builders.make_epoch(trust)
    beat = builders.make_beat(trust, epoch, seq=7)
    agreement = Agreement(epoch.seq, epoch.sha256, (PeerId("r1"), PeerId("r2")), (beat,))
    lease = grant(agreement, beat, builders.now(), TERMS)
    assert isinstance(lease, Lease)
    return Snapshot(
        lease=lease,
        epoch=epoch,
        trust_version=trust.version,
        policy=parse_policy(builders.POLICY),
        halts=Halts().union([builders.make_order(trust)]),
    )


def scrape(metrics: Metrics, accept: str = "") -> Mapping[tuple[str, ...], float]:
    """Name and label values (labels in alphabetical order) -> value."""
    body, _ = metrics.render(accept)
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_every_reason_that_can_deny_is_there_at_zero() -> None:
    found = scrape(Metrics(Clock()))
    for reason in Reason:
        known = ("epochgate_decisions_total", "deny", reason.code) in found
        assert known == bool(reason.validation), reason
    assert found["epochgate_http_parse_rejections_total", "EG001"] == 0
    assert ("epochgate_http_parse_rejections_total", "EG020") not in found
    assert ("epochgate_http_parse_rejections_total", "EG102") not in found


def test_a_new_process_shows_a_closed_gate() -> None:
    found = scrape(Metrics(Clock(), ["r1"]))
    assert found["epochgate_gate_state", "starting"] == 1
    assert found["epochgate_gate_state", "running"] == 0
    assert found["epochgate_lease_remaining_seconds",] == 0
    assert found["epochgate_peer_up", "r1"] == 0
    assert ("epochgate_epoch_number",) not in found
    assert found["epochgate_policy_info", "", "enforce", "deny-all", ""] == 1


def test_a_lease_epoch_and_beat_are_shown() -> None:
    metrics = Metrics(Clock())
    metrics.snapshot = snapshot = running()
    assert snapshot.lease is not None
    assert snapshot.epoch is not None
    found = scrape(metrics)
    assert found["epochgate_gate_state", "running"] == 1
    assert found["epochgate_lease_remaining_seconds",] == 3.499
    assert found["epochgate_epoch_number",] == 1
    assert found["epochgate_epoch_issued_timestamp_seconds",] == builders.NOW / 1000
    issuer = snapshot.lease.beat.issuer[:16]
    assert found["epochgate_beat_seq", issuer] == 7
    assert found["epochgate_quorum_size",] == 2
    assert found["epochgate_halts_active", "global"] == 1
    assert found["epochgate_halts_active", "route"] == 0
    assert found["epochgate_trust_version",] == 1
    short = snapshot.policy.sha256[:12]
    assert found["epochgate_policy_info", short, "enforce", "chat", ""] == 1


def half_observed() -> Policy:
    """Of a policy the half for others, which is only observed."""
    body = canonical.parse(builders.POLICY, MAX_BYTES)
    assert isinstance(body, dict)
    other = {**body, "mode": "observe", "name": "other"}
    raw = canonical.encode({**body, "rollout": {"otherwise": other, "percent": 0}})
    return parse_policy(raw, Workload(key_id="ab" * 32))


def test_a_policy_that_is_only_observed_and_its_half_are_shown() -> None:
    metrics, made = Metrics(Clock()), half_observed()
    metrics.snapshot = replace(running(), policy=made)
    found = scrape(metrics)
    assert found["epochgate_policy_info", made.sha256[:12], "observe", "other", "otherwise"] == 1
    assert found["epochgate_decisions_total", "observe", "EG204"] == 0
    assert found["epochgate_decisions_total", "observe", "EG203"] == 0


def test_halts_are_counted_by_what_they_stop() -> None:
    assert {*SCOPES, "drill"} == set(get_args(get_type_hints(Scope)["kind"]))
    metrics, trust = Metrics(Clock()), builders.make_trust()
    orders = [
        builders.make_order(
            trust, number=n, scope=msgspec.convert({"kind": kind, "value": "x"}, Scope)
        )
        for n, kind in enumerate(("route", "route", "tenant", "drill"), 1)
    ]  # fmt: skip
    metrics.snapshot = replace(running(), halts=Halts().union(orders))
    found = scrape(metrics)
    counts = {kind: found["epochgate_halts_active", kind] for kind in SCOPES}
    assert {kind: count for kind, count in counts.items() if count} == {"route": 2, "tenant": 1}


def test_a_lapsed_lease_is_contained_at_the_next_scrape_although_nothing_was_published() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    metrics.snapshot = running()
    clock.ms = 3500
    found = scrape(metrics)
    assert found["epochgate_lease_remaining_seconds",] == 0
    assert found["epochgate_gate_state", "contained"] == 1
    assert found["epochgate_gate_state", "running"] == 0


def test_what_remains_of_a_lease_is_what_the_stricter_clock_leaves() -> None:
    """The wall clock was set forward by two seconds; the boot clock knows nothing of it."""
    clock = Clock()
    metrics = Metrics(lambda: Now(clock().boot, WallMs(clock().wall + 2000)))
    metrics.snapshot = running()
    assert scrape(metrics)["epochgate_lease_remaining_seconds",] == 1.5


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
        ("nonsense;;q=x", "text/plain"),
    ],
)
def test_the_form_follows_the_accept_header(accept: str, content_type: str) -> None:
    body, said = Metrics(Clock()).render(accept)
    assert said.startswith(content_type)
    assert b"epochgate_build_info" in body


def test_the_gate_is_fast_enough_to_need_microsecond_buckets() -> None:
    metrics = Metrics(Clock())
    metrics.overhead.observe(900)
    assert scrape(metrics)["epochgate_overhead_seconds_bucket", "1e-06"] == 1


def test_the_audit_log_is_asked_at_each_scrape() -> None:
    figures = sequencer.Gauges(
        records=9,
        size=8,
        durable=8,
        checkpoint_size=7,
        checkpoint_wall_ms=1_800_000_000_500,
        checkpoints=1,
        backlog=1,
        sync_counts=(2, *[0] * 9, 1),
        sync_sum_us=700_000,
        sync_last_us=1,
        disk_bytes=4096,
        disk_budget_bytes=8192,
    )
    metrics = Metrics(Clock())
    assert ("epochgate_audit_chain_size",) not in scrape(metrics)
    metrics.audit = lambda: figures
    found = scrape(metrics)
    assert found["epochgate_audit_records_total",] == 9
    assert found["epochgate_audit_chain_size",] == 8
    assert found["epochgate_audit_backlog_records",] == 1
    assert found["epochgate_audit_disk_bytes",] == 4096
    assert found["epochgate_audit_disk_budget_bytes",] == 8192
    assert found["epochgate_audit_last_checkpoint_timestamp_seconds",] == 1_800_000_000.5
    assert found["epochgate_audit_sync_duration_seconds_bucket", "0.0001"] == 2
    assert found["epochgate_audit_sync_duration_seconds_count",] == 3
    assert found["epochgate_audit_sync_duration_seconds_sum",] == 0.7


def test_a_log_with_nothing_left_to_seal_is_sealed_up_to_now() -> None:
    """Else a log without traffic would look like one whose sealing has stopped."""
    metrics = Metrics(Clock())
    metrics.audit = lambda: sequencer.Gauges(7, 7, 7, 7, 1, 1, 0, (0,) * 11, 0, 0, 0, 0)
    found = scrape(metrics)
    assert found["epochgate_audit_last_checkpoint_timestamp_seconds",] == builders.NOW / 1000


def test_both_sides_agree_on_the_bounds_of_a_flush() -> None:
    """They may not import each other, and a count under another bound would be a wrong figure."""
    assert sequencer.SYNC_BOUNDS_US == SYNC_BOUNDS_US


def test_a_mismatch_is_shown_while_it_holds_or_forbids_a_lease() -> None:
    metrics = Metrics(Clock())
    name = "epochgate_integrity_mismatch"
    assert scrape(metrics)[name, "EG401"] == 0
    metrics.snapshot = running().held(Hold(Reason.MODEL_DIGEST_MISMATCH, HoldKind.PASSING))
    assert (scrape(metrics)[name, "EG403"], scrape(metrics)[name, "EG401"]) == (1, 0)
    metrics.snapshot = Snapshot(unmet=(Reason.INTEGRITY_STALE,))
    assert (scrape(metrics)[name, "EG403"], scrape(metrics)[name, "EG404"]) == (0, 1)


class Sink:
    """What a sink of the audit log shows."""

    name, lag_ms, records, failures, dropped = "opa", 1500, 7, 2, 1


def test_each_sink_of_the_audit_log_is_asked_at_each_scrape() -> None:
    metrics = Metrics(Clock())
    assert ("epochgate_sink_lag_seconds", "opa") not in scrape(metrics)
    metrics.sinks = [Sink()]
    found = scrape(metrics)
    assert found["epochgate_sink_lag_seconds", "opa"] == 1.5
    assert found["epochgate_sink_records_total", "opa"] == 7
    assert found["epochgate_sink_failures_total", "opa"] == 2
    assert found["epochgate_sink_dropped_records_total", "opa"] == 1
