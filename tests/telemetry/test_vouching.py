"""What an authority shows of itself."""

from prometheus_client.parser import text_string_to_metric_families

from sidecar.authority.publisher import Counts
from sidecar.core.objects.beat import Fleet
from sidecar.telemetry.vouching import AuthorityMetrics, state


def scrape(metrics: AuthorityMetrics) -> dict[tuple[str, ...], float]:
    body, content_type = metrics.render("")
    assert content_type.startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_figures_are_looked_at_anew_for_each_scrape() -> None:
    counts = Counts()
    metrics = AuthorityMetrics(counts)
    assert scrape(metrics)["epochgate_authority_beats_total",] == 0
    counts.beats, counts.committed, counts.seq, counts.epoch_seq = 3, 2, 9, 4
    counts.acks, counts.issued_at = 2, 1_800_000_000_500
    found = scrape(metrics)
    assert found["epochgate_authority_beats_total",] == 3
    assert found["epochgate_authority_beats_committed_total",] == 2
    assert found["epochgate_authority_beat_number",] == 9
    assert found["epochgate_authority_epoch_number",] == 4
    assert found["epochgate_authority_beat_acks",] == 2
    assert found["epochgate_authority_beat_timestamp_seconds",] == 1_800_000_000.5


def test_a_condition_is_there_while_it_holds_and_then_gone() -> None:
    counts = Counts(conditions={"uncommitted": "1 of 2"}, failures={("r1", "timeout"): 5})
    metrics = AuthorityMetrics(counts)
    found = scrape(metrics)
    assert found["epochgate_authority_condition", "uncommitted"] == 1
    assert found["epochgate_authority_peer_failures_total", "timeout", "r1"] == 5
    counts.conditions.clear()
    assert ("epochgate_authority_condition", "uncommitted") not in scrape(metrics)


def test_the_state_is_plain_values() -> None:
    shown = state(Counts(beats=1, failures={("r1", "timeout"): 5}, conditions={"halted": "x"}), [])
    assert shown["failures"] == {"r1: timeout": 5}
    assert shown["conditions"] == {"halted": "x"}
    assert shown["beats"] == 1


def test_the_fleet_of_the_latest_beat_is_shown() -> None:
    counts = Counts()
    metrics = AuthorityMetrics(counts)
    assert scrape(metrics)["epochgate_authority_fleet_size",] == 0
    counts.covered = Fleet(root="0" * 64, size=7, expected=9, diverged=2)
    counts.reports_verified, counts.trust_version = 70, 3
    found = scrape(metrics)
    assert found["epochgate_authority_fleet_size",] == 7
    assert found["epochgate_authority_fleet_diverged",] == 2
    assert found["epochgate_authority_reports_verified_total",] == 70
    assert found["epochgate_authority_trust_version",] == 3
    assert state(counts, [{"instance": "a"}])["fleet"] == {
        "size": 7, "expected": 9, "diverged": 2, "instances": [{"instance": "a"}],
    }  # fmt: skip
