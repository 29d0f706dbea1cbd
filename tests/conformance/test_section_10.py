"""EG-PROTOCOL-001 section 10: Deployment Contexts.

The checks run on the deployment, which can meet each demand for itself. What the profile of each
context adds up to is seen without processes, with the numbers of the protocol written down here.
"""

import pytest

from sidecar.core.instant import NS_PER_MS
from sidecar.core.lease import Freshness
from sidecar.core.reason import Reason
from tests import builders
from tests.conformance.conftest import Conforms
from tests.conformance.contexts import Context

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def leases(
    name: str, ttl_ms: int, anchor: Freshness, skew_ms: int, poll_ms: int, need: int
) -> Context:
    """Assert what a lease is worth, how many peers it takes, and how often a sidecar looks."""
    context = Context(name)
    short = context.serve(0, peers=need - 1)
    assert (short.lease, short.unmet) == (None, (Reason.QUORUM_LOST,))
    lease = context.serve(5000, peers=need).lease
    assert lease is not None
    assert (lease.anchor, len(lease.peers)) == (anchor, need)
    assert lease.wall_deadline == builders.now(5000 + ttl_ms - skew_ms).wall
    worth_ms = ttl_ms - skew_ms - 1  # a millisecond that has begun counts as gone
    assert lease.deadline == builders.now(5000).boot + worth_ms * NS_PER_MS * 998 // 1000
    assert context.pause_ms == poll_ms
    return context


def demands_a_nonce(context: Context) -> None:
    """Assert that a beat which covers no report gives no lease."""
    fresh = Context(context.profile.name).serve(0, covered=False)
    assert (fresh.lease, fresh.unmet) == (None, (Reason.NONCE_MISSING,))


def drains(context: Context, most_ms: int) -> None:
    """Assert that a rule drains, and no longer than the profile lets it."""
    longest_ms = max(rule.drain_ms for rule in context.gate.policy.rules)
    assert longest_ms == context.profile.drain_max_ms == most_ms


# The sidecars here say `clock`, so where a profile says `nonce` alone both anchors are needed, and
# the skew is the one that the trust document signs: 100 ms.


def test_10_1_sovereign_ai_infrastructure(conforms: Conforms) -> None:
    context = leases("sovereign", 4000, "both", 100, 250, 4)
    demands_a_nonce(context)
    drains(context, 0)
    assert (context.gate.cosigners.threshold, context.gate.lags.unacked_ms) == (2, 10_000)
    alone = Context("sovereign", witnesses=1).serve(0)
    assert (alone.lease, alone.unmet) == (None, (Reason.PROFILE_UNSUPPORTED,))
    conforms("withheld_profile", "demanded_nonce", "demanded_peers")


def test_10_2_multi_region_runtime_coordination(conforms: Conforms) -> None:
    context = leases("multi-region", 6000, "both", 250, 400, 2)
    demands_a_nonce(context)
    drains(context, 0)
    conforms("withheld_profile", "demanded_peers")


def test_10_3_financial_governance_enforcement(conforms: Conforms) -> None:
    context = leases("financial", 2000, "both", 250, 100, 4)
    demands_a_nonce(context)
    drains(context, 0)
    assert context.profile.strict
    assert context.gate.lags.unsigned_ms == 2000
    conforms("withheld_profile", "demanded_peers", "demanded_ttl", "demanded_records")


def test_10_4_healthcare_runtime_protection(conforms: Conforms) -> None:
    context = leases("healthcare", 3000, "both", 400, 200, 3)
    demands_a_nonce(context)
    drains(context, 5000)
    assert context.profile.pathless
    conforms("withheld_profile", "demanded_records")


def test_10_5_enterprise_ai_governance(conforms: Conforms) -> None:
    context = leases("enterprise", 10_000, "clock", 1000, 500, 2)
    drains(context, 30_000)
    conforms("withheld_profile", "demanded_ttl")


def test_10_6_regulated_multi_agent_systems(conforms: Conforms) -> None:
    context = leases("multi-agent", 3000, "both", 400, 200, 3)
    demands_a_nonce(context)
    drains(context, 0)
    assert context.gate.profile.parent_required
    conforms("withheld_profile")


def test_10_7_kubernetes_runtime_coordination(conforms: Conforms) -> None:
    context = leases("kubernetes", 5000, "both", 500, 300, 2)
    demands_a_nonce(context)
    drains(context, 20_000)
    conforms("withheld_profile", "demanded_ttl")


def test_10_8_distributed_runtime_synchronization(conforms: Conforms) -> None:
    context = leases("distributed", 5000, "both", 100, 300, 3)
    demands_a_nonce(context)
    drains(context, 0)
    conforms("withheld_profile", "demanded_nonce", "demanded_peers")
