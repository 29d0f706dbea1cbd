"""One connection, one batch at a time; what is odd ends the connection and counts as nothing."""

import asyncio
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from sidecar.config.sections import PeerAddress
from sidecar.core.events import ReadPeer, WriteCommand
from sidecar.core.quorum import PeerId
from sidecar.sync.peer import Fault, Peer, PeerError
from tests.conftest import ValkeyMaker
from tests.valkey import ValkeyServer

TIMEOUT_MS = 5_000  # far beyond what any of these needs; tests of the limit itself set their own
SHORT_MS = 100
MAX_BYTES = 1024

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[..., Awaitable[PeerAddress]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A scripted server: `talk` is run for every connection. Returns its address."""
    servers: list[asyncio.Server] = []

    async def start(talk: Talk, tls: ssl.SSLContext | None = None) -> PeerAddress:
        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
            except ConnectionError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=tls)
        servers.append(server)
        return PeerAddress("scripted", "127.0.0.1", server.sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()


def answering(*replies: bytes) -> Talk:
    """Answer the n-th batch of a connection with the n-th reply; then wait to be closed."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.read(65536)
            writer.write(reply)
            await writer.drain()
        await reader.read(65536)

    return talk


def asked(*writes: WriteCommand) -> ReadPeer:
    """Some writes; then a string, two fields of one hash, and a hash."""
    fields = (("proofs", "me"), ("proofs", "nobody"))
    return ReadPeer(PeerId("p"), 1, ("s",), ("reports",), MAX_BYTES, fields, writes)


async def fault_of(peer: Peer, tag: bytes = b"tag") -> Fault:
    """How a read of one string and one hash fails; the connection must be gone afterwards."""
    with pytest.raises(PeerError) as caught:
        await peer.read(("s",), ("h",), MAX_BYTES, tag)
    assert not peer.connected
    return caught.value.fault


GOOD = b"$5\r\nvalue\r\n*1\r\n$1\r\nx\r\n$3\r\ntag\r\n"


# --- against a real server


@pytest.mark.redis
async def test_reads_strings_and_hashes_of_a_real_server(valkey: ValkeyServer) -> None:
    valkey.do("SET", "there", b"\x00\xff\r\n")
    valkey.do("HSET", "many", "a", "1", "b", "2")
    peer = Peer(valkey.address(), TIMEOUT_MS)
    found = await peer.read(("there", "not"), ("many", "none"), MAX_BYTES, b"\r\n$3\r\n")
    assert sorted(found.pop("many")) == [b"1", b"2"]
    assert found == {"there": (b"\x00\xff\r\n",), "not": (), "none": ()}
    peer.close()


@pytest.mark.redis
async def test_writes_arrive_in_order_and_can_be_read_back(valkey: ValkeyServer) -> None:
    peer = Peer(valkey.address(), TIMEOUT_MS)
    big = b"b" * 100_000
    await peer.write(
        [
            ("SET", "s", big),
            ("HSET", "h", "f", b"1"),
            ("HSET", "h", "f", b"2"),
            ("PUBLISH", "c", ""),
        ],
        b"tag",
    )
    assert await peer.read(("s",), ("h",), 2 * len(big), b"t") == {"s": (big,), "h": (b"2",)}
    peer.close()


@pytest.mark.redis
async def test_one_connection_serves_many_batches(valkey: ValkeyServer) -> None:
    peer = Peer(valkey.address(), TIMEOUT_MS)
    before = _connections(valkey)
    for number in range(20):
        await peer.read(("s",), (), MAX_BYTES, b"%d" % number)
    assert _connections(valkey) - before == 2, "ours, and that of the second look"
    peer.close()


@pytest.mark.redis
async def test_wrong_type_on_the_peer_is_told_as_such(valkey: ValkeyServer) -> None:
    valkey.do("SET", "h", "not a hash")
    assert await fault_of(Peer(valkey.address(), TIMEOUT_MS)) is Fault.WRONG_TYPE


@pytest.mark.redis
async def test_wrong_password_is_denied_and_the_right_one_works(make_valkey: ValkeyMaker) -> None:
    server = make_valkey({"requirepass": "secret"})
    at = server.address()
    assert await fault_of(Peer(at, TIMEOUT_MS)) is Fault.DENIED
    wrong = PeerAddress("p", at.host, at.port, password="guess")
    assert await fault_of(Peer(wrong, TIMEOUT_MS)) is Fault.DENIED
    right = Peer(PeerAddress("p", at.host, at.port, password="secret", db=3), TIMEOUT_MS)
    assert await right.read(("s",), (), MAX_BYTES, b"t") == {"s": ()}
    right.close()


@pytest.mark.redis
async def test_reader_needs_no_more_rights_than_it_should_have(valkey: ValkeyServer) -> None:
    valkey.do(
        "ACL",
        "SETUSER",
        "reader",
        "on",
        ">pw",
        "~eg:*",
        "-@all",
        "+get",
        "+hvals",
        "+echo",
        "+auth",
    )
    at = valkey.address()
    peer = Peer(PeerAddress("p", at.host, at.port, username="reader", password="pw"), TIMEOUT_MS)
    assert await peer.read(("eg:{d}:x",), ("eg:{d}:h",), MAX_BYTES, b"t") == {
        "eg:{d}:x": (),
        "eg:{d}:h": (),
    }
    with pytest.raises(PeerError) as caught:
        await peer.write([("SET", "eg:{d}:x", b"1")], b"t2")
    assert caught.value.fault is Fault.DENIED
    # Rights withdrawn while connected count from the next read on.
    await peer.read(("eg:{d}:x",), (), MAX_BYTES, b"t3")
    valkey.do("ACL", "SETUSER", "reader", "-get")
    with pytest.raises(PeerError) as caught:
        await peer.read(("eg:{d}:x",), (), MAX_BYTES, b"t4")
    assert caught.value.fault is Fault.DENIED


@pytest.mark.redis
async def test_asks_for_fields_of_hashes_and_writes_first(valkey: ValkeyServer) -> None:
    valkey.do("HSET", "proofs", "me", "mine", "you", "yours")
    peer = Peer(valkey.address(), TIMEOUT_MS)
    want = asked(("SET", "s", b"new"), ("HSET", "reports", "me", b"report"))
    found, wrote = await peer.ask(want, b"tag")
    peer.close()
    assert (found, wrote) == (
        {"s": (b"new",), "proofs\nme": (b"mine",), "proofs\nnobody": (), "reports": (b"report",)},
        True,
    )


@pytest.mark.redis
async def test_a_write_that_is_denied_does_not_spoil_the_read(valkey: ValkeyServer) -> None:
    """A peer may be full, read-only, or know this sidecar as a reader: its halts still count."""
    valkey.do("SET", "s", "old")
    valkey.do("HSET", "proofs", "me", "mine")
    rights = ("+get", "+hget", "+hvals", "+echo", "+auth")
    valkey.do("ACL", "SETUSER", "quiet", "on", ">pw", "~*", "-@all", *rights)
    at = valkey.address()
    peer = Peer(PeerAddress("p", at.host, at.port, username="quiet", password="pw"), TIMEOUT_MS)
    want = asked(("HSET", "reports", "me", b"report"), ("SET", "s", b"new"))
    for number in range(3):
        found, wrote = await peer.ask(want, b"tag-%d" % number)
        assert not wrote
        assert (found["s"], found["proofs\nme"], found["reports"]) == ((b"old",), (b"mine",), ())
        assert peer.connected, "replies are still matched to requests"
    peer.close()


@pytest.mark.redis
async def test_one_write_of_two_that_is_denied_is_told(valkey: ValkeyServer) -> None:
    rights = ("+get", "+hget", "+hvals", "+echo", "+auth", "+hset")
    valkey.do("ACL", "SETUSER", "half", "on", ">pw", "~*", "-@all", *rights)
    at = valkey.address()
    peer = Peer(PeerAddress("p", at.host, at.port, username="half", password="pw"), TIMEOUT_MS)
    want = asked(("HSET", "reports", "me", b"report"), ("SET", "s", b"new"))
    found, wrote = await peer.ask(want, b"tag")
    peer.close()
    assert (found["reports"], wrote) == ((b"report",), False)


@pytest.mark.redis
async def test_a_read_that_is_denied_is_a_fault_although_the_write_was_taken(
    valkey: ValkeyServer,
) -> None:
    valkey.do("SET", "proofs", "not a hash")
    peer = Peer(valkey.address(), TIMEOUT_MS)
    with pytest.raises(PeerError):
        await peer.ask(asked(("HSET", "reports", "me", b"report")), b"tag")
    assert not peer.connected


@pytest.mark.redis
async def test_full_server_refuses_writes(make_valkey: ValkeyMaker) -> None:
    server = make_valkey({"maxmemory": "1"})
    peer = Peer(server.address(), TIMEOUT_MS)
    with pytest.raises(PeerError) as caught:
        await peer.write([("SET", "k", b"v")], b"t")
    assert caught.value.fault is Fault.REFUSED


@pytest.mark.redis
async def test_paused_server_times_out_and_its_late_reply_is_never_used(
    valkey: ValkeyServer,
) -> None:
    valkey.do("SET", "one", "1")
    valkey.do("SET", "two", "2")
    peer = Peer(valkey.address(), 500)
    await peer.read(("one",), (), MAX_BYTES, b"t0")
    valkey.pause()
    with pytest.raises(PeerError) as caught:
        await peer.read(("one",), (), MAX_BYTES, b"t1")
    assert caught.value.fault is Fault.TIMEOUT
    valkey.resume()
    assert await peer.read(("two",), (), MAX_BYTES, b"t2") == {"two": (b"2",)}
    peer.close()


@pytest.mark.redis
async def test_stopped_server_refuses_and_is_met_again_after_its_restart(
    valkey: ValkeyServer,
) -> None:
    peer = Peer(valkey.address(), TIMEOUT_MS)
    await peer.read(("s",), (), MAX_BYTES, b"1")
    valkey.stop()
    assert await fault_of(peer) in {Fault.CLOSED, Fault.REFUSED}
    assert await fault_of(peer) is Fault.REFUSED
    valkey.start()
    assert await peer.read(("s",), (), MAX_BYTES, b"2") == {"s": ()}
    peer.close()


@pytest.mark.redis
async def test_value_above_the_limit_is_refused_and_one_at_the_limit_is_not(
    valkey: ValkeyServer,
) -> None:
    valkey.do("SET", "s", b"x" * MAX_BYTES)
    peer = Peer(valkey.address(), TIMEOUT_MS)
    assert await peer.read(("s",), (), MAX_BYTES, b"tag") == {"s": (b"x" * MAX_BYTES,)}
    with pytest.raises(PeerError) as caught:
        await peer.read(("s",), (), MAX_BYTES - 1, b"tag")
    assert caught.value.fault is Fault.OVERSIZE


@pytest.mark.redis
async def test_many_small_values_count_together_against_the_limit(valkey: ValkeyServer) -> None:
    for field in range(11):
        valkey.do("HSET", "h", field, b"x" * 100)
    assert await fault_of(Peer(valkey.address(), TIMEOUT_MS)) is Fault.OVERSIZE


@pytest.mark.redis
async def test_published_messages_arrive_as_hints(valkey: ValkeyServer) -> None:
    peer = Peer(valkey.address(), TIMEOUT_MS)
    writer = Peer(valkey.address(), TIMEOUT_MS)
    async with aclosing(peer.hints("channel")) as hints:
        first = asyncio.ensure_future(anext(hints))
        while valkey.do("PUBSUB", "NUMSUB", "channel") != [b"channel", 1]:
            await asyncio.sleep(0)
        await writer.write([("PUBLISH", "channel", b"ignored"), ("PUBLISH", "channel", b"")], b"t")
        await first
        await anext(hints)
        # A batch of the same peer goes over another connection meanwhile.
        assert await peer.read(("s",), (), MAX_BYTES, b"t") == {"s": ()}
        valkey.stop()
        with pytest.raises(PeerError) as caught:
            await anext(hints)
        assert caught.value.fault is Fault.CLOSED
    peer.close()
    writer.close()


def _connections(server: ValkeyServer) -> int:
    stats = server.do("INFO", "stats")
    assert isinstance(stats, dict)
    return int(stats["total_connections_received"])


# --- against scripted servers


async def test_scripted_server_that_behaves_is_believed(serve: Serve) -> None:
    peer = Peer(await serve(answering(GOOD)), TIMEOUT_MS)
    assert await peer.read(("s",), ("h",), MAX_BYTES, b"tag") == {"s": (b"value",), "h": (b"x",)}
    peer.close()


async def test_reply_that_arrives_byte_by_byte_is_read(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        for index in range(len(GOOD)):
            writer.write(GOOD[index : index + 1])
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read(65536)

    peer = Peer(await serve(talk), TIMEOUT_MS)
    assert await peer.read(("s",), ("h",), MAX_BYTES, b"tag") == {"s": (b"value",), "h": (b"x",)}
    peer.close()


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (GOOD.replace(b"tag", b"old"), Fault.PROTOCOL),
        (b"$3\r\ntag\r\n" + GOOD, Fault.PROTOCOL),
        (b"$536870912\r\n", Fault.OVERSIZE),
        (b"$5\r\nvalue\r\n*1\r\n$536870912\r\n", Fault.OVERSIZE),
        (b"$9999999999\r\n", Fault.OVERSIZE),
        (b"$99999999999999999999\r\n", Fault.PROTOCOL),
        (b"$5\r\nvalue\r\n*1000000000\r\n", Fault.OVERSIZE),
        (b"$5\r\nvalue\r\n*1\r\n*1\r\n$1\r\nx\r\n$3\r\ntag\r\n", Fault.PROTOCOL),
        (b"*1\r\n" * 10_000, Fault.PROTOCOL),
        (b"x" * 200_000, Fault.OVERSIZE),
        (b"$-2\r\n", Fault.PROTOCOL),
        (b"$+5\r\nvalue\r\n", Fault.PROTOCOL),
        (b"$ 5\r\nvalue\r\n", Fault.PROTOCOL),
        (b"$05\r\nvalue\r\n", Fault.PROTOCOL),
        (b"$\r\n", Fault.PROTOCOL),
        (b"$4\r\nvalue\r\n", Fault.PROTOCOL),
        (b":1\r\n" + GOOD[11:], Fault.PROTOCOL),
        (b"+value\r\n" + GOOD[11:], Fault.PROTOCOL),
        (b":x\r\n", Fault.PROTOCOL),
        (b"%1\r\n", Fault.PROTOCOL),
        (b"\r\n", Fault.PROTOCOL),
        (b"HTTP/1.1 400 Bad Request\r\n", Fault.PROTOCOL),
        (b"*1\r\n$1\r\nx\r\n" + GOOD[11:], Fault.PROTOCOL),
        (b"$5\r\nvalue\r\n$1\r\nx\r\n$3\r\ntag\r\n", Fault.PROTOCOL),
        (b"$5\r\nvalue\r\n*-1\r\n$3\r\ntag\r\n", Fault.PROTOCOL),
        (b"$5\r\nvalue\r\n*1\r\n$-1\r\n$3\r\ntag\r\n", Fault.PROTOCOL),
        (b"$5\r\nvalue\r\n*1\r\n:1\r\n$3\r\ntag\r\n", Fault.PROTOCOL),
        (b"$5\r\nvalue\r\n*1\r\n-WRONGTYPE x\r\n$3\r\ntag\r\n", Fault.WRONG_TYPE),
        (b"-LOADING Redis is loading the dataset in memory\r\n", Fault.REFUSED),
        (b"-MASTERDOWN Link with MASTER is down\r\n", Fault.REFUSED),
        (b"-MOVED 1 127.0.0.1:7000\r\n", Fault.REFUSED),
        (b"-ERR max number of clients reached\r\n", Fault.REFUSED),
        (b"-NOAUTH Authentication required.\r\n", Fault.DENIED),
        (b"-NOPERM no permissions\r\n", Fault.DENIED),
        (b"-WRONGTYPE Operation against a key\r\n", Fault.WRONG_TYPE),
        (b"-\r\n", Fault.REFUSED),
        (b"-\xff\xfe\x00\r\n", Fault.REFUSED),
    ],
)
async def test_odd_reply_counts_as_nothing(serve: Serve, reply: bytes, fault: Fault) -> None:
    assert await fault_of(Peer(await serve(answering(reply)), TIMEOUT_MS)) is fault


