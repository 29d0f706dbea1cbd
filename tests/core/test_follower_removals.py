"""What an epoch lists does not vanish from the next one in silence."""

from typing import Any

import pytest

from sidecar.core import canonical, layout
from sidecar.core.objects.epoch import Scope
from sidecar.core.reason import Reason
from tests import builders
from tests.core.test_follower import TRUST, Rig, beat, outcome

NAMED = Scope(services=("model", "other"), regions=(), tenants=(), instances=())
FEWER = Scope(services=("model",), regions=(), tenants=(), instances=())
FIRST_RAW = builders.epoch_bytes(TRUST, scope=NAMED)
FIRST = builders.open_epoch(FIRST_RAW, TRUST)
RENAMED = builders.ROUTES.replace(b'"name":"api"', b'"name":"chat"')


def rig(*raws: bytes) -> Rig:
    """Serves under FIRST; peers hold these epochs too."""
    objects = {
        layout.blob_key("test", canonical.digest(blob)): blob
        for blob in (builders.POLICY, builders.ROUTES, RENAMED)
    }
    for raw in (FIRST_RAW, *raws):
        objects[layout.epoch_key("test", builders.open_epoch(raw, TRUST).sha256)] = raw
    made = Rig(objects=objects)
    made.whole(0, beat(FIRST, 1))
    assert made.lease is not None
    return made


def moved_on(raw: bytes, *between: bytes) -> Rig:
    """The fleet is asked to go on to `raw`."""
    made = rig(raw, *between)
    made.whole(600, beat(builders.open_epoch(raw, TRUST), 2, 500))
    return made


@pytest.mark.parametrize(
    "changes",
    [{"scope": FEWER}, {"scope": NAMED, "routes_blob": RENAMED}],
    ids=["service", "route"],
)
def test_what_vanishes_without_a_word_is_refused(changes: dict[str, Any]) -> None:
    """A line that was lost in a file must not take a service out of the gate's reach."""
    made = moved_on(builders.epoch_bytes(TRUST, FIRST, **changes))
    assert made.lease is not None
    assert made.lease.epoch_seq == 1
    assert Reason.EPOCH_CHAIN_BREAK in outcome(made.told).faults


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("service:other", {"scope": FEWER}),
        ("route:api", {"scope": NAMED, "routes_blob": RENAMED}),
    ],
)
def test_what_is_taken_away_by_name_may_go(name: str, changes: dict[str, Any]) -> None:
    made = moved_on(builders.epoch_bytes(TRUST, FIRST, removes=(name,), **changes))
    assert made.lease is not None
    assert made.lease.epoch_seq == 2


def test_an_epoch_that_was_missed_may_have_said_it() -> None:
    """A pod that was down for two epochs knows only the first of the three."""
    between_raw = builders.epoch_bytes(TRUST, FIRST, scope=FEWER, removes=("service:other",))
    between = builders.open_epoch(between_raw, TRUST)
    made = moved_on(builders.epoch_bytes(TRUST, between, scope=FEWER), between_raw)
    assert made.lease is not None
    assert made.lease.epoch_seq == 3


def test_a_restart_still_knows_what_was_listed() -> None:
    raw = builders.epoch_bytes(TRUST, FIRST, scope=FEWER)
    made = rig(raw).restarted()
    made.whole(600, beat(builders.open_epoch(raw, TRUST), 2, 500))
    assert made.lease is None
    assert Reason.EPOCH_CHAIN_BREAK in outcome(made.told).faults
