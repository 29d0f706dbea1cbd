"""A sidecar follows its peers from its marks, or not at all."""

import io
from pathlib import Path

import msgspec
import pytest

from sidecar import clock
from sidecar.config.read import read_sidecar
from sidecar.config.sections import SidecarConfig
from sidecar.core import marks
from sidecar.core.events import Standing
from sidecar.core.gate import Gate
from sidecar.core.objects import trust
from sidecar.core.reason import Reason
from sidecar.roles import following
from sidecar.sync.driver import Driver
from sidecar.sync.store import MarksStore
from sidecar.telemetry import logs
from tests import builders
from tests.config import builders as config_builders

TRUST = trust.parse(builders.trust_bytes(issued_at=1, expires=2**50), clock.now().wall)
MARKS = marks.Marks(
    type=marks.TYPE, domain=TRUST.domain, generation=1,
    trust=trust.TrustRef(version=TRUST.version, sha256=TRUST.sha256), epoch=None, beats={},
    trust_envelope=None,     halts=(), latches=(), routes=None, last_wall=0,
)  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> SidecarConfig:
    (tmp_path / "state").mkdir()
    text = config_builders.SIDECAR
    return read_sidecar(config_builders.write(tmp_path, text), {}).config


async def opened(config: SidecarConfig, gate: Gate) -> Driver | None:
    log = logs.setup("info", io.StringIO(), lambda _: None)
    return following.open_driver(
        config, TRUST, {}, gate, log, lambda _: None,
        identity=following.identity(config, builders.instance_key()), standing=Standing,
    )  # fmt: skip


async def test_a_first_boot_and_good_marks_are_gone_on_from(config: SidecarConfig) -> None:
    gate = Gate()
    assert await opened(config, gate) is not None
    MarksStore(config.state_dir).save(marks.encode(MARKS))
    assert await opened(config, gate) is not None
    assert gate.snapshot.holds == ()


async def test_damaged_marks_hold_the_gate_and_nobody_is_followed(config: SidecarConfig) -> None:
    gate = Gate()
    MarksStore(config.state_dir).save(marks.encode(MARKS)[:-1])
    assert await opened(config, gate) is None
    assert gate.snapshot.closed is Reason.STATE_CORRUPT


async def test_marks_of_a_newer_trust_document_hold_the_gate(config: SidecarConfig) -> None:
    gate = Gate()
    newer = trust.TrustRef(version=TRUST.version + 1, sha256=TRUST.sha256)
    changed = msgspec.structs.replace(MARKS, trust=newer)
    MarksStore(config.state_dir).save(marks.encode(changed))
    assert await opened(config, gate) is None
    assert gate.snapshot.closed is Reason.TRUST_WITHHELD