@pytest.mark.parametrize("cut", [0, 1, 5, 10, len(GOOD) - 1])
async def test_half_a_reply_and_then_the_end_counts_as_nothing(serve: Serve, cut: int) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(GOOD[:cut])

    assert await fault_of(Peer(await serve(talk), TIMEOUT_MS)) is Fault.CLOSED


async def test_connection_that_was_reset_while_nothing_was_asked_ends_one_batch_and_no_process(
    serve: Serve,
) -> None:
    """Writing to it raised an error of the event loop's own, and one peer ended every sidecar."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(GOOD)
        await writer.drain()
        await reset.wait()
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    reset = asyncio.Event()
    peer = Peer(await serve(talk), TIMEOUT_MS)
    await peer.read(("s",), ("h",), MAX_BYTES, b"tag")
    reset.set()
    assert peer._link is not None
    assert peer._link._writer is not None
    while not peer._link._writer.transport.is_closing():
        await asyncio.sleep(0.001)  # nobody is told: nothing is being read
    assert await fault_of(peer) is Fault.CLOSED
    await peer.read(("s",), ("h",), MAX_BYTES, b"tag")
    peer.close()


@pytest.mark.parametrize("cut", [0, 10, len(GOOD) - 1])
async def test_half_a_reply_and_then_silence_is_a_timeout(serve: Serve, cut: int) -> None:
    assert await fault_of(Peer(await serve(answering(GOOD[:cut])), SHORT_MS)) is Fault.TIMEOUT


async def test_reply_left_over_from_a_cancelled_batch_is_never_taken_for_the_next(
    serve: Serve,
) -> None:
    asked = asyncio.Event()
    release = asyncio.Event()
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        first = connections == 1
        await reader.read(65536)
        if first:
            asked.set()
            await release.wait()
        writer.write(b"$3\r\nold\r\n$2\r\nt1\r\n" if first else b"$3\r\nnew\r\n$2\r\nt2\r\n")
        await writer.drain()
        await reader.read(65536)

    peer = Peer(await serve(talk), TIMEOUT_MS)
    batch = asyncio.ensure_future(peer.read(("s",), (), MAX_BYTES, b"t1"))
    await asked.wait()
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert not peer.connected
    release.set()
    assert await peer.read(("s",), (), MAX_BYTES, b"t2") == {"s": (b"new",)}
    assert connections == 2
    peer.close()


async def test_second_batch_while_one_is_under_way_is_our_own_mistake(serve: Serve) -> None:
    peer = Peer(await serve(answering(b"")), TIMEOUT_MS)
    batch = asyncio.ensure_future(peer.read(("s",), (), MAX_BYTES, b"1"))
    await asyncio.sleep(0)
    with pytest.raises(AssertionError, match="one batch at a time"):
        await peer.read(("s",), (), MAX_BYTES, b"2")
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch


async def test_nobody_listening_is_refused() -> None:
    probe = await asyncio.start_server(answering(), "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    assert await fault_of(Peer(PeerAddress("p", "127.0.0.1", port), TIMEOUT_MS)) is Fault.REFUSED


async def test_huge_announcement_is_refused_before_it_is_buffered(serve: Serve) -> None:
    """The peer sends 512 MB as fast as it can; only what fits the socket's buffers leaves it."""
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.read(65536)
        writer.write(b"$536870912\r\n")
        while sent < 536_870_912:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    assert await fault_of(Peer(await serve(talk), TIMEOUT_MS)) is Fault.OVERSIZE
    assert sent < 64 * 1024 * 1024


