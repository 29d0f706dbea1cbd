"""What a beat says, field by field."""

import msgspec
import pytest

from sidecar.core import vouch
from sidecar.core.issued import Issued
from sidecar.core.objects import beat, halt
from sidecar.core.objects.trust import Role
from sidecar.core.vouch import Setting
from tests import builders
from tests.builders import NOW

TRUST = builders.make_trust()
KEY = builders.signer(Role.BEAT)
EPOCH = builders.make_epoch(TRUST)


def says(issued: Issued, ttl_ms: int = 3000) -> beat.Body:
    setting = Setting(KEY.key_id, KEY.public, (), ttl_ms, 250)
    return vouch.says(TRUST, setting, issued, EPOCH, NOW)


def test_beat_says_what_the_protocol_lists() -> None:
    issued = Issued(TRUST.domain, KEY.key_id, None)
    assert says(issued) == builders.beat_body(TRUST, EPOCH, ttl_ms=3000, interval_ms=250)


@pytest.mark.parametrize(("asked", "said"), [(3000, 3000), (4000, 4000), (90_000, 4000)])
def test_signed_ceiling_bounds_the_life_of_a_beat(asked: int, said: int) -> None:
    assert says(Issued(TRUST.domain, KEY.key_id, None), asked).ttl_ms == said


@pytest.mark.parametrize(
    ("kind", "state"), [("global", "halt"), ("drill", "run"), ("service", "run")]
)
def test_state_repeats_global_halts_only(kind: str, state: str) -> None:
    issued = Issued(TRUST.domain, KEY.key_id, None)
    scope = msgspec.convert({"kind": kind, "value": "x"}, halt.Scope)
    issued.take([builders.make_order(TRUST, scope=scope)])
    said = says(issued)
    assert (said.state, said.halts.seq, said.halts.sha256) == (state, 1, issued.halts.sha256)
