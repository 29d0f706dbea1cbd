"""Real authorities, real peers, a real sidecar: the fleet as it runs in production."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.core import layout
from sidecar.core.objects.trust import Role
from tests import builders
from tests.integration.harness import HOST, SKEW_MS, TTL_MS, Hand, World

LIMIT_S = 20


class Authority:
    """One replica as a process of its own, with its own beat key and state."""

    def __init__(self, folder: Path, hand: Hand, number: int, **changes: Any) -> None:
        folder.mkdir()
        self.folder = folder
        (folder / "trust.json").write_bytes(hand.trust_raw)
        builders.signer(Role.BEAT, number).save(folder / "beat.key")
        spec: dict[str, Any] = {
            "trust": {"file": "trust.json"}, "state": {"dir": "."}, "keys": {"beat": "beat.key"},
            "peers": [
                {"id": f"p{index}", "url": f"redis://{HOST}:{valkey.port}/0"}
                for index, valkey in enumerate(hand.valkeys, start=1)
            ],
            "beat": {"ttl": f"{TTL_MS}ms", "interval": "100ms", "publish": "50ms"},
            "listen": {"status": f"{HOST}:0"}, **changes,
        }  # fmt: skip
        document = {
            "apiVersion": "epochgate.io/v1alpha1", "kind": "AuthorityConfig",
            "metadata": {"name": "test"}, "spec": spec,
        }  # fmt: skip
        (folder / "authority.yaml").write_text(yaml.safe_dump(document))
        self._child: subprocess.Popen[bytes] | None = None
        self._before = 0  # lines of processes before this one

    @property
    def command(self) -> list[str]:
        config = str(self.folder / "authority.yaml")
        return [sys.executable, "-m", "sidecar", "run", "authority", "--config", config]

    def start(self) -> None:
        self._before = len(list(self.facts())) if (self.folder / "log").exists() else 0
        with (self.folder / "log").open("ab") as log:
            self._child = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT)

    def end(self, number: int = signal.SIGTERM) -> int:
        child, self._child = self._child, None
        if child is None:
            return 0
        child.send_signal(number)
        return child.wait(timeout=LIMIT_S)

    def facts(self) -> Iterator[dict[str, Any]]:
        for line in (self.folder / "log").read_text().splitlines():
            if line.startswith("{") and line.endswith("}"):
                yield json.loads(line)

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    async def status_port(self) -> int:
        return await self.port("status_listening")

    async def port(self, event: str) -> int:
        """The port that the newest process says it listens on."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                for fact in list(self.facts())[self._before :]:
                    if fact["event"] == event:
                        return int(fact["address"].rpartition(":")[2])
                await asyncio.sleep(0.01)

    def refused(self) -> tuple[int, str]:
        """Run to its end; exit status and the last thing it said."""
        done = subprocess.run(
            self.command, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        return done.returncode, done.stderr.strip()


@pytest.fixture
def authorities(world: World, tmp_path: Path) -> Iterator[tuple[Authority, Authority]]:
    """Two replicas; the first epoch is on the peers."""
    epoch = world.hand.put_epoch(routes=world.routes)
    world.hand.put(layout.head_key(world.hand.trust.domain), epoch.sha256.encode())
    one, two = (Authority(tmp_path / f"authority-{n}", world.hand, n) for n in (1, 2))
    yield one, two
    one.end(signal.SIGKILL)
    two.end(signal.SIGKILL)


async def test_one_replica_of_two_keeps_the_gate_open(
    world: World, authorities: tuple[Authority, Authority]
) -> None:
    """Each has its own key and stream, so a dead one is no gap and a live one no contradiction."""
    for authority in authorities:
        authority.start()
    await world.sidecar.start()
    await world.until(200)
    second = layout.beat_key(world.hand.trust.domain, builders.signer(Role.BEAT, 2).key_id)
    async with asyncio.timeout(LIMIT_S):  # the gate may have opened with the first alone
        while not all(client.exists(second) for client in world.hand.clients):
            await asyncio.sleep(0.01)
    authorities[0].end(signal.SIGKILL)
    ends = asyncio.get_running_loop().time() + 2 * TTL_MS / 1000
    answers = Counter[tuple[int, str]]()
    while asyncio.get_running_loop().time() < ends:
        answers[(await world.ask())[:2]] += 1
    # A machine that is busy elsewhere may let a lease lapse; nothing but that may have closed it.
    assert set(answers) <= {(200, ""), (503, "EG102")}
    await world.until(200)  # no beat of the first is alive any more
    authorities[1].end(signal.SIGKILL)
    await world.until(503, "EG102")


async def test_a_halt_on_one_peer_is_pinned_and_spread_by_the_authority(
    world: World, authorities: tuple[Authority, Authority]
) -> None:
    authorities[0].start()
    await world.sidecar.start()
    await world.until(200)
    raw = world.hand.order()
    world.hand.put_order(raw, 2)
    await world.until(503, "EG901")
    key = layout.halts_key(world.hand.trust.domain)
    async with asyncio.timeout(LIMIT_S):
        while not all(client.hlen(key) for client in world.hand.clients):
            await asyncio.sleep(0.01)


async def test_its_status_port_tells_how_well_it_vouches(
    world: World, authorities: tuple[Authority, Authority]
) -> None:
    authorities[0].start()
    base = f"http://{HOST}:{await authorities[0].status_port()}"
    async with asyncio.timeout(LIMIT_S):
        while True:
            async with world.session.get(base + "/readyz") as response:
                if response.status == 200:
                    break
            await asyncio.sleep(0.01)
    async with world.session.get(base + "/v1/state") as response:
        state = await response.json()
        assert state["epoch"] == 1
        assert state["beat"]["acks"] == 3
    async with world.session.get(base + "/metrics") as response:
        assert "epochgate_authority_epoch_number 1.0" in await response.text()
    assert authorities[0].end() == 0
    assert [fact["event"] for fact in authorities[0].facts()][-1] == "stopped"


def test_a_key_without_the_role_is_refused_in_one_line(world: World, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", world.hand, 1)
    (authority.folder / "beat.key").unlink()
    builders.signer(Role.HALT, 1).save(authority.folder / "beat.key")
    status, said = authority.refused()
    assert status == 69
    assert said.startswith("error: beat key: ")
    assert "spec.keys.beat" in said


def test_a_beat_that_lives_too_short_for_its_interval_is_refused(
    world: World, tmp_path: Path
) -> None:
    beat = {"ttl": f"{SKEW_MS + 100}ms", "interval": "100ms", "publish": "50ms"}
    status, said = Authority(tmp_path / "authority", world.hand, 1, beat=beat).refused()
    assert status == 78
    assert "spec.beat" in said


def test_a_damaged_state_file_is_never_taken_for_a_first_boot(world: World, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", world.hand, 1)
    (authority.folder / "authority.json").write_text("{}")
    status, said = authority.refused()
    assert status == 69
    assert "authority.json" in said
    assert (authority.folder / "authority.json").read_text() == "{}"