@pytest.mark.parametrize(
    "reply",
    [
        b"+QUEUED\r\n$3\r\ntag\r\n",
        b":1\r\n$3\r\ntag\r\n",
        b"$-1\r\n$3\r\ntag\r\n",
        b"-READONLY x\r\n",
    ],
)
async def test_write_is_done_only_when_the_peer_says_ok(serve: Serve, reply: bytes) -> None:
    peer = Peer(await serve(answering(reply)), TIMEOUT_MS)
    with pytest.raises(PeerError):
        await peer.write([("SET", "k", b"v")], b"tag")
    assert not peer.connected


async def test_subscription_that_is_no_subscription_ends_the_hints(serve: Serve) -> None:
    for reply in (b"+OK\r\n", b"*1\r\n$1\r\nx\r\n", b"*0\r\n", b"$9\r\nsubscribe\r\n"):
        peer = Peer(await serve(answering(reply)), TIMEOUT_MS)
        async with aclosing(peer.hints("c")) as hints:
            with pytest.raises(PeerError) as caught:
                await anext(hints)
        assert caught.value.fault is Fault.PROTOCOL


async def test_huge_message_on_the_channel_ends_the_hints(serve: Serve) -> None:
    hello = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
    reply = hello + b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$536870912\r\n"
    peer = Peer(await serve(answering(reply)), TIMEOUT_MS)
    async with aclosing(peer.hints("c")) as hints:
        with pytest.raises(PeerError) as caught:
            await anext(hints)
    assert caught.value.fault is Fault.OVERSIZE


