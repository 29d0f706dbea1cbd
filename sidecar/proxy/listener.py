"""What clients connect to, and where their connections may lead.

Three ways in: a TCP port, a Unix socket, and a TCP port that the kernel redirects connections to
(`listen.transparent`). Upstreams come from the signed route table in each of them; what is
configured here can only refuse one:

* `listen.upstream` names the one service that may be reached through this listener.
* Transparent: a client asked for a port, and is answered from that port's service or not at all.
  The kernel is asked once per connection where it was going. One that was not redirected came
  around the rules, and nothing says what it was meant for.

A Unix socket has no reset: a reader of it can not tell a cut from an end. Where only the end of the
connection would end a body, the request is denied (`Inbound.has_reset`).

Source: DESIGN 3; hardening E-W3; Linux: linux/netfilter_ipv4.h, ip6_tables.h, unix(7).
"""

import asyncio
import errno
import ipaddress
import socket
import stat
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from sidecar.config.sections import Address, Proxy, UnixAddress
from sidecar.core.reason import Reason
from sidecar.core.routes import Upstream

BACKLOG = 1024
UNIX_MODE = 0o660  # owner and group: who may speak to the gate is a matter of file permissions

# `localhost` may name an address of a family that this machine does not have.
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

_SO_ORIGINAL_DST = 80  # at SOL_IP; IP6T_SO_ORIGINAL_DST has the same number at SOL_IPV6
_V4 = struct.Struct("!HH4s8x")  # sockaddr_in: family (host order, not read), port, address
_V6 = struct.Struct("!HHI16sI")  # sockaddr_in6: family, port, flow, address, scope
_SOL_IP, _SOL_IPV6 = socket.IPPROTO_IP, socket.IPPROTO_IPV6

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Accepted(Protocol):
    """An accepted TCP socket, or what an event loop shows in its place."""

    def getsockname(self) -> tuple[Any, ...]:
        """Host and port on our side; for IPv6 more behind them."""
        ...

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """An option of the socket."""
        ...


class Inbound:
    """Which of the signed upstreams may be reached through a listener.

    Args:
        settings: `upstream` and `transparent`.

    Attributes:
        free: Whether any signed upstream may be.
        has_reset: Whether a client can see that a connection was cut, not ended.
    """

    __slots__ = ("_fixed", "_transparent", "free", "has_reset")

    def __init__(self, settings: Proxy) -> None:
        self._fixed = settings.upstream
        self._transparent = settings.transparent
        self.free = settings.upstream is None and not settings.transparent
        self.has_reset = not isinstance(settings.inbound, UnixAddress)

    def destination(self, transport: asyncio.BaseTransport) -> Address | None:
        """Where a client was going before it was redirected; None when it was not, or unasked."""
        sock = transport.get_extra_info("socket") if self._transparent else None
        return None if sock is None else original(sock)

    def astray(self, upstream: Upstream, destination: Address | None) -> Reason | None:
        """Why a request on a connection must not be forwarded there, or None.

        Args:
            upstream: Where the signed route leads.
            destination: What `destination` said about the connection.
        """
        if self._transparent:
            if destination is None:
                return Reason.NOT_REDIRECTED
            if destination.port != upstream.port:
                return Reason.UPSTREAM_MISMATCH
        fixed = self._fixed
        if fixed is not None and (
            upstream.port != fixed.port or _ip(upstream.host) != _ip(fixed.host)
        ):
            return Reason.UPSTREAM_MISMATCH
        return None


def original(sock: Accepted) -> Address | None:
    """Where a redirected connection was going, or None: it was not redirected, or nobody knows."""
    try:
        host, port = sock.getsockname()[:2]
        here = Address(str(_ip(host)), port)
        if isinstance(_ip(host), ipaddress.IPv4Address):  # also on a socket of both families
            _, port, raw = _V4.unpack(sock.getsockopt(_SOL_IP, _SO_ORIGINAL_DST, _V4.size))
        else:
            found = sock.getsockopt(_SOL_IPV6, _SO_ORIGINAL_DST, _V6.size)
            _, port, _, raw, _ = _V6.unpack(found)
    except (OSError, ValueError, struct.error):
        return None  # no connection tracking here, so no redirection either
    there = Address(str(ipaddress.ip_address(raw)), port)
    return None if there == here else there


