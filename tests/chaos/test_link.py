"""The chaos proxy between a real reader and a real server: each mode does what it says, and a
reply of another request is caught by its tag."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.config.sections import PeerAddress
from sidecar.core.fault import Fault
from sidecar.sync.peer import Peer, PeerError
from tests.chaos.frames import Frames, arguments
from tests.chaos.link import PASS, Link, Mode, Network, Trade
from tests.valkey import HOST, ValkeyServer

pytestmark = pytest.mark.redis
TIMEOUT_MS = 5_000
SHORT_MS = 200


class World:
    """One server, one process `s`, and what the tap saw."""

    def __init__(self, network: Network, link: Link, taps: list[list[bytes]]) -> None:
        self.network, self.link, self.taps = network, link, taps
        self._tag = 0

    def peer(self, timeout_ms: int = TIMEOUT_MS, link: Link | None = None) -> Peer:
        port = (link or self.link).port
        return Peer(PeerAddress("p", HOST, port), timeout_ms)

    async def read(self, peer: Peer) -> tuple[bytes, ...]:
        self._tag += 1
        found = await peer.read(("key",), ("hash",), 4096, b"tag-%d" % self._tag)
        return found["key"]

    async def fault(self, peer: Peer) -> Fault:
        with pytest.raises(PeerError) as caught:
            await self.read(peer)
        assert not peer.connected
        return caught.value.fault


@pytest.fixture
async def world(valkey: ValkeyServer) -> AsyncIterator[World]:
    taps: list[list[bytes]] = []
    network = Network(lambda _process, _peer, said: taps.append(said))
    link = await network.open("s", "p1", valkey.port)
    valkey.do("SET", "key", "value")
    yield World(network, link, taps)
    await network.close()
    assert not network.broken


async def test_passes_batches_greetings_and_pushes(world: World, valkey: ValkeyServer) -> None:
    peer = world.peer()
    assert await world.read(peer) == (b"value",)
    await peer.write([("SET", "key", b"other"), ("PUBLISH", "c", b"")], b"w")
    assert await world.read(peer) == (b"other",)
    hints = peer.hints("c")
    hint = asyncio.ensure_future(anext(hints))
    while not valkey.do("PUBSUB", "NUMSUB", "c")[1]:  # type: ignore[index]
        await asyncio.sleep(0.01)
    valkey.do("PUBLISH", "c", "x")
    await hint
    await hints.aclose()
    assert [b"SET", b"key", b"other"] in world.taps
    peer.close()


async def test_delays_each_piece(world: World) -> None:
    peer = world.peer()
    world.link.set(Mode("delay", 60))
    began = asyncio.get_running_loop().time()
    assert await world.read(peer) == (b"value",)
    assert asyncio.get_running_loop().time() - began >= 0.11
    world.link.set(Mode("delay", SHORT_MS))
    slow = world.peer(SHORT_MS)
    assert await world.fault(slow) is Fault.TIMEOUT
    peer.close()


async def test_cuts_what_there_is_and_what_comes(world: World) -> None:
    peer = world.peer()
    await world.read(peer)
    world.link.set(Mode("cut"))
    assert await world.fault(peer) in (Fault.CLOSED, Fault.REFUSED)
    assert await world.fault(peer) in (Fault.CLOSED, Fault.REFUSED)
    world.link.set(PASS)
    assert await world.read(peer) == (b"value",)
    peer.close()


async def test_half_open_swallows_what_is_sent(world: World, valkey: ValkeyServer) -> None:
    peer, fresh = world.peer(SHORT_MS), world.peer(SHORT_MS)
    await world.read(peer)
    world.link.set(Mode("mute"))
    with pytest.raises(PeerError):
        await peer.write([("SET", "key", b"never")], b"w")
    assert await world.fault(fresh) is Fault.TIMEOUT
    assert valkey.do("GET", "key") == b"value"
    world.link.set(PASS)
    assert await world.read(peer) == (b"value",)
    peer.close()


async def test_deaf_lets_the_request_take_effect(world: World, valkey: ValkeyServer) -> None:
    peer = world.peer(SHORT_MS)
    world.link.set(Mode("deaf"))
    with pytest.raises(PeerError) as caught:
        await peer.write([("SET", "key", b"taken")], b"w")
    assert caught.value.fault is Fault.TIMEOUT
    assert valkey.do("GET", "key") == b"taken"


async def test_a_silenced_connection_never_speaks_again(world: World) -> None:
    reader, writer = await asyncio.open_connection(HOST, world.link.port)
    world.link.set(Mode("deaf"))
    writer.write(b"PING\r\n*1\r\n$4\r\nPING\r\n"[6:])
    while not world.taps:
        await asyncio.sleep(0.001)
    silenced = next(iter(world.link._wires))
    while not silenced.silenced:
        await asyncio.sleep(0.001)
    world.link.set(PASS)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_stalled_bytes_arrive_in_the_end(world: World) -> None:
    peer = world.peer()
    world.link.set(Mode("stall"))
    read = asyncio.ensure_future(world.read(peer))
    while not world.taps:
        await asyncio.sleep(0.001)
    assert not read.done()
    world.link.set(PASS)
    assert await read == (b"value",)
    peer.close()


async def test_trickles_at_so_many_bytes_a_second(world: World, valkey: ValkeyServer) -> None:
    valkey.do("SET", "key", "x" * 1000)
    peer = world.peer()
    world.link.set(Mode("trickle", 5_000))
    began = asyncio.get_running_loop().time()
    assert await world.read(peer) == (b"x" * 1000,)
    assert asyncio.get_running_loop().time() - began >= 0.15
    assert await world.fault(world.peer(100)) is Fault.TIMEOUT
    peer.close()


async def test_an_earlier_reply_in_place_of_the_right_one_is_caught(world: World) -> None:
    peer = world.peer()
    await world.read(peer)
    world.link.set(Mode("repeat"))
    assert await world.fault(peer) is Fault.PROTOCOL
    wrong = world.network.tampered[0]
    assert (wrong.how, wrong.limit, wrong.later) == ("repeat", 0, 0)


async def test_an_earlier_reply_behind_the_right_one_is_caught_by_the_next(world: World) -> None:
    peer = world.peer()
    world.link.turn = 1
    await world.read(peer)
    world.link.set(Mode("repeat"))
    assert await world.read(peer) == (b"value",)
    assert await world.fault(peer) is Fault.PROTOCOL
    wrong = world.network.tampered[0]
    assert (wrong.how, wrong.limit) == ("repeat", 1)
    assert wrong.later <= 1


async def test_swapped_replies_are_caught_by_both(world: World, valkey: ValkeyServer) -> None:
    second = await world.network.open("s", "p2", valkey.port)
    peers = [world.peer(), world.peer(link=second)]
    for peer in peers:
        await world.read(peer)
    for link in (world.link, second):
        link.set(Mode("swap"))
    faults = await asyncio.gather(*(world.fault(peer) for peer in peers))
    assert faults == [Fault.PROTOCOL, Fault.PROTOCOL]
    assert [wrong.how for wrong in world.network.tampered] == ["swap", "swap"]


async def test_a_reply_that_nobody_swaps_with_is_its_own(world: World) -> None:
    peer = world.peer()
    world.link.set(Mode("swap"))
    assert await world.read(peer) == (b"value",)
    assert not world.network.tampered
    peer.close()


async def test_a_reply_is_not_swapped_with_one_that_was_given_up() -> None:
    given_up = asyncio.get_running_loop().create_future()
    given_up.cancel()
    trade = Trade((b"1", b"first", given_up))
    assert await trade.swap(b"2", b"second") == b"second"


async def test_a_reader_that_ignores_the_tag_is_told_on(world: World) -> None:
    """Planted: this one takes whatever comes, and goes on."""
    reader, writer = await asyncio.open_connection(HOST, world.link.port)

    async def careless(tag: bytes) -> bytes:
        writer.write(b"*2\r\n$4\r\nECHO\r\n$1\r\n%s\r\n" % tag)
        return (await reader.readexactly(7))[4:5]

    assert await careless(b"1") == b"1"
    world.link.set(Mode("repeat"))
    assert await careless(b"2") == b"1"
    await careless(b"3")
    wrong = world.network.tampered[0]
    assert wrong.later > wrong.limit
    writer.close()


async def test_a_dead_server_ends_the_connection(world: World, valkey: ValkeyServer) -> None:
    peer = world.peer()
    await world.read(peer)
    valkey.stop()
    assert await world.fault(peer) is Fault.CLOSED
    assert await world.fault(peer) is Fault.CLOSED


def test_values_are_cut_where_they_end_whatever_the_pieces() -> None:
    whole = [
        b"+OK\r\n", b":12\r\n", b"$-1\r\n", b"$4\r\na\r\nb\r\n", b"*-1\r\n", b"*0\r\n",
        b"*2\r\n*1\r\n$1\r\nx\r\n-ERR\r\n",
    ]  # fmt: skip
    for size in range(1, 12):
        data, frames = b"".join(whole), Frames()
        found = [v for at in range(0, len(data), size) for v in frames.feed(data[at : at + size])]
        assert found == whole


def test_what_is_no_value_makes_the_rest_opaque() -> None:
    frames = Frames()
    assert frames.feed(b"+OK\r\nGET / HTTP/1.1\r\n") == [b"+OK\r\n", b"GET / HTTP/1.1\r\n"]
    assert frames.opaque
    assert frames.feed(b"anything") == [b"anything"]


def test_a_command_is_its_arguments() -> None:
    assert arguments(b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n") == [b"GET", b"a\r\n"]
    assert arguments(b"+OK\r\n") == arguments(b"*1\r\n:1\r\n") == []
