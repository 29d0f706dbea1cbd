"""A profile bundle: what it says is kept, what it cannot mean is refused."""

from typing import Any

import msgspec
import pytest

from sidecar.core import canonical, profile
from sidecar.core.profile import BASELINE, Body, Profile
from sidecar.core.reason import ProtocolError, Reason
from tests import builders

AUDIT = {
    "durability": "strict", "max_checkpoint_age_ms": 1000, "max_unacked_ms": 5000, "paths": "none",
    "witnesses": 2,
}  # fmt: skip


def read(**changes: Any) -> Profile:
    return profile.parse(builders.profile_bytes(**changes))


def refused(**changes: Any) -> str:
    with pytest.raises(ProtocolError) as caught:
        read(**changes)
    assert caught.value.reason is Reason.PROFILE_UNSUPPORTED
    return caught.value.detail


def test_each_field_is_kept() -> None:
    raw = builders.profile_bytes(
        quorum={"n": 5, "r": 4, "w": 3}, in_flight={"drain_ms": 5000}, audit=AUDIT,
        parent="required",
    )  # fmt: skip
    assert profile.parse(raw) == Profile(
        name="strict", sha256=canonical.digest(raw), raw=raw, freshness="clock", ttl_ms=3000,
        skew_ms=600, interval_ms=400, poll_ms=200, peers=5, read=4, write=3, drain_max_ms=5000,
        strict=True, pathless=True, checkpoint_age_ms=1000, unacked_ms=5000, witnesses=2,
        parent_required=True,
    )  # fmt: skip


def test_what_is_absent_demands_nothing() -> None:
    found = read()
    assert (found.strict, found.pathless, found.parent_required) == (False, False, False)
    assert (found.checkpoint_age_ms, found.unacked_ms, found.witnesses) == (0, 0, 0)
    assert found.drain_max_ms == 0, "cut: nothing drains"


def test_the_one_that_is_built_in_has_the_digest_that_every_epoch_so_far_names() -> None:
    assert Profile("baseline", canonical.digest(b"baseline")) == BASELINE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_type": "urn:epochgate:policy:v1"}, "_type"),
        ({"name": "baseline"}, "is built in"),
        ({"quorum": {"n": 3, "r": 4, "w": 2}}, "quorum.r: 4 of 3"),
        ({"quorum": {"n": 3, "r": 2, "w": 4}}, "quorum.w: 4 of 3"),
        ({"quorum": {"n": 5, "r": 2, "w": 3}}, "must exceed peers 5"),
        ({"lease": {"ttl_ms": 3000, "freshness": "both"}}, "lease.skew_ms: is missing"),
        (
            {"lease": {"ttl_ms": 3000, "freshness": "nonce", "skew_ms": 1}},
            "lease.skew_ms: means nothing",
        ),
        (
            {"lease": {"ttl_ms": 2855, "freshness": "clock", "skew_ms": 600}},
            "lease.ttl_ms: is too short",
        ),
        ({"audit": {"witnesses": 2}}, "audit.witnesses"),
        ({"audit": {"durability": "group"}}, "audit.durability"),  # it could only loosen
        ({"parent": "optional"}, "parent"),
        ({"in_flight": {"drain_ms": 0}}, "in_flight"),
        ({"ttl": 1}, "ttl"),
    ],
)
def test_what_it_cannot_mean_is_refused(changes: dict[str, Any], said: str) -> None:
    assert said in refused(**changes)


def test_its_own_numbers_have_to_keep_a_lease_alive() -> None:
    """4 x 400 + 2 x 100 + 200 + 250 ms may pass; ttl less drift and skew has to be more."""
    tight = {"freshness": "clock", "skew_ms": 600}
    assert read(lease={**tight, "ttl_ms": 2857}).ttl_ms == 2857
    assert refused(lease={**tight, "ttl_ms": 2856}).endswith(": 1 ms are missing")


def test_bytes_that_are_no_profile_or_too_many_are_refused() -> None:
    for raw in (b"", b"{}", b"\xff", builders.POLICY, builders.profile_bytes() + b" "):
        with pytest.raises(ProtocolError) as caught:
            profile.parse(raw)
        assert caught.value.reason is Reason.PROFILE_UNSUPPORTED
    with pytest.raises(ProtocolError, match="limit"):
        profile.parse(b" " * (profile.MAX_BYTES + 1))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"lease": {"ttl_ms": 3001, "freshness": "clock", "skew_ms": 600}}),
        ({}, {"lease": {"ttl_ms": 3000, "freshness": "clock", "skew_ms": 599}}),
        ({}, {"lease": {"ttl_ms": 3000, "freshness": "nonce"}}),
        ({"quorum": {"n": 5, "r": 3, "w": 3}}, {"quorum": {"n": 4, "r": 3, "w": 3}}),
        ({"quorum": {"n": 5, "r": 4, "w": 3}}, {"quorum": {"n": 5, "r": 3, "w": 3}}),
        ({}, {"in_flight": {"drain_ms": 1}}),
        ({"parent": "required"}, {}),
        ({"audit": AUDIT}, {"audit": {**AUDIT, "max_unacked_ms": 5001}}),
        ({"audit": AUDIT}, {"audit": {**AUDIT, "witnesses": 1}}),
        ({"audit": {"durability": "strict"}}, {}),
        ({"audit": {"paths": "none"}}, {}),
        ({"audit": {"max_checkpoint_age_ms": 1}}, {}),
    ],
)
def test_what_is_demanded_less_is_looser_and_the_way_back_is_not(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    one, two = read(**before), read(**after)
    assert profile.looser(one, two)
    assert not profile.looser(one, one)
    assert profile.looser(one, BASELINE)
    assert not profile.looser(BASELINE, one)


def test_every_problem_is_told_at_once() -> None:
    raw = builders.profile_bytes(name="baseline", quorum={"n": 1, "r": 2, "w": 2})
    body = canonical.load(raw, Body, profile.MAX_BYTES)
    assert [key for key, _ in profile.problems(body)] == ["name", "quorum.r", "quorum.w"]
    good = msgspec.structs.replace(body, name="x", quorum=profile.QuorumBody(n=2, r=2, w=1))
    assert profile.problems(good) == []
