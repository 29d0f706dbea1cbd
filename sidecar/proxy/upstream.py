"""The connection to the service behind, and the few that are kept warm.

Rules:

* `send` takes a permit or an exemption; there is no other way to write the first byte of a request.
* A connection belongs to one client connection for life. Bytes that nobody asked for, a surplus
  after a response, any doubt: it is destroyed.
* What the kernel has no room for waits here, and more is not taken until it has left: so the owner
  hears when it left, and can compare that with the lease.
* Under a strict policy nothing of a response is read before the decision is on the disk.
* A warm connection has never carried a request, so nothing on it can belong to somebody else.

Source: hardening E-H7; DESIGN 3.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from sidecar.config import sections
from sidecar.core.gate import Exempt, Permit
from sidecar.core.routes import Upstream as Address


class Owner(Protocol):
    """The client connection that an upstream connection works for."""

    def upstream_data(self, data: bytes) -> None:
        """Bytes of a response."""

    def upstream_lost(self, *, clean: bool) -> None:
        """The connection ended; `clean`: by an orderly close."""

    def upstream_full(self, *, full: bool) -> None:
        """The write buffer is over its limit, or has room again."""


class Upstream(asyncio.Protocol):
    """One connection.

    Attributes:
        address: Where it leads.
        full: Whether bytes of the request wait here because the service takes them too slowly.
        lost: Whether it has ended.
    """

    __slots__ = (
        "_busy", "_made", "_owner", "_pool", "_transport", "_waiting", "_withheld", "address",
        "full", "lost",
    )  # fmt: skip

    def __init__(self, address: Address, pool: "Pool") -> None:
        self.address = address
        self._pool = pool
        self._waiting = 0  # bytes that waited after the last write
        self._owner: Owner | None = None
        self._busy = False
        self._made = False
        self._withheld = False
        self.full = False
        self.lost = False
        self._transport: asyncio.Transport

    @property
    def ready(self) -> bool:
        """Whether a request may be written: open, idle, and what is written goes out at once."""
        return (
            not self._busy
            and not self.lost
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
        )

    @property
    def left_unseen(self) -> bool:
        """Whether some of the bytes that wait have left, and not all: only that is told."""
        return self.full and self._transport.get_write_buffer_size() < self._waiting

    def send(self, decision: Permit | Exempt, data: bytes, owner: Owner) -> None:
        """Begin a request.

        Args:
            decision: What permits it. Its upstream must be where this connection leads.
            data: The head and as much of the body as is there.
            owner: Who is told about the response.

        Raises:
            RuntimeError: Anything else than a permitted request on a ready connection.
        """
        if type(decision) is Permit:
            address = decision.route.upstream
        elif type(decision) is Exempt:
            address = decision.upstream
        else:
            raise RuntimeError("nothing is sent without a permit or an exemption")
        if (address is not self.address and address != self.address) or not self.ready:
            raise RuntimeError("this connection must not carry that request")
        self._busy = True
        self._owner = owner
        self._transport.write(data)

    def relay(self, data: bytes) -> None:
        """Write more of the body of the request that was sent."""
        if not self._busy:
            raise RuntimeError("no request was sent on this connection")
        self._transport.write(data)
        if self.full:
            self.see_waiting()

    def see_waiting(self) -> None:
        """What has left until now has left in time: only more of it is `left_unseen`."""
        self._waiting = self._transport.get_write_buffer_size()

    def release(self) -> None:
        """The exchange is complete and nothing is in doubt: the next request may come."""
        self._busy = False
        self._owner = None
        self._transport.resume_reading()

    def abort(self) -> None:
        """Destroy the connection now; the owner is not told."""
        self._owner = None
        self._busy = False
        self.lost = True
        self._transport.abort()

    def give_up(self) -> None:
        """Nobody waits for this connection any more; if it is made all the same, it ends.

        A loop that is told to stop connecting may have connected already. uvloop then closes it
        without a word, so it is counted out here.
        """
        self.lost = True
        if self._made:
            self._transport.abort()
            self._count_out()

    def withhold(self) -> None:
        """Read nothing of the response until `let_go`, whatever room the client has for it."""
        self._withheld = True
        self.hold_reading(hold=True)

    def let_go(self) -> None:
        """What the response had to wait for has come."""
        self._withheld = False
        self.hold_reading(hold=False)

    def hold_reading(self, *, hold: bool) -> None:
        """Stop or resume reading the response."""
        if self.lost or self._transport.is_closing():
            return
        if hold or self._withheld:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask to be told of each byte that waits."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._transport.set_write_buffer_limits(high=0)
        self._made = True
        self._pool.count += 1
        if self.lost:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the owner; unsolicited bytes end the connection."""
        if self._owner is None:
            self.abort()
        else:
            self._owner.upstream_data(data)

    def eof_received(self) -> None:
        """An orderly end: of a response without a length, or of the connection."""
        self._ended(clean=True)

    def connection_lost(self, error: Exception | None) -> None:
        """Not orderly unless an EOF came before."""
        self._count_out()
        self._pool.forget(self)
        self._ended(clean=error is None and not self._busy)

    def pause_writing(self) -> None:
        """The service takes the request more slowly than the client sends it."""
        self.full = True
        self.see_waiting()
        if self._owner is not None:
            self._owner.upstream_full(full=True)

    def resume_writing(self) -> None:
        """It caught up."""
        self.full = False
        if self._owner is not None:
            self._owner.upstream_full(full=False)

    def _count_out(self) -> None:
        self._pool.count -= self._made
        self._made = False

    def _ended(self, *, clean: bool) -> None:
        owner, self._owner = self._owner, None
        self.lost = True
        if owner is not None:
            owner.upstream_lost(clean=clean)


