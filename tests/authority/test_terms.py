"""What an epoch says, read back as a plan, and compared with the next one."""

from dataclasses import fields, replace
from typing import Any

import pytest

from sidecar.authority import ceremony, terms
from sidecar.authority.plan import EpochPlan
from sidecar.authority.terms import Change
from sidecar.core import canonical, routes
from sidecar.core.objects.epoch import Runtime
from sidecar.core.objects.trust import Role
from tests import builders

STRICT = builders.profile_bytes()
ONE, TWO = "1" * 64, "2" * 64
TENANTS = builders.routes_bytes(attributes={"tenant": "x-tenant"})
OTHER = builders.POLICY.replace(b'"name":"chat","rules"', b'"name":"other","rules"')
BARE = EpochPlan(builders.POLICY, TENANTS, life_ms=60_000)
# For each field of a plan but those that only go with the next epoch: another value, how the change
# to it is called, and whether going back from there is looser.
DEMANDS = Runtime(image_digests=("i",), code_sha256=(), config_sha256=(), model_digests={})
OTHERS: dict[str, tuple[Any, str, bool]] = {
    "policy": (OTHER, "policy", False),
    "routes": (builders.routes_bytes(8000, attributes={"tenant": "x-tenant"}), "routes", False),
    "profile": (builders.profile_bytes(), "profile", True),
    "life_ms": (3_600_000, "life", False),
    "activation": ("immediate", "activation", True),
    "services": (("chat",), "services", True),
    "regions": (("eu",), "regions", True),
    "tenants": (("acme",), "tenants", True),
    "enforcement": ("observe", "enforcement", False),
    "runtime": (DEMANDS, "image", True),
    "instances": ((ONE,), "instances", True),
    "max_unacked_ms": (5_000, "max unacked", True),
    "max_diverged": (0, "max diverged", True),
    "max_checkpoint_age_ms": (5_000, "log unsigned", True),
    "max_audit_unacked_ms": (5_000, "log unacked", True),
}
OF_THE_NEXT = {"removes", "reason"}


def test_every_field_of_a_plan_is_known_here() -> None:
    """A demand that `again` or `changes` did not know would be dropped without a word."""
    assert {one.name for one in fields(EpochPlan)} - OF_THE_NEXT == set(OTHERS)


@pytest.mark.parametrize("name", OTHERS)
def test_a_field_that_differs_is_one_change_and_the_way_back_another(name: str) -> None:
    value, what, looser = OTHERS[name]
    other = replace(BARE, **{name: value})
    (there,) = terms.changes(BARE, other)
    (back,) = terms.changes(other, BARE)
    assert (there.what, back.what, back.looser) == (what, what, looser)
    assert (there.before, there.after) == (back.after, back.before)
    assert there.before != there.after
    assert terms.changes(other, other) == []


def test_an_epoch_says_again_what_it_was_planned_to_say() -> None:
    under = builders.make_trust(roles={**builders.ROLES, Role.WITNESS: (1, 1)})
    plan = replace(BARE, **{name: value for name, (value, _, _) in OTHERS.items()})
    keys = builders.signers(Role.EPOCH, 2)
    made, _ = ceremony.make_epoch(plan, under, None, keys, builders.NOW)
    assert terms.again(made.says, plan.policy, plan.routes, plan.profile) == plan


@pytest.mark.parametrize(
    ("before", "after", "looser"),
    [
        ({"services": ("a",)}, {"services": ("a", "b")}, True),
        ({"services": ("a", "b")}, {"services": ("a",)}, False),
        ({"services": ("a",)}, {"services": ("b",)}, True),
        ({}, {"services": ("a",)}, False),
        ({"max_unacked_ms": 5_000}, {"max_unacked_ms": 6_000}, True),
        ({"max_unacked_ms": 6_000}, {"max_unacked_ms": 5_000}, False),
        ({}, {"max_unacked_ms": 5_000}, False),
        ({"max_diverged": 0}, {"max_diverged": 1}, True),
        ({"max_diverged": 1}, {"max_diverged": 0}, False),
        ({}, {"max_diverged": 1}, False),
        ({}, {"enforcement": "observe"}, True),
        ({"life_ms": 1}, {"life_ms": 2}, True),
        ({}, {"activation": "immediate"}, False),
        ({}, {"profile": STRICT}, False),
        ({"profile": STRICT}, {"profile": builders.profile_bytes(parent="required")}, False),
        ({"profile": builders.profile_bytes(parent="required")}, {"profile": STRICT}, True),
    ],
)
def test_only_what_certainly_is_looser_is_called_so(
    before: dict[str, Any], after: dict[str, Any], *, looser: bool
) -> None:
    (change,) = terms.changes(replace(BARE, **before), replace(BARE, **after))
    assert change.looser is looser


def test_demanded_files_are_compared_one_by_one() -> None:
    def plan(**models: str) -> EpochPlan:
        return replace(BARE, runtime=Runtime((), (), (), models))

    assert terms.changes(plan(a=ONE, b=ONE, c=ONE), plan(b=TWO, c=ONE, d=ONE)) == [
        Change("file a", ONE, None, looser=True),
        Change("file b", ONE, TWO),
        Change("file d", None, ONE),
    ]


def test_bundles_are_shown_by_name_and_digest_and_what_goes_by_its_name() -> None:
    table = routes.parse(TENANTS)
    found = terms.changes(BARE, replace(BARE, policy=OTHER, removes=("policy:chat",)))
    assert found == [
        Change(
            "policy",
            f"chat {canonical.digest(builders.POLICY)[:16]}",
            f"other {canonical.digest(OTHER)[:16]}",
        ),
        Change("takes away", "policy:chat", None),
    ]
    (change,) = terms.changes(replace(BARE, routes=builders.ROUTES), BARE)
    assert change.after == f"{table.name} {canonical.digest(TENANTS)[:16]}"
