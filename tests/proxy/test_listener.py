"""What is listened on, and where a connection may lead. Redirection itself: tests/integration."""

import asyncio
import socket
import stat
import struct
from pathlib import Path
from typing import cast

import pytest

from sidecar.config.sections import Address, Proxy, UnixAddress
from sidecar.core.reason import Reason
from sidecar.core.routes import Upstream
from sidecar.proxy.listener import Inbound, Listener, open_sockets, original
from tests.proxy.world import Received, request, running

HERE = Address("127.0.0.1", 0)
SERVICE = Upstream("local", "127.0.0.1", 8000)
SERVICE_V6 = Upstream("six", "0:0:0:0:0:0:0:1", 8000)


class Accepted:
    """A socket that says what it is told to."""

    def __init__(self, host: str, port: int, said: bytes | OSError, level: int = 0) -> None:
        self.here = (host, port, 0, 0) if ":" in host else (host, port)
        self.said = said
        self.level = level

    def getsockname(self) -> tuple[str, int]:
        return self.here  # type: ignore[return-value]  # IPv6 has four parts, as in life

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        assert (level, option) == (self.level, 80)
        if isinstance(self.said, OSError):
            raise self.said
        return self.said[:size]


class Goodbye(asyncio.Protocol):
    """Says one word."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(b"bye")
        transport.close()


def v4(host: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack(
        "!H4s8x", port, socket.inet_pton(socket.AF_INET, host)
    )


def v6(host: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET6) + struct.pack(
        "!HI16sI", port, 0, socket.inet_pton(socket.AF_INET6, host), 0
    )


@pytest.fixture
def ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


# Where a redirected connection was going.


@pytest.mark.parametrize(
    ("sock", "there"),
    [
        (Accepted("10.0.0.2", 17001, v4("10.0.0.2", 8000)), Address("10.0.0.2", 8000)),
        (Accepted("::ffff:10.0.0.2", 17001, v4("10.0.0.2", 8000)), Address("10.0.0.2", 8000)),
        (Accepted("fd00::2", 17001, v6("fd00::2", 8000), 41), Address("fd00::2", 8000)),
        (Accepted("10.0.0.2", 17001, v4("10.0.0.9", 17001)), Address("10.0.0.9", 17001)),
    ],
    ids=["v4", "v4-on-both", "v6", "other-host"],
)
def test_the_kernel_tells_where_a_connection_was_going(sock: Accepted, there: Address) -> None:
    assert original(sock) == there


@pytest.mark.parametrize(
    "sock",
    [
        Accepted("10.0.0.2", 17001, v4("10.0.0.2", 17001)),
        Accepted("::ffff:10.0.0.2", 17001, v4("10.0.0.2", 17001)),
        Accepted("fd00::2", 17001, v6("fd00::2", 17001), 41),
        Accepted("fe80::2%eth0", 17001, v6("fe80::2", 17001), 41),
        Accepted("10.0.0.2", 17001, OSError(2, "No such file or directory")),
        Accepted("10.0.0.2", 17001, OSError(92, "Protocol not available")),
        Accepted("10.0.0.2", 17001, b"\x02\x00"),
        Accepted("/run/x.sock", 0, b""),
    ],
    ids=["v4", "v4-on-both", "v6", "v6-link-local", "untracked", "no-tracking", "short", "unix"],
)
def test_a_connection_that_was_not_redirected_has_no_destination(sock: Accepted) -> None:
    assert original(sock) is None


# Which upstream may be reached.


@pytest.mark.parametrize(
    ("settings", "upstream", "destination", "reason"),
    [
        (Proxy(HERE), SERVICE, None, None),
        (Proxy(HERE, Address("127.0.0.1", 8000)), SERVICE, None, None),
        (Proxy(HERE, Address("127.0.0.1", 8001)), SERVICE, None, Reason.UPSTREAM_MISMATCH),
        (Proxy(HERE, Address("127.0.0.2", 8000)), SERVICE, None, Reason.UPSTREAM_MISMATCH),
        (Proxy(HERE, Address("::1", 8000)), SERVICE_V6, None, None),
        (Proxy(HERE, Address("::1", 8000)), SERVICE, None, Reason.UPSTREAM_MISMATCH),
        (Proxy(HERE, transparent=True), SERVICE, Address("10.0.0.2", 8000), None),
        (
            Proxy(HERE, transparent=True),
            SERVICE, Address("10.0.0.2", 8001), Reason.UPSTREAM_MISMATCH,
        ),
        (Proxy(HERE, transparent=True), SERVICE, None, Reason.NOT_REDIRECTED),
        (
            Proxy(HERE, Address("127.0.0.1", 9000), transparent=True),
            SERVICE, Address("10.0.0.2", 8000), Reason.UPSTREAM_MISMATCH,
        ),
    ],
)  # fmt: skip
def test_local_settings_refuse_signed_upstreams_and_add_none(
    settings: Proxy, upstream: Upstream, destination: Address | None, reason: Reason | None
) -> None:
    assert Inbound(settings).astray(upstream, destination) is reason


async def test_a_route_to_another_service_than_the_fixed_one_is_denied() -> None:
    async with running(upstream=Address("127.0.0.1", 1)) as world:
        for target in ("/v1/chat", "/health"):
            answer = await world.ask(request("GET", target))
            assert (answer.status, answer.reason) == (403, "EG303")
        assert world.service.received == []
        assert world.recorder.denials == [Reason.UPSTREAM_MISMATCH] * 2


async def test_a_closed_gate_says_so_before_it_says_that_a_route_leads_elsewhere() -> None:
    async with running(upstream=Address("127.0.0.1", 1)) as world:
        world.hold(Reason.HALT_GLOBAL)
        assert (await world.ask(request("GET"))).reason == "EG901"


async def test_a_direct_connection_to_a_transparent_listener_is_denied() -> None:
    async with running(inbound=Address("127.0.0.1", 0), transparent=True) as world:
        for target in ("/v1/chat", "/health"):
            answer = await world.ask(request("GET", target))
            assert (answer.status, answer.reason) == (403, "EG306")
        assert world.service.received == []


# Sockets.


async def test_a_unix_socket_serves_and_is_gone_after_the_end(tmp_path: Path) -> None:
    path = tmp_path / "inbound.sock"
    async with running(inbound=UnixAddress(path)) as world:
        assert world.server.address == UnixAddress(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        answer = await world.ask(request(body=b"x"))
        assert (answer.status, answer.body) == (200, b"ok")
        assert [received.body for received in world.service.received] == [b"x"]
    assert not path.exists()


async def test_a_cut_on_a_unix_socket_is_no_end_of_the_answer(tmp_path: Path) -> None:
    """A Unix socket has no reset, so the framing alone has to tell."""
    async with running(inbound=UnixAddress(tmp_path / "s")) as world:

        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
            await asyncio.Event().wait()

        world.service.answer = answer
        client = await world.connect()
        client.send(request("GET"))
        assert await client.head()
        assert await client.chunk() == b"half of it"
        world.hold()
        assert await client.ended() == b""  # and no last chunk
        await world.until(lambda: world.server.in_flight == 0)


async def test_an_answer_that_only_the_end_ends_is_not_given_on_a_unix_socket(
    tmp_path: Path,
) -> None:
    async with running(inbound=UnixAddress(tmp_path / "s")) as world:
        answer = await world.ask(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        assert (answer.status, answer.reason) == (505, "EG008")
        assert world.service.received == []
    async with running() as world:
        assert (await world.ask(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")).status == 200


async def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    async with running(inbound=UnixAddress(path)) as world:
        assert (await world.ask(request("GET"))).status == 200


def test_a_socket_that_somebody_answers_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        for _ in range(3):  # from the second time on its backlog is full: it still lives
            with pytest.raises(OSError, match="another process listens there"):
                open_sockets(Proxy(UnixAddress(path)))
    assert path.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="no socket"):
        open_sockets(Proxy(UnixAddress(path)))
    assert [item.name for item in tmp_path.iterdir()] == ["s"]


def test_a_file_of_the_name_that_is_bound_first_is_not_removed(tmp_path: Path) -> None:
    beside = UnixAddress(tmp_path / "s").beside
    beside.write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        open_sockets(Proxy(UnixAddress(tmp_path / "s")))
    assert beside.read_text() == "precious"
    beside.unlink()
    with socket.socket(socket.AF_UNIX) as old:  # killed between bind and rename
        old.bind(str(beside))
    [sock] = open_sockets(Proxy(UnixAddress(tmp_path / "s")))
    sock.close()


async def test_the_socket_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = Listener(Proxy(UnixAddress(path)))
    await first.start(asyncio.Protocol)
    path.unlink()
    second = open_sockets(Proxy(UnixAddress(path)))
    inode = path.stat().st_ino
    first.close()
    await first.wait_closed()
    assert path.stat().st_ino == inode
    second[0].close()


async def test_a_socket_that_is_handed_in_is_served_and_its_file_stays(tmp_path: Path) -> None:
    """A worker ends and another one goes on with the same socket."""
    settings = Proxy(UnixAddress(tmp_path / "s"))
    [kept] = open_sockets(settings)
    for _ in range(2):
        listener = Listener(settings, [kept.dup()])
        await listener.start(Goodbye)
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        assert await reader.read() == b"bye"
        writer.close()
        await writer.wait_closed()
        listener.close()
        await listener.wait_closed()
        assert (tmp_path / "s").exists()
    kept.close()


@pytest.mark.usefixtures("ipv6")
def test_a_transparent_listener_on_every_address_takes_both_families() -> None:
    [sock] = open_sockets(Proxy(Address("::", 0), transparent=True))
    with sock:
        port = sock.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), timeout=5):
                pass


@pytest.mark.usefixtures("ipv6")
def test_a_plain_listener_on_every_ipv6_address_takes_nothing_else() -> None:
    [sock] = open_sockets(Proxy(Address("::", 0)))
    with sock, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sock.getsockname()[1]), timeout=5)


def test_a_host_name_is_listened_on_with_each_of_its_addresses() -> None:
    socks = open_sockets(Proxy(Address("localhost", 0)))
    try:
        names = {sock.getsockname()[0] for sock in socks}
        assert names
        assert names <= {"127.0.0.1", "::1"}
    finally:
        for sock in socks:
            sock.close()


NOT_HERE = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
LOOPBACK = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))


def test_a_name_may_have_addresses_that_this_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [NOT_HERE, LOOPBACK])
    [sock] = open_sockets(Proxy(Address("name", 0)))
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [NOT_HERE])
    with pytest.raises(OSError, match="assign requested address"):
        open_sockets(Proxy(Address("name", 0)))


def test_a_port_that_is_taken_leaves_nothing_open() -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            open_sockets(Proxy(Address("127.0.0.1", port)))
    assert len(list(descriptors.iterdir())) == before
