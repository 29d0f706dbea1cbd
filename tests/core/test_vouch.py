"""What a beat says, field by field."""

import msgspec
import pytest

from sidecar.core import vouch
from sidecar.core.instant import WallMs
from sidecar.core.issued import Issued
from sidecar.core.issuing import Fact
from sidecar.core.objects import beat, halt, trust
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.vouch import Setting
from tests import builders, rotation
from tests.builders import NOW

TRUST = builders.make_trust()
KEY = builders.signer(Role.BEAT)
EPOCH = builders.make_epoch(TRUST)


def says(issued: Issued, ttl_ms: int = 3000) -> beat.Body:
    setting = Setting(KEY.key_id, KEY.public, (), ttl_ms, 250)
    return vouch.says(TRUST, setting, issued, EPOCH, builders.beat_body(TRUST, EPOCH).fleet, NOW)


def test_beat_says_what_the_protocol_lists() -> None:
    issued = Issued(TRUST, KEY.key_id, None)
    assert says(issued) == builders.beat_body(TRUST, EPOCH, ttl_ms=3000, interval_ms=250)


@pytest.mark.parametrize(("asked", "said"), [(3000, 3000), (4000, 4000), (90_000, 4000)])
def test_signed_ceiling_bounds_the_life_of_a_beat(asked: int, said: int) -> None:
    assert says(Issued(TRUST, KEY.key_id, None), asked).ttl_ms == said


@pytest.mark.parametrize(
    ("kind", "state"), [("global", "halt"), ("drill", "run"), ("service", "run")]
)
def test_state_repeats_global_halts_only(kind: str, state: str) -> None:
    issued = Issued(TRUST, KEY.key_id, None)
    scope = msgspec.convert({"kind": kind, "value": "x"}, halt.Scope)
    issued.take([builders.make_order(TRUST, scope=scope)])
    said = says(issued)
    assert (said.state, said.halts.seq, said.halts.sha256) == (state, 1, issued.halts.sha256)


# --- when there is none


SETTING = Setting(KEY.key_id, KEY.public, (), 3000, 250)


def refused(under: Trust = TRUST, at: int = NOW, *, answered: int = 2) -> set[Fact]:
    issued = Issued(TRUST, KEY.key_id, None)
    issued.adopt(EPOCH, builders.epoch_bytes(TRUST))
    found = vouch.refusals(under, SETTING, issued, answered, WallMs(at))
    return {fact for fact, detail in found.items() if detail}


def lasting(not_after: int) -> Trust:
    """Our key ends then."""
    keys = {Role.BEAT: [KEY]}
    return rotation.successor(TRUST, keys, not_after=not_after, issued_at=NOW)


def test_nothing_refuses_a_beat_when_all_is_well() -> None:
    assert refused() == set()


def test_a_key_that_trust_retired_or_revoked_vouches_for_nothing() -> None:
    retired = rotation.successor(TRUST, {Role.BEAT: rotation.others(Role.BEAT, 2)})
    gone = trust.Revoked(keyid=KEY.key_id, reason="stolen", at=NOW)
    revoked = rotation.successor(TRUST, revoked=(gone,))
    assert refused(retired) == refused(revoked) == {Fact.KEY_RETIRED}


def test_a_key_vouches_for_nothing_from_five_beats_before_its_end() -> None:
    """The clocks of those who read it differ from ours."""
    ends = NOW + builders.DAY_MS
    early = ends - vouch.LAST_BEATS * SETTING.interval_ms
    assert refused(lasting(ends), early - 1) == set()
    assert refused(lasting(ends), early) == {Fact.KEY_EXPIRED}
    assert refused(lasting(ends), ends + 1) == {Fact.KEY_EXPIRED}


@pytest.mark.parametrize(
    ("life_ms", "warned_ms"),
    [(builders.DAY_MS, builders.DAY_MS // 10), (100 * builders.DAY_MS, builders.DAY_MS)],
)
def test_the_end_of_a_key_is_told_a_tenth_of_its_life_or_a_day_before(
    life_ms: int, warned_ms: int
) -> None:
    under = lasting(NOW + life_ms)
    assert vouch.expiring(under, SETTING, WallMs(NOW + life_ms - warned_ms - 1)) == ""
    said = vouch.expiring(under, SETTING, WallMs(NOW + life_ms - warned_ms))
    assert KEY.key_id[:16] in said
    assert vouch.expiring(under, SETTING, WallMs(NOW + life_ms - 5)) == said, "told once"
    assert vouch.expiring(TRUST, SETTING, NOW) == ""


def test_too_few_answers_are_not_taken_for_no_epoch() -> None:
    assert refused(answered=1) == {Fact.TOO_FEW_PEERS}
    empty = Issued(TRUST, KEY.key_id, None)
    for answered, fact in ((1, Fact.TOO_FEW_PEERS), (2, Fact.NO_EPOCH)):
        found = vouch.refusals(TRUST, SETTING, empty, answered, NOW)
        assert {one for one, detail in found.items() if detail} == {fact}
