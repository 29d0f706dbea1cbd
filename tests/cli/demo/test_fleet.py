"""What the demo writes is a valid fleet."""

from pathlib import Path

import pytest

from sidecar import clock
from sidecar.cli.demo.fleet import TTL_MS, Fleet
from sidecar.cli.text import CliError
from sidecar.config import check, read
from sidecar.core.objects import trust


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path)
    made.prepare()
    return made


def test_the_configurations_fit_the_trust_document(fleet: Fleet) -> None:
    pinned = trust.parse((fleet.folder / "trust" / "trust.json").read_bytes(), clock.now().wall)
    sidecar = read.read_sidecar(fleet.folder / "sidecar.yaml", {}).config
    authority = read.read_authority(fleet.folder / "authority.yaml", {}).config
    interval_ms = authority.beat.interval_ms
    assert check.against_trust(sidecar, pinned, interval_ms) == []
    assert check.against_trust(authority, pinned, None) == []
    assert pinned.body.limits.ttl_max_ms == TTL_MS


def test_keys_are_for_the_owner_only(fleet: Fleet) -> None:
    keys = list((fleet.folder / "trust" / "keys").iterdir())
    assert keys
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


def test_a_command_that_fails_says_what_it_said(fleet: Fleet) -> None:
    with pytest.raises(CliError, match="epochgate trust: error:"):
        fleet.command("trust", "init", "--domain", "demo", "--out", "trust")
