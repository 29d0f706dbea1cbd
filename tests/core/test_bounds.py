"""Of every bound the tighter one, whoever says it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import bounds, canonical, policy
from sidecar.core.bounds import Lags
from sidecar.core.lease import Freshness, Terms
from sidecar.core.log.cosignature import Witnesses
from sidecar.core.objects.epoch import Audit
from sidecar.core.policy import DENY_ALL, Policy
from sidecar.core.profile import BASELINE, Profile
from sidecar.core.recording import PLAIN
from tests import builders

LOCAL = Terms(4000, 500, 2000, "clock")
TRUST = builders.make_trust()


def made(**changes: Any) -> Profile:
    return replace(BASELINE, name="strict", **changes)


def budgeted(**budgets: Any) -> Policy:
    raw = canonical.parse(builders.POLICY, policy.MAX_BYTES)
    assert isinstance(raw, dict)
    return policy.parse(canonical.encode({**raw, "budgets": budgets}))


def test_without_profile_and_budgets_nothing_changes() -> None:
    assert bounds.terms(LOCAL, BASELINE, DENY_ALL) == LOCAL
    assert bounds.quorum(2, BASELINE, DENY_ALL) == 2
    assert bounds.poll_ms(250, BASELINE) == 250
    assert bounds.lags(None, BASELINE, DENY_ALL) == Lags()
    assert bounds.recording(PLAIN, BASELINE) is PLAIN
    assert bounds.drain_ms(5000, BASELINE, BASELINE) == 5000


@pytest.mark.parametrize(
    ("local", "wanted", "together"),
    [
        ("clock", "clock", "clock"),
        ("nonce", "nonce", "nonce"),
        ("both", "both", "both"),
        ("clock", "nonce", "both"),
        ("nonce", "clock", "both"),
        ("clock", "both", "both"),
        ("both", "nonce", "both"),
        ("nonce", None, "nonce"),
    ],
)
def test_two_anchors_that_differ_are_both_needed(
    local: Freshness, wanted: Freshness | None, together: Freshness
) -> None:
    found = bounds.terms(replace(LOCAL, freshness=local), made(freshness=wanted), DENY_ALL)
    assert found.freshness == together


@given(
    st.integers(1, 9000), st.none() | st.integers(1, 9000), st.integers(0, 900),
    st.integers(0, 900), st.none() | st.integers(1, 9000),
)  # fmt: skip
def test_no_bound_is_ever_looser_than_what_anybody_says(
    local_ms: int, profile_ms: int | None, local_skew: int, skew: int, budget_ms: int | None
) -> None:
    base = Terms(local_ms, local_skew, 2000)
    said = budgeted() if budget_ms is None else budgeted(max_age_ms=budget_ms)
    found = bounds.terms(base, made(ttl_ms=profile_ms, skew_ms=skew), said)
    assert found.ttl_ms == min(x for x in (local_ms, profile_ms, budget_ms) if x is not None)
    assert (found.skew_ms, found.drift_ppm) == (max(local_skew, skew), 2000)


def test_the_largest_quorum_and_the_shortest_poll_count() -> None:
    assert bounds.quorum(2, made(read=4), budgeted(min_quorum=3)) == 4
    assert bounds.quorum(2, made(read=1), budgeted(min_quorum=3)) == 3
    assert bounds.quorum(5, made(read=4), budgeted(min_quorum=3)) == 5
    assert bounds.poll_ms(250, made(poll_ms=100)) == 100
    assert bounds.poll_ms(250, made(poll_ms=400)) == 250


@pytest.mark.parametrize(
    ("epoch", "profile", "budget", "limits"),
    [
        ((0, 0), (0, 0), None, Lags(0, 0)),
        ((900, 800), (0, 0), None, Lags(900, 800)),
        ((900, 800), (700, 600), None, Lags(700, 600)),
        ((500, 400), (700, 600), None, Lags(500, 400)),
        ((0, 0), (700, 600), 300, Lags(300, 600)),
        ((0, 0), (0, 0), 300, Lags(300, 0)),
    ],
)
def test_the_shortest_limit_of_the_audit_log_counts_and_none_is_no_limit(
    epoch: tuple[int, int], profile: tuple[int, int], budget: int | None, limits: Lags
) -> None:
    said = Audit(max_checkpoint_age_ms=epoch[0], max_unacked_ms=epoch[1], overflow="contain")
    wanted = made(checkpoint_age_ms=profile[0], unacked_ms=profile[1])
    rules = DENY_ALL if budget is None else budgeted(max_audit_lag_ms=budget)
    assert bounds.lags(builders.make_epoch(TRUST, audit=said), wanted, rules) == limits


def test_a_profile_may_want_more_witnesses_than_the_trust_document_and_never_fewer() -> None:
    known = Witnesses({}, 2)
    assert bounds.witnesses(known, made(witnesses=3)).threshold == 3
    assert bounds.witnesses(known, made(witnesses=1)) is known


def test_records_are_as_sure_and_as_short_as_the_stricter_one_says() -> None:
    found = bounds.recording(PLAIN, made(strict=True, pathless=True))
    assert (found.strict, found.paths) == (True, False)
    strict = replace(PLAIN, strict=True, paths=False)
    kept = bounds.recording(strict, made(strict=True))
    assert (kept.strict, kept.paths) == (True, False)
    assert bounds.recording(strict, made(pathless=True)).strict


@pytest.mark.parametrize(
    ("rule_ms", "caps", "found_ms"),
    [(5000, (None,), 5000), (5000, (3000, None), 3000), (1000, (3000,), 1000), (5000, (0,), 0)],
)
def test_a_drain_is_as_long_as_every_profile_lets_it(
    rule_ms: int, caps: tuple[int | None, ...], found_ms: int
) -> None:
    assert bounds.drain_ms(rule_ms, *(made(drain_max_ms=cap) for cap in caps)) == found_ms
