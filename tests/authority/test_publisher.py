"""One authority replica against real Valkey servers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sidecar import clock
from sidecar.authority.publisher import Publisher
from sidecar.authority.store import StateError, StateStore
from sidecar.config.sections import Address, AuthorityConfig, Beat
from sidecar.core import layout
from sidecar.core.instant import Now
from sidecar.core.issuing import BeatEnded, Fact, Tell
from sidecar.core.objects import halt, report
from sidecar.core.objects.beat import Beat as LiveBeat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.objects.trust import Mark, Role, Trust
from sidecar.core.reason import ProtocolError
from sidecar.signer import FileSigner
from sidecar.sync.peer import Peer
from tests import builders, rotation
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]

INTERVAL_MS = 20
KEY = builders.signer(Role.BEAT)


def in_the_tests_year() -> Now:
    """Real boot time; the wall clock stands where the builders date their objects."""
    return Now(clock.now().boot, builders.NOW)


class Replica:
    """A running publisher, and everything that it told."""

    def __init__(self, publisher: Publisher, told: "asyncio.Queue[Tell | BeatEnded]") -> None:
        self.publisher = publisher
        self.all: list[Tell | BeatEnded] = []
        self._told = told

    async def until(self, wanted: Callable[[Tell | BeatEnded], bool]) -> Tell | BeatEnded:
        async with asyncio.timeout(10):
            while True:
                told = await self._told.get()
                self.all.append(told)
                if wanted(told):
                    return told

    async def beat(self, *, committed: bool = True, number: int = 1) -> BeatEnded:
        """Wait for so many beats; the last one."""
        ended: Tell | BeatEnded | None = None
        for _ in range(number):
            ended = await self.until(
                lambda told: isinstance(told, BeatEnded) and told.committed == committed
            )
        assert isinstance(ended, BeatEnded)
        return ended

    async def fact(self, fact: Fact, *, over: bool = False) -> Tell:
        told = await self.until(
            lambda told: isinstance(told, Tell) and (told.fact, told.over) == (fact, over)
        )
        assert isinstance(told, Tell)
        return told


@asynccontextmanager
async def running(
    trust: Trust, servers: Three, folder: Path, key: FileSigner = KEY
) -> AsyncIterator[Replica]:
    config = AuthorityConfig(
        trust_file=folder / "trust.json",
        state_dir=folder / "state",
        beat_key_file=folder / "beat.key",
        peers=tuple(server.address(f"p{index}") for index, server in enumerate(servers)),
        beat=Beat(ttl_ms=4000, interval_ms=INTERVAL_MS, publish_ms=200),
        status=Address("127.0.0.1", 0),
    )
    told: asyncio.Queue[Tell | BeatEnded] = asyncio.Queue()
    peers = [Peer(address, config.beat.publish_ms) for address in config.peers]
    publisher = Publisher(config, trust, key, peers, in_the_tests_year, told.put_nowait)
    task = asyncio.get_running_loop().create_task(publisher.run())
    try:
        yield Replica(publisher, told)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def put_epoch(servers: Three, trust: Trust, prev: Epoch | None = None, **changes: Any) -> Epoch:
    """Publish an epoch as the command line does."""
    raw = builders.epoch_bytes(trust, prev, **changes)
    made = builders.open_epoch(raw, trust)
    for server in servers:
        for blob, sha256 in (
            (builders.POLICY, made.says.policy.sha256),
            (builders.ROUTES, made.says.routes.sha256),
        ):
            server.do("SET", layout.blob_key(trust.domain, sha256), blob)
        server.do("SET", layout.epoch_key(trust.domain, made.sha256), raw)
        server.do("SET", layout.head_key(trust.domain), made.sha256)
    return made


def beat_on(server: ValkeyServer, trust: Trust, key: FileSigner = KEY) -> LiveBeat:
    raw = server.do("GET", layout.beat_key(trust.domain, key.key_id))
    assert isinstance(raw, bytes)
    return builders.open_beat(raw, trust)


@pytest.fixture
def trust() -> Trust:
    return builders.make_trust()


async def test_beats_for_the_epoch_appear_on_all_peers(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    epoch = put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        ended = await replica.beat()
        assert (ended.acks, ended.epoch_seq) == (3, 1)
        for server in valkeys:
            said = beat_on(server, trust).says
            assert (said.epoch.seq, said.epoch.sha256) == (1, epoch.sha256)
            assert (said.state, said.halts.sha256) == ("run", NO_HALTS.sha256)
        assert replica.publisher.counts.committed >= 1


async def test_without_an_epoch_there_are_no_beats_and_it_is_told_once(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.fact(Fact.NO_EPOCH)
        put_epoch(valkeys, trust)
        await replica.beat()
    assert [told for told in replica.all if isinstance(told, Tell)].count(
        Tell(Fact.NO_EPOCH, "no peer holds an epoch to vouch for")
    ) == 1
    assert replica.publisher.counts.seq == replica.publisher.counts.beats


async def test_restart_never_uses_a_number_again(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        first = await replica.beat(number=3)
    for server in valkeys:
        server.do("FLUSHALL")  # the peers remember nothing: only the disk can know
    put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        second = await replica.beat()
    assert second.seq > first.seq


async def test_lost_state_goes_on_above_the_number_that_the_peers_hold(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        first = await replica.beat(number=3)
    last = max(beat_on(server, trust).seq for server in valkeys)
    assert last >= first.seq
    async with running(trust, valkeys, tmp_path / "new") as replica:
        await replica.fact(Fact.STREAM_AHEAD)
        second = await replica.beat()
    assert second.seq > last


async def test_damaged_state_refuses_to_start(valkeys: Three, trust: Trust, tmp_path: Path) -> None:
    put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.beat()
    path = tmp_path / "state" / "authority.json"
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StateError, match=r"authority\.json: damaged"):
        async with running(trust, valkeys, tmp_path):
            pass
    StateStore(tmp_path / "state").close()  # and the lock is not left behind


async def test_second_process_on_the_same_state_is_refused(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    async with running(trust, valkeys, tmp_path):
        with pytest.raises(StateError, match="another authority"):
            async with running(trust, valkeys, tmp_path):
                pass


async def test_key_without_the_role_refuses_to_start(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    with pytest.raises(ProtocolError, match="no role beat"):
        async with running(trust, valkeys, tmp_path, builders.signer(Role.HALT)):
            pass


async def test_halt_on_one_peer_is_pinned_by_the_next_beats_and_reaches_the_others(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.beat()
        order = builders.make_order(trust)
        key, field = layout.halts_key(trust.domain), layout.order_field(order.sha256)
        valkeys[1].do("HSET", key, field, order.raw)
        await replica.fact(Fact.HALTED)
        await replica.beat()
        for server in valkeys:
            said = beat_on(server, trust).says
            assert (said.halts.seq, said.halts.sha256) == (1, NO_HALTS.union([order]).sha256)
            assert said.state == "halt"
            assert server.do("HGET", key, field) == order.raw
        clear = builders.make_order(trust, clears=order.says.halt_id, number=2)
        valkeys[2].do("HSET", key, layout.order_field(clear.sha256), clear.raw)
        await replica.fact(Fact.HALTED, over=True)
        await replica.beat()
        assert beat_on(valkeys[0], trust).says.state == "run"
        assert beat_on(valkeys[0], trust).says.halts.seq == 2


async def test_halt_survives_a_restart_with_empty_peers(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    put_epoch(valkeys, trust)
    order = builders.make_order(trust)
    key, field = layout.halts_key(trust.domain), layout.order_field(order.sha256)
    valkeys[0].do("HSET", key, field, order.raw)
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.beat()
    for server in valkeys:
        server.do("FLUSHALL")
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.beat()
        assert beat_on(valkeys[0], trust).says.state == "halt"
        assert valkeys[2].do("HGET", key, field) == order.raw


async def test_one_peer_down_is_still_committed_and_with_two_nothing_is_vouched_for(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.beat()
        valkeys[0].stop()
        assert (await replica.until(lambda told: getattr(told, "acks", 3) == 2)).committed  # type: ignore[union-attr]
        valkeys[1].stop()
        told = await replica.fact(Fact.TOO_FEW_PEERS)
        assert told.detail == "1 of 2 peers answered"
        assert "too-few-peers" in replica.publisher.counts.conditions
        valkeys[1].start()
        await replica.fact(Fact.TOO_FEW_PEERS, over=True)
        assert (await replica.beat()).committed
        assert replica.publisher.counts.failures.get(("p0", "refused"), 0) >= 1


async def test_restarted_empty_peer_is_given_epoch_blobs_and_head_again(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    epoch = put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.beat()
        valkeys[0].stop()
        valkeys[0].start()
        head, sha256 = layout.head_key(trust.domain), epoch.sha256.encode()
        await replica.until(lambda told: valkeys[0].do("GET", head) == sha256)
        policy = layout.blob_key(trust.domain, epoch.says.policy.sha256)
        routes = layout.blob_key(trust.domain, epoch.says.routes.sha256)
        assert valkeys[0].do("GET", policy) == builders.POLICY
        assert valkeys[0].do("GET", routes) == builders.ROUTES


async def test_silent_peer_delays_nobody_for_longer_than_its_limit(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.beat()
        valkeys[2].pause()
        ended = await replica.until(lambda told: getattr(told, "acks", 3) == 2)
        assert isinstance(ended, BeatEnded)
        assert ended.committed
        valkeys[2].resume()


async def test_new_epoch_is_vouched_for_after_it_was_published(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    first = put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.beat()
        second = put_epoch(valkeys, trust, first)
        await replica.until(lambda told: getattr(told, "epoch_seq", 1) == 2)
        assert beat_on(valkeys[0], trust).says.epoch.sha256 == second.sha256
    async with running(trust, valkeys, tmp_path) as replica:
        assert (await replica.beat()).epoch_seq == 2


async def test_rotation_reaches_a_running_authority_and_its_restart(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    first = put_epoch(valkeys, trust)
    floors = rotation.floors(Mark(seq=1, sha256=first.sha256))
    rotated = rotation.successor(trust, {Role.EPOCH: rotation.others(Role.EPOCH)}, floors=floors)
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.beat()
        valkeys[1].do("SET", layout.trust_key(trust.domain, 2), rotated.raw)
        await replica.fact(Fact.TRUST_ADOPTED)
        await replica.beat()
        said = beat_on(valkeys[0], rotated).says
        assert (said.trust.version, said.trust.sha256) == (2, rotated.sha256)
        assert said.epoch.sha256 == first.sha256
        assert replica.publisher.counts.trust_version == 2
    for server in valkeys:
        server.do("FLUSHALL")
    async with running(trust, valkeys, tmp_path) as replica:  # the pinned file is the old one
        await replica.beat()
        assert replica.publisher.trust == rotated
        for server in valkeys:
            assert server.do("GET", layout.trust_key(trust.domain, 2)) == rotated.raw
            assert server.do("GET", layout.trust_key(trust.domain, 1)) == trust.raw


async def test_state_of_another_root_refuses_to_start(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.beat()
    other = builders.make_trust(expires=trust.body.expires + 1)
    with pytest.raises(StateError, match="does not fit the trust document"):
        async with running(other, valkeys, tmp_path):
            pass
    StateStore(tmp_path / "state").close()


async def test_key_that_is_retired_while_it_runs_stops_and_says_so(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    put_epoch(valkeys, trust)
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.beat()
        keys = {Role.BEAT: rotation.others(Role.BEAT, 2)}
        valkeys[0].do("SET", layout.trust_key(trust.domain, 2), rotation.successor(trust, keys).raw)
        await replica.fact(Fact.KEY_RETIRED)
        assert "key-retired" in replica.publisher.counts.conditions


async def test_reports_on_the_peers_are_covered_and_proven_on_the_peers(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    epoch = put_epoch(valkeys, trust)
    here = {"trust": builders.trust_ref(trust), "epoch": Mark(seq=1, sha256=epoch.sha256)}
    names = [builders.report_body(number).instance for number in range(20)]
    reports = [builders.make_report(number, **here) for number in range(20)]
    for at, (name, made) in enumerate(zip(names, reports, strict=True)):
        valkeys[at % 3].do("HSET", layout.reports_key(trust.domain), name, made.raw)
    proofs = layout.proofs_key(trust.domain, KEY.key_id)
    async with running(trust, valkeys, tmp_path) as replica:
        ended = await replica.beat()
        assert (ended.fleet.size, ended.fleet.diverged) == (20, 0)
        assert replica.publisher.counts.reports_verified == 20
        assert replica.publisher.covered == set(names)
    for server in valkeys:
        beat = beat_on(server, trust)
        for name, made in zip(names, reports, strict=True):
            raw = server.do("HGET", proofs, name)
            assert isinstance(raw, bytes)
            proof = report.parse_proof(raw)
            assert (proof.beat, proof.report) == (beat.sha256, made.sha256)
            report.verify_proof(proof, beat.says.fleet.size, beat.says.fleet.root)


async def test_halted_instance_loses_its_proof_on_every_peer(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    put_epoch(valkeys, trust)
    name = builders.report_body(1).instance
    valkeys[0].do("HSET", layout.reports_key(trust.domain), name, builders.report_bytes(1))
    proofs = layout.proofs_key(trust.domain, KEY.key_id)
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.until(lambda told: bool(getattr(told, "fleet", None) and told.fleet.size))  # type: ignore[union-attr]
        assert all(server.do("HEXISTS", proofs, name) for server in valkeys)
        order = builders.make_order(trust, scope=halt.Scope(kind="instance", value=name))
        valkeys[1].do(
            "HSET", layout.halts_key(trust.domain), layout.order_field(order.sha256), order.raw
        )
        await replica.until(lambda told: bool(getattr(told, "fleet", None) and not told.fleet.size))  # type: ignore[union-attr]
        await replica.beat()
        assert not any(server.do("HEXISTS", proofs, name) for server in valkeys)


async def test_two_replicas_with_their_own_keys_both_vouch(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    put_epoch(valkeys, trust)
    other = builders.signer(Role.BEAT, 2)
    async with (
        running(trust, valkeys, tmp_path / "a") as one,
        running(trust, valkeys, tmp_path / "b", other) as two,
    ):
        await one.beat()
        await two.beat()
        assert beat_on(valkeys[0], trust).issuer == KEY.key_id
        assert beat_on(valkeys[0], trust, other).issuer == other.key_id


async def test_state_that_cannot_be_stored_stops_the_beats(
    valkeys: Three, trust: Trust, tmp_path: Path
) -> None:
    put_epoch(valkeys, trust)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "authority.new").mkdir()  # stands where the temporary file would go
    async with running(trust, valkeys, tmp_path) as replica:
        await replica.fact(Fact.STORE_FAILED)
        assert replica.publisher.counts.beats == 0
        (tmp_path / "state" / "authority.new").rmdir()
        await replica.beat()