async def test_silent_subscription_times_out(serve: Serve) -> None:
    peer = Peer(await serve(answering(b"")), SHORT_MS)
    async with aclosing(peer.hints("c")) as hints:
        with pytest.raises(PeerError) as caught:
            await anext(hints)
    assert caught.value.fault is Fault.TIMEOUT


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    made = subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=peer", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", "-", "-out", "-"],
        capture_output=True, check=True,
    )  # fmt: skip
    path.write_bytes(made.stdout)
    return path


def _tls(at: PeerAddress, ca_file: Path | None) -> PeerAddress:
    return PeerAddress(at.id, at.host, at.port, tls=True, ca_file=ca_file)


async def test_tls_peer_is_believed_only_with_a_certificate_that_we_trust(
    serve: Serve, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    at = await serve(answering(GOOD), tls=context)
    peer = Peer(_tls(at, certificate), TIMEOUT_MS)
    assert (await peer.read(("s",), ("h",), MAX_BYTES, b"tag"))["s"] == (b"value",)
    peer.close()
    assert await fault_of(Peer(_tls(at, None), TIMEOUT_MS)) is Fault.REFUSED
    plain = await serve(answering(GOOD))
    assert await fault_of(Peer(_tls(plain, certificate), TIMEOUT_MS)) is Fault.REFUSED


async def test_tls_peer_under_another_name_is_refused(serve: Serve, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    at = await serve(answering(GOOD), tls=context)
    other = PeerAddress("p", "localhost", at.port, tls=True, ca_file=certificate)
    assert await fault_of(Peer(other, TIMEOUT_MS)) is Fault.REFUSED
