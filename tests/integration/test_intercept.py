"""Interception by the kernel: real rules, real connections, in namespaces that the test makes.

The service listens on every address of its pod, as an image that nobody may change does. What
reaches it without the gate carries no decision id, and is counted as exempt by the harness.
"""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web

from sidecar.cli import main
from tests.integration.harness import LIMIT_S, Service, World
from tests.integration.namespaces import GATE_V4, GATE_V6, Net, NotPermittedError
from tests.valkey import ValkeyServer

PORT, OTHER, INBOUND = 8000, 9000, 17001
NOBODY = 65534
FAMILIES = {socket.AF_INET: GATE_V4, socket.AF_INET6: GATE_V6}
BODY = b'{"model": "m"}'

LISTEN = {"inbound": f"[::]:{INBOUND}", "status": "127.0.0.1:0", "transparent": True}
INTERCEPT = {"ports": [PORT, OTHER], "uid": os.geteuid()}
pytestmark = pytest.mark.fresh  # started in a network namespace
redirected = pytest.mark.sidecar(listen=LISTEN, intercept=INTERCEPT)


class OpenService(Service):
    """Listens on every address, IPv4 and IPv6."""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self.answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        sock = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
        await web.SockSite(self._runner, sock).start()
        self.port = PORT


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    try:
        net = Net()
    except NotPermittedError as error:
        pytest.skip(f"no network namespaces with nftables here: {error}")
    yield net
    net.close()


@pytest.fixture(scope="module")
def pod_valkeys(
    net: Net, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ValkeyServer, ...]]:
    folder = tmp_path_factory.mktemp("pod")
    with net.gate.inside():
        servers = tuple(ValkeyServer(folder / str(index)).start() for index in range(3))
    yield servers
    with net.gate.inside():
        for server in servers:
            server.stop()


@pytest.fixture
def peers(net: Net, pod_valkeys: tuple[ValkeyServer, ...]) -> Iterator[tuple[ValkeyServer, ...]]:
    """Peers in the pod; everything that the test makes from here on is there, too."""
    with net.gate.inside():
        for server in pod_valkeys:
            server.do("FLUSHALL")
        yield pod_valkeys
        net.gate.run("nft", "flush", "ruleset")


@pytest.fixture
async def service(peers: object) -> AsyncIterator[Service]:
    service = OpenService()
    await service.start()
    yield service
    await service.close()


def intercept(world: World, command: str, *options: str) -> int:
    """`epochgate intercept`, in the pod."""
    path = world.sidecar.folder / "sidecar.yaml"
    config = [] if command in ("show", "remove") else ["--config", str(path)]
    with pytest.raises(SystemExit) as left:
        main(["intercept", command, *config, *options])
    assert isinstance(left.value.code, int)
    return left.value.code


async def connect(net: Net, family: socket.AddressFamily, port: int) -> socket.socket:
    """A connection from outside."""
    sock = net.outside.socket(family)
    try:
        async with asyncio.timeout(LIMIT_S):
            await asyncio.get_running_loop().sock_connect(sock, (FAMILIES[family], port))
    except OSError:
        sock.close()
        raise
    return sock


async def exchange(sock: socket.socket, head: bytes, body: bytes = b"") -> tuple[int, str]:
    """One request; status and reason of the answer. (0, "") when the connection was reset."""
    loop = asyncio.get_running_loop()
    answer = b""
    try:
        async with asyncio.timeout(LIMIT_S):
            length = b"Host: model\r\nContent-Length: %d\r\n\r\n" % len(body)
            await loop.sock_sendall(sock, head + length + body)
            while b"\r\n\r\n" not in answer:
                data = await loop.sock_recv(sock, 65536)
                if not data:
                    return 0, ""
                answer += data
    except ConnectionResetError:
        return 0, ""
    reason = re.search(rb"x-epochgate-reason: (\w+)", answer)
    return int(answer.split()[1]), reason[1].decode() if reason else ""


POST = b"POST /v1/chat/completions HTTP/1.1\r\n"


async def ask(
    net: Net, family: socket.AddressFamily = socket.AF_INET, port: int = PORT, head: bytes = POST
) -> tuple[int, str]:
    """One request from outside, on a connection of its own."""
    with await connect(net, family, port) as sock:
        return await exchange(sock, head, BODY if head is POST else b"")


