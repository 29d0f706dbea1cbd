"""What an epoch shall say: its blobs, and what its profile demands."""

import pytest

from sidecar.authority.plan import EpochPlan
from sidecar.core.profile import BASELINE
from sidecar.core.reason import ProtocolError
from tests import builders


def test_without_a_profile_nothing_is_demanded_and_no_blob_is_named() -> None:
    plan = EpochPlan(builders.POLICY, builders.ROUTES, 1)
    assert plan.compiled_profile is BASELINE
    assert plan.blobs == (builders.POLICY, builders.ROUTES)


def test_a_profile_is_a_blob_beside_the_others() -> None:
    raw = builders.profile_bytes()
    plan = EpochPlan(builders.POLICY, builders.ROUTES, 1, profile=raw)
    assert (plan.compiled_profile.name, plan.compiled_profile.ttl_ms) == ("strict", 3000)
    assert plan.blobs == (builders.POLICY, builders.ROUTES, raw)


def test_a_profile_that_nobody_would_accept_is_told() -> None:
    with pytest.raises(ProtocolError):
        _ = EpochPlan(builders.POLICY, builders.ROUTES, 1, profile=b"{}").compiled_profile
