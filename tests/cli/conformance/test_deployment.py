"""What is written is a valid fleet, and commands run in it."""

from pathlib import Path

import pytest

from sidecar import clock
from sidecar.cli.conformance.check import BrokenError
from sidecar.cli.conformance.deployment import TTL_MS, Deployment
from sidecar.config import check, read
from sidecar.core.objects import trust
from tests.cli.conformance.deaf import DeafDeployment


def test_the_configurations_fit_the_trust_document(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.close()
    deployment.prepare()
    pinned = trust.parse(
        (tmp_path / "trust" / "trust.json").read_bytes().rstrip(), clock.now().wall
    )
    authority = read.read_authority(tmp_path / "authority.yaml", {}).config
    for gate in deployment.gates:
        for freshness in ("clock", "nonce", "both"):
            gate.configure(freshness=freshness)
            loaded = read.read_sidecar(gate.file, {}).config
            assert check.against_trust(loaded, pinned, authority.beat.interval_ms) == []
    assert pinned.body.limits.ttl_max_ms == TTL_MS
    assert deployment.here.name != deployment.there.name


async def test_a_command_that_fails_is_told_and_one_that_must_not_breaks(
    deaf: DeafDeployment,
) -> None:
    done = await deaf.command("explain", "EG000")
    assert done.status != 0
    with pytest.raises(BrokenError, match="exit"):
        await deaf.succeed("explain", "EG000")


def test_the_newest_beat_of_any_peer_is_found(deaf: DeafDeployment) -> None:
    found = deaf.newest_beat()
    assert found is not None
    assert found.ttl_ms == TTL_MS
