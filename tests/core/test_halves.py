"""Which half of a rollout an instance takes: by its key, for good, and by nothing else."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from sidecar.core import halves, policy
from sidecar.core.facts import NOWHERE, Workload
from sidecar.core.policy_body import RolloutBody

OTHER = policy.Body(type=policy.TYPE, name="other", rules=())
KEY_IDS = [hashlib.sha256(b"key-%d" % number).hexdigest() for number in range(1000)]

percents = st.integers(0, 100)


def taken(percent: int, key_id: str, name: str = "p") -> str | None:
    said = RolloutBody(otherwise=OTHER, percent=percent)
    return halves.half(name, said, Workload(key_id=key_id))


def test_the_share_of_an_instance_is_the_one_that_was_agreed() -> None:
    """Whoever shows how far a rollout is has to reckon alike: so it is fixed here, once."""
    assert halves.share("chat", "ab" * 32) == 8313
    assert halves.share("chat", "cd" * 32) != halves.share("other", "cd" * 32)


@given(percents, percents, st.sampled_from(KEY_IDS))
def test_who_has_it_keeps_it_while_the_rollout_grows(one: int, two: int, key_id: str) -> None:
    if taken(min(one, two), key_id) == "within":
        assert taken(max(one, two), key_id) == "within"


@pytest.mark.parametrize("percent", [0, 1, 25, 50, 99, 100])
def test_as_many_have_it_as_was_said(percent: int) -> None:
    within = sum(taken(percent, key_id) == "within" for key_id in KEY_IDS)
    assert abs(within - percent * 10) <= 45  # three standard deviations
    assert percent not in (0, 100) or within == percent * 10


def test_rollouts_of_two_policies_do_not_hit_the_same_instances() -> None:
    one, two = ({key for key in KEY_IDS if taken(10, key, name) == "within"} for name in "ab")
    assert len(one & two) < 40


def test_who_does_not_know_its_key_takes_the_policy_itself() -> None:
    assert halves.half("p", RolloutBody(otherwise=OTHER, percent=0), NOWHERE) == "within"


def test_a_policy_without_a_rollout_has_no_halves() -> None:
    assert halves.half("p", UNSET, Workload(key_id=KEY_IDS[0])) is None


def test_who_stands_just_at_the_percent_is_not_within() -> None:
    key_id = next(key for key in KEY_IDS if halves.share("p", key) % 100 == 0)
    percent = halves.share("p", key_id) // 100
    assert (taken(percent, key_id), taken(percent + 1, key_id)) == ("otherwise", "within")
