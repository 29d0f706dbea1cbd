"""What a bundle may say: old bytes stay what they were, and what is not known is refused."""

import msgspec
import pytest

from sidecar.core import canonical, policy
from sidecar.core.policy_body import TYPE, Body, RolloutBody
from sidecar.core.reason import ProtocolError

OLD = (
    b'{"_type":"urn:epochgate:policy:v1","name":"p","rules":[{"action":"permit","headers":[],'
    b'"in_flight":"cut","methods":[],"name":"r","paths":["/**"]}]}'
)


def test_a_bundle_from_before_has_the_same_bytes() -> None:
    body = canonical.load(OLD, Body, policy.MAX_BYTES)
    assert canonical.dump(body) == OLD


def test_a_rollout_holds_a_whole_policy() -> None:
    other = canonical.load(OLD, Body, policy.MAX_BYTES)
    body = msgspec.structs.replace(other, rollout=RolloutBody(otherwise=other, percent=20))
    raw = canonical.dump(body)
    assert canonical.load(raw, Body, policy.MAX_BYTES) == body
    assert body.type == TYPE


@pytest.mark.parametrize("percent", [-1, 101])
def test_percent_is_a_part_of_a_hundred(percent: int) -> None:
    raw = OLD[:-1] + b',"rollout":{"otherwise":%b,"percent":%d}}' % (OLD, percent)
    with pytest.raises(ProtocolError):
        canonical.load(raw, Body, policy.MAX_BYTES)