async def until(net: Net, wanted: tuple[int, str]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await ask(net) != wanted:
            await asyncio.sleep(0.01)


async def opened(world: World, net: Net) -> None:
    """Rules, an epoch, beats, a running sidecar, and the first permit."""
    assert intercept(world, "install") == 0
    world.hand.put_epoch(routes=world.routes)
    world.hand.pulse()
    world.hand.start()
    await world.sidecar.start()
    await until(net, (200, ""))


@contextmanager
def user(uid: int) -> Iterator[None]:
    """Sockets that are made in here belong to that user."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def knock(uid: int, host: str, port: int) -> bool:
    """Whether a process of that user, in the pod, can connect."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with user(uid):
        sock = socket.socket(family, socket.SOCK_STREAM)
    with sock:
        sock.settimeout(LIMIT_S)
        try:
            sock.connect((host, port))
        except ConnectionRefusedError:
            return False
    return True


@redirected
async def test_connections_to_the_service_pass_under_the_gate(world: World, net: Net) -> None:
    await opened(world, net)
    before = len(world.service.seen)
    for family in FAMILIES:
        assert await ask(net, family) == (200, "")
    assert len(world.service.seen) == before + 2
    assert world.service.exempt == 0

    await world.hand.stop()  # silence: contained when the lease ends, on both families
    await until(net, (503, "EG102"))
    assert await ask(net, socket.AF_INET6) == (503, "EG102")
    health = b"GET /health HTTP/1.1\r\n"
    for family in FAMILIES:
        assert await ask(net, family, head=health) == (200, "")
    assert world.service.exempt == 2

    world.sidecar.end(signal.SIGKILL)  # no gate: nobody answers, and nobody reaches the service
    for family in FAMILIES:
        with pytest.raises(ConnectionRefusedError):
            await ask(net, family)
    assert intercept(world, "remove") == 0
    for family in FAMILIES:
        assert await ask(net, family, head=health) == (200, "")
    assert world.service.exempt == 4


@redirected
async def test_what_would_go_around_the_gate_is_refused(world: World, net: Net) -> None:
    early = [await connect(net, family, PORT) for family in FAMILIES]
    health = b"GET /health HTTP/1.1\r\n"
    for sock in early:
        assert await exchange(sock, health) == (200, "")
    assert world.service.exempt == 2
    assert knock(NOBODY, "127.0.0.1", PORT)
    await opened(world, net)

    for sock in early:  # open before the rules were: cut off
        with sock:
            assert await exchange(sock, health) == (0, "")
    assert world.service.exempt == 2
    for host in ("127.0.0.1", "::1", GATE_V4, GATE_V6):
        assert not knock(NOBODY, host, PORT), host
        assert knock(os.geteuid(), host, PORT), host
    seen = len(world.service.seen)
    for family in FAMILIES:
        # To the gate's own port: not redirected. To another port: no route leads there.
        assert await ask(net, family, INBOUND) == (403, "EG306")
        assert await ask(net, family, OTHER) == (403, "EG303")
        assert await ask(net, family, OTHER, health) == (403, "EG303")
    assert len(world.service.seen) == seen
    assert world.service.exempt == 2

    assert intercept(world, "install", "--loopback", "standard") == 0
    assert knock(NOBODY, "127.0.0.1", PORT)


@pytest.mark.sidecar(
    listen={"inbound": f"[::]:{INBOUND}", "status": "127.0.0.1:0"}, intercept=INTERCEPT
)
async def test_without_redirection_the_service_is_refused_and_the_gate_serves(
    world: World, net: Net
) -> None:
    assert intercept(world, "install") == 0
    world.hand.put_epoch(routes=world.routes)
    world.hand.pulse()
    world.hand.start()
    await world.sidecar.start()
    async with asyncio.timeout(LIMIT_S):
        while await ask(net, socket.AF_INET6, INBOUND) != (200, ""):
            await asyncio.sleep(0.01)
    for family in FAMILIES:
        with pytest.raises(ConnectionRefusedError):
            await ask(net, family, PORT)
    assert world.service.exempt == 0


@redirected
async def test_check_finds_what_is_missing_changed_or_more(
    world: World, net: Net, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong() -> set[str]:
        capsys.readouterr()
        status = intercept(world, "check", "-o", "json")
        said = json.loads(capsys.readouterr().out)
        assert status == (0 if said["ok"] else 1)
        return {rule["rule"] for rule in said["rules"] if not rule["ok"]}

    table = ("inet", "epochgate")
    assert wrong() >= {"redirect", "outside", "loopback", "elements"}
    for _ in range(2):
        assert intercept(world, "install") == 0
        assert wrong() == set()
    for tampering, found in {
        ("flush", "chain", *table, "entering"): {"outside", "outside-udp"},
        ("delete", "chain", *table, "leaving"): {"type", "loopback", "loopback-udp"},
        ("delete", "element", *table, "service", "{ 9000 }"): {"elements"},
        ("insert", "rule", *table, "entering", "tcp", "dport", "8000", "accept"): {"tcp"},
        ("add", "chain", *table, "arriving", "{ policy drop; }"): {"type"},
        ("add", "table", *table, "{ flags dormant; }"): {"flags"},
    }.items():
        net.gate.run("nft", *tampering)
        assert wrong() >= found, tampering
        assert intercept(world, "install") == 0
        assert wrong() == set()
    assert intercept(world, "show", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["installed"] is True
    for _ in range(2):
        assert intercept(world, "remove") == 0
    assert "redirect" in wrong()