@lru_cache(maxsize=256)
def _ip(host: str) -> IpAddress:
    address = ipaddress.ip_address(host.partition("%")[0])  # the kernel tells no scope by name
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class Listener:
    """The listening sockets of one process.

    Args:
        settings: Where to listen.
        socks: Sockets that listen already, from `open_sockets`; whoever made them keeps their file.
    """

    def __init__(self, settings: Proxy, socks: Sequence[socket.socket] = ()) -> None:
        self._settings = settings
        self._given = socks
        self._servers: list[asyncio.Server] = []
        self._file: tuple[Path, int] | None = None
        self.address: Address | UnixAddress = settings.inbound

    async def start(self, made: Callable[[], asyncio.Protocol]) -> None:
        """Listen; `made` makes what serves a connection.

        Raises:
            OSError: The address can not be bound.
        """
        where = self._settings.inbound
        socks = self._given or open_sockets(self._settings)
        if isinstance(where, UnixAddress):
            if not self._given:
                self._file = (where.path, where.path.stat().st_ino)
        else:
            self.address = Address(*socks[0].getsockname()[:2])
        loop = asyncio.get_running_loop()
        for sock in socks:
            if sock.family == socket.AF_UNIX:
                server = await loop.create_unix_server(made, sock=sock, backlog=BACKLOG)
            else:
                server = await loop.create_server(made, sock=sock, backlog=BACKLOG)
            self._servers.append(server)

    def close(self) -> None:
        """Take no new connections, and leave no file behind."""
        for server in self._servers:
            server.close()
        if self._file is not None:
            (path, inode), self._file = self._file, None
            with suppress(OSError):
                if path.stat().st_ino == inode:  # not the file of who came after us
                    path.unlink()

    async def wait_closed(self) -> None:
        """Until the last connection has ended."""
        for server in self._servers:
            await server.wait_closed()


def open_sockets(settings: Proxy) -> list[socket.socket]:
    """Sockets that listen where a configuration says: one, or one per address of a host name.

    Raises:
        OSError: The address can not be bound.
    """
    where = settings.inbound
    if isinstance(where, UnixAddress):
        return [_open_unix(where)]
    if settings.transparent and where.host == "::":
        # Both families arrive at one port, so that no rule has to know which is served.
        return [_listening(socket.AF_INET6, ("::", where.port), both=True)]
    found = socket.getaddrinfo(
        where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    made: list[socket.socket] = []
    absent: OSError | None = None
    for family, address in dict.fromkeys((item[0], item[4]) for item in found):
        try:
            made.append(_listening(family, address, both=False))
        except OSError as error:
            if error.errno not in _ABSENT:
                for sock in made:
                    sock.close()
                raise
            absent = error
    if absent is not None and not made:
        raise absent
    return made


def _listening(family: int, address: tuple[str | int | bytes, ...], *, both: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(_SOL_IPV6, socket.IPV6_V6ONLY, not both)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 (its one argument)
    except OSError:
        sock.close()
        raise
    return sock


def _open_unix(where: UnixAddress) -> socket.socket:
    """Bind beside the path and rename: what others see listens, and has its mode, from the first.

    Raises:
        OSError: Somebody answers there, or something that is no socket stands there.
    """
    _refuse_taken(where.path)
    beside = where.beside
    _refuse_taken(beside)
    beside.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(beside))
        beside.chmod(UNIX_MODE)
        sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 (its one argument)
        beside.rename(where.path)
    except OSError:
        sock.close()
        beside.unlink(missing_ok=True)
        raise
    return sock


def _refuse_taken(path: Path) -> None:
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise FileExistsError(None, "something that is no socket stands there", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # noqa: FBT003 (its one argument)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return  # left behind by a process that was killed
        except BlockingIOError:
            pass  # its backlog is full: somebody is there
    raise OSError(None, "another process listens there", str(path))
