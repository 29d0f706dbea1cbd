"""What the peers hold, verified; and who took what. Against real Valkey servers."""

from collections.abc import AsyncIterator

import pytest

from sidecar.authority import rollout
from sidecar.authority.ceremony import CeremonyError
from sidecar.authority.rollout import OK, TooFewPeersError
from sidecar.core import canonical, layout
from sidecar.core.objects.trust import Trust
from sidecar.sync.peer import Peer
from tests import builders
from tests.builders import NOW
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]
BLOBS = (builders.POLICY, builders.ROUTES)


@pytest.fixture
def under() -> Trust:
    return builders.make_trust()


@pytest.fixture
async def peers(valkeys: Three) -> AsyncIterator[list[Peer]]:
    made = [Peer(server.address(f"p{index}"), 500) for index, server in enumerate(valkeys)]
    yield made
    for peer in made:
        peer.close()


async def put(peers: list[Peer], under: Trust, raw: bytes) -> None:
    made = builders.open_epoch(raw, under)
    results = await rollout.publish(peers, rollout.epoch_commands(under, made, raw, BLOBS))
    assert set(results.values()) == {OK}


async def test_newest_verified_epoch_is_found_where_peers_differ(
    peers: list[Peer], under: Trust
) -> None:
    first = builders.epoch_bytes(under)
    second = builders.epoch_bytes(under, builders.open_epoch(first, under))
    await put(peers, under, first)
    await put(peers[1:2], under, second)
    found = await rollout.look(peers, under, NOW, 2)
    assert found.newest is not None
    assert (found.newest.seq, found.raw) == (2, second)
    chain = await rollout.history(peers, under, found.newest, NOW, 10)
    assert [one.seq for one in chain] == [2, 1]


async def test_history_ends_where_the_peers_hold_no_more(
    peers: list[Peer], under: Trust, valkeys: Three
) -> None:
    first = builders.make_epoch(under)
    second = builders.make_epoch(under, first)
    await put(peers, under, builders.epoch_bytes(under, first))
    assert [one.seq for one in await rollout.history(peers, under, second, NOW, 10)] == [2]


async def test_too_few_answers_are_an_error_that_names_the_silent(
    peers: list[Peer], under: Trust, valkeys: Three
) -> None:
    valkeys[0].stop()
    valkeys[2].pause()
    with pytest.raises(TooFewPeersError, match=r"1 of 2 .*p0: refused.*p2: timeout"):
        await rollout.look(peers, under, NOW, 2)
    assert (await rollout.look(peers, under, NOW, 1)).newest is None
    valkeys[2].resume()


async def test_epoch_signed_by_too_few_is_no_epoch_and_is_noted(
    peers: list[Peer], under: Trust, valkeys: Three
) -> None:
    await put(peers, under, builders.epoch_bytes(under))
    made = builders.make_epoch(under)
    forged = builders.epoch_bytes(under, made, signed_by=1)
    sha256 = builders.make_epoch(under, made).sha256
    valkeys[0].do("SET", layout.epoch_key("test", sha256), forged)
    valkeys[0].do("SET", layout.head_key("test"), sha256)
    found = await rollout.look(peers, under, NOW, 2)
    assert found.newest == made
    assert len(found.notes) == 1


async def test_two_epochs_with_one_number_end_the_matter(peers: list[Peer], under: Trust) -> None:
    await put(peers, under, builders.epoch_bytes(under))
    await put(peers[:1], under, builders.epoch_bytes(under, reason="rival"))
    with pytest.raises(CeremonyError, match="two epochs carry number 1"):
        await rollout.look(peers, under, NOW, 2)


async def test_orders_of_all_peers_are_united_and_forged_ones_left_out(
    peers: list[Peer], under: Trust, valkeys: Three
) -> None:
    one, two = builders.make_order(under), builders.make_order(under, number=2)
    await rollout.publish(peers[:1], rollout.order_commands(under, one))
    await rollout.publish(peers[1:], rollout.order_commands(under, two))
    valkeys[0].do("HSET", layout.halts_key("test"), "x", "rubbish")
    found = await rollout.look(peers, under, NOW, 2)
    assert set(found.halts.orders) == {one, two}


async def test_write_counts_per_peer(peers: list[Peer], under: Trust, valkeys: Three) -> None:
    valkeys[1].stop()
    order = builders.make_order(under)
    results = await rollout.publish(peers, rollout.order_commands(under, order))
    assert [result == OK for result in results.values()] == [True, False, True]
    assert results["p1"].startswith("refused")


async def test_the_route_table_of_an_epoch_is_found_by_its_digest_alone(
    peers: list[Peer], under: Trust, valkeys: Three
) -> None:
    raw = builders.epoch_bytes(under)
    made = builders.open_epoch(raw, under)
    assert await rollout.route_table(peers, under, made) is None
    await put(peers, under, raw)
    key = layout.blob_key("test", made.says.routes.sha256)
    valkeys[0].do("SET", key, b"other bytes")
    valkeys[1].do("DEL", key)
    found = await rollout.route_table(peers, under, made)
    assert found is not None
    assert (found.raw, found.names) == (builders.ROUTES, ("api",))


async def test_blobs_are_put_under_their_digests_and_found_by_them(
    peers: list[Peer], under: Trust, valkeys: Three
) -> None:
    policy, table = (canonical.digest(raw) for raw in BLOBS)
    assert await rollout.fetch(peers, under, (policy, table)) == {}
    await rollout.publish(peers[:1], rollout.blob_commands(under, BLOBS))
    valkeys[1].do("SET", layout.blob_key("test", policy), b"other bytes")
    valkeys[2].stop()
    found = await rollout.fetch(peers, under, (policy, table, "a" * 64))
    assert found == {policy: builders.POLICY, table: builders.ROUTES}
    valkeys[0].do("DEL", layout.blob_key("test", table))
    made = builders.make_epoch(under)
    assert await rollout.blobs(peers, under, made) == (builders.POLICY, None)


async def test_the_orders_of_all_peers_are_taken_together(
    peers: list[Peer], under: Trust, valkeys: Three
) -> None:
    made = [builders.make_order(under, number=number) for number in (1, 2)]
    for peer, order in zip(peers, made, strict=False):
        await rollout.publish([peer], rollout.order_commands(under, order))
    valkeys[2].stop()
    found, results = await rollout.orders(peers, under, NOW)
    assert {order.sha256 for order in found.orders} == {order.sha256 for order in made}
    assert [result == OK for result in results.values()] == [True, True, False]
