"""What a change is said to do to verdicts, and what it does: random policies, every request."""

import pytest
from hypothesis import given, settings

from sidecar.cli.workbench import effect
from sidecar.cli.workbench.differences import compare
from sidecar.cli.workbench.effect import EITHER, LOOSENS, NONE, TIGHTENS, Effect
from sidecar.core import canonical, policy
from sidecar.core.facts import NOWHERE, Facts
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.policy_body import Body
from sidecar.core.routes import NO_ROUTES
from tests.cli.workbench.policies import HEADS, policies


def permits(body: Body) -> list[bool]:
    compiled = policy.parse(canonical.dump(body))
    now = Now(BootNs(0), WallMs(0))
    return [
        compiled.judge(Facts(head, NO_ROUTES, None, None, NOWHERE, now)).reason is None
        for head in HEADS
    ]


@settings(deadline=None)  # compiles two policies each time
@given(policies, policies)
def test_what_is_promised_of_a_change_is_so_for_every_request(old: Body, new: Body) -> None:
    told = effect.together(change.effect for change in compare(old, new))
    before, after = permits(old), permits(new)
    loosened = any(now and not was for was, now in zip(before, after, strict=True))
    tightened = any(was and not now for was, now in zip(before, after, strict=True))
    assert not loosened or told in (LOOSENS, EITHER)
    assert not tightened or told in (TIGHTENS, EITHER)


@pytest.mark.parametrize(
    ("effects", "found"),
    [
        ([], NONE), ([NONE, LOOSENS], LOOSENS), ([TIGHTENS, TIGHTENS], TIGHTENS),
        ([TIGHTENS, LOOSENS], EITHER), ([EITHER, NONE], EITHER),
    ],
)  # fmt: skip
def test_effects_add_up(effects: list[Effect], found: Effect) -> None:
    assert effect.together(effects) is found
    assert effect.together(effect.inverse(one) for one in effects) is effect.inverse(found)


def test_a_longer_drain_loosens() -> None:
    assert effect.of_most(1, 2) is LOOSENS
    assert effect.of_in_flight("cut", "cut") is NONE
