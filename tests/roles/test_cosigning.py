"""An authority as a witness: its key needs the role, and it knows the logs of who reports to it."""

import asyncio
import io
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sidecar import clock
from sidecar.authority.publisher import Publisher
from sidecar.authority.witnessed import digest
from sidecar.config.sections import Address, AuthorityConfig, Beat
from sidecar.core import layout
from sidecar.core.log import cosignature
from sidecar.core.objects.epoch import Audit
from sidecar.core.objects.trust import Role
from sidecar.roles import cosigning
from sidecar.roles.start import StartError
from sidecar.telemetry import logs
from tests import builders
from tests.integration.harness import HOST, LIMIT_S, World
from tests.integration.test_witness import WITNESSED
from tests.roles.test_authority import Authority

TRUST = builders.make_trust(roles=WITNESSED)


def config(folder: Path, **changes: Any) -> AuthorityConfig:
    return AuthorityConfig(
        trust_file=folder / "trust.json", state_dir=folder, beat_key_file=folder / "beat.key",
        peers=(), beat=Beat(ttl_ms=2000), status=Address(HOST, 0), public=Address(HOST, 0),
        **changes,
    )  # fmt: skip


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    key = builders.signer(Role.BEAT)
    made = Publisher(config(tmp_path), TRUST, key, (), clock.now, lambda _: None)
    yield made
    made._store.close()


def routes(publisher: Publisher, folder: Path, key: Role | None) -> list[str]:
    file = None
    if key is not None:
        file = folder / "witness.key"
        builders.signer(key).save(file)
    log = logs.setup("info", io.StringIO(), lambda _: None)
    made = cosigning.routes(config(folder, witness_key_file=file), publisher, log)
    return sorted(route.path for route in made)


def test_without_a_key_it_is_no_witness(publisher: Publisher, tmp_path: Path) -> None:
    assert routes(publisher, tmp_path, None) == []


def test_with_one_it_answers_where_a_witness_does(publisher: Publisher, tmp_path: Path) -> None:
    found = routes(publisher, tmp_path, Role.WITNESS)
    assert found == ["/add-checkpoint", "/{log:[0-9a-f]{64}}/checkpoint"]


def test_a_key_without_the_role_is_refused_with_what_to_do(
    publisher: Publisher, tmp_path: Path
) -> None:
    with pytest.raises(StartError, match="gives it no role witness"):
        routes(publisher, tmp_path, Role.BEAT)


def test_a_folder_that_cannot_be_used_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "witness").write_text("")
    with pytest.raises(StartError, match="check spec"):
        routes(publisher, tmp_path, Role.WITNESS)


@pytest.mark.trust(roles=WITNESSED)
@pytest.mark.sidecar(audit__checkpointPeriod="100ms")
async def test_a_fleet_whose_epoch_demands_a_witness_serves_with_that_of_its_authority(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything real: the report makes the log known, the witness cosigns, the gate opens."""
    with closing(socket.create_server((HOST, 0))) as free:
        port = free.getsockname()[1]
    demand = Audit(max_checkpoint_age_ms=5000, max_unacked_ms=5000, overflow="contain")
    epoch = world.hand.put_epoch(routes=world.routes, audit=demand)
    world.hand.put(layout.head_key(world.hand.trust.domain), epoch.sha256.encode())
    authority = Authority(
        tmp_path / "authority", world.hand, 1,
        keys={"beat": "beat.key", "witness": "witness.key"},
        listen={"status": f"{HOST}:0", "public": f"{HOST}:{port}"},
    )  # fmt: skip
    builders.signer(Role.WITNESS).save(authority.folder / "witness.key")
    authority.start()
    monkeypatch.setenv("EPOCHGATE_AUDIT__WITNESSES", f"[{{url: 'http://{HOST}:{port}'}}]")
    try:
        await world.sidecar.start()
        await world.until(200)
        async with asyncio.timeout(LIMIT_S):
            while (await world.state())["audit"]["acked"] == 0:
                await asyncio.sleep(0.02)
        log = (world.sidecar.journal / "log.vkey").read_text().partition("+")[0]
        async with world.session.get(f"http://{HOST}:{port}/{digest(log)}/checkpoint") as answer:
            assert answer.status == 200
            _, found = cosignature.find(await answer.read(), world.hand.trust.witnesses.keys)
        assert len(found) == 1
        world.sidecar.end()
        assert authority.end() == 0
    finally:
        authority.end(9)