Waiter = Callable[[Upstream | None], None]


class Pool:
    """Makes upstream connections and keeps a few unused ones per address.

    Args:
        settings: Limits, timeouts, how many to keep warm.

    Attributes:
        count: Open connections, used or not.
    """

    def __init__(self, settings: sections.Proxy) -> None:
        self._settings = settings
        self._warm: dict[Address, deque[Upstream]] = {}
        self._coming: dict[Address, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.count = 0

    def take(self, address: Address) -> Upstream | None:
        """A connection that never carried a request, or None."""
        warm = self._warm.get(address)
        while warm:
            upstream = warm.popleft()
            if upstream.ready:
                self._refill(address)
                return upstream
            upstream.abort()
        return None

    def connect(self, address: Address, waiter: Waiter) -> None:
        """Open a connection and hand it, or None, to `waiter`, later."""
        self._spawn(self._connect(address, waiter))
        self._refill(address)

    def put_back(self, upstream: Upstream) -> None:
        """Take an unused connection whose client went away."""
        warm = self._warm.setdefault(upstream.address, deque())
        if upstream.ready and len(warm) < self._settings.warm_connections and not self._closed:
            warm.append(upstream)
        else:
            upstream.abort()

    def forget(self, upstream: Upstream) -> None:
        """A connection is gone."""
        warm = self._warm.get(upstream.address)
        if warm and upstream in warm:
            warm.remove(upstream)

    def clear(self) -> None:
        """Drop what is warm: the routes have changed."""
        warm, self._warm = self._warm, {}
        for upstreams in warm.values():
            for upstream in upstreams:
                upstream.abort()

    async def close(self) -> None:
        """End everything that is unused or on its way."""
        self._closed = True
        self.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _refill(self, address: Address) -> None:
        warm = self._warm.setdefault(address, deque())
        coming = self._coming.get(address, 0)
        for _ in range(self._settings.warm_connections - len(warm) - coming):
            self._coming[address] = self._coming.get(address, 0) + 1
            self._spawn(self._connect(address, lambda upstream: self._arrived(address, upstream)))

    def _arrived(self, address: Address, upstream: Upstream | None) -> None:
        self._coming[address] -= 1
        if upstream is not None:
            self.put_back(upstream)

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        # Not a TaskGroup: it would need a coroutine that lives as long as the server. The set keeps
        # each task from being collected; `close` awaits them all.
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, address: Address, waiter: Waiter) -> None:
        timeout_ms = self._settings.timeouts.connect_ms
        upstream: Upstream | None = Upstream(address, self)
        assert upstream is not None
        made = upstream
        try:
            async with asyncio.timeout(timeout_ms / 1000 if timeout_ms else None):
                await asyncio.get_running_loop().create_connection(
                    lambda: made, address.host, address.port
                )
        except (OSError, TimeoutError):
            made.give_up()
            upstream = None
        except asyncio.CancelledError:
            made.give_up()
            raise
        waiter(upstream)
