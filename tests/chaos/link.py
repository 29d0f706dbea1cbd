"""The chaos proxy: one listener for each (process, peer), and what it may do to their connections.

Rules:

* A link has one mode at a time, and it holds for the connections that there are as well.
* Bytes of one direction keep their order: TCP promises that, so nothing real breaks it. What can
  happen is that a reply meets the wrong request (a pool, a proxy, a cancelled read). So `repeat`
  and `swap` deliver whole replies of *another* batch, whose ECHO tag is not the awaited one.
* A connection that was muted never speaks again, not even when the link is well: its bytes are
  gone. It is reset then.
* Whatever the mode, what a process sends is shown to the tap first.

Source: hardening (c) R02 to R04, R14.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.chaos.frames import Frames, arguments
from tests.valkey import HOST

Kind = Literal["pass", "delay", "cut", "mute", "deaf", "stall", "trickle", "repeat", "swap"]
Tap = Callable[[str, str, list[bytes]], None]  # process, peer, command

CHUNK = 65_536
TRADE_S = 0.03  # how long a reply waits for another one to be swapped with
TRICKLE_S = 0.01
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s: closing sends RST
INSTEAD, AFTER = 0, 1  # batches that may still come on a connection after a wrong reply


@dataclass(frozen=True, slots=True)
class Mode:
    """What a link does.

    * pass: nothing. * delay: each piece comes `amount` ms later. * cut: connections are reset, new
      ones too. * mute: half-open; what is sent is swallowed, nothing is ever answered. * deaf:
      requests reach the peer, answers are swallowed. * stall: nothing moves until the mode ends,
      then everything arrives. * trickle: answers come at `amount` bytes a second. * repeat: every
      second answer is an earlier one, in its place or once more behind it. * swap: two answers of
      one process change places.
    """

    kind: Kind = "pass"
    amount: int = 0


PASS = Mode()


@dataclass(slots=True)
class Tampered:
    """A connection that was given the reply of another request.

    Attributes:
        process: Who got it.
        peer: From whom.
        how: repeat or swap.
        limit: Batches that may still come on it: a reply behind the right one is met by the next.
        later: Batches that did come on it.
    """

    process: str
    peer: str
    how: str
    limit: int
    later: int = 0


@dataclass(slots=True)
class Trade:
    """Where the answers of one process meet, to change places."""

    waiting: tuple[bytes, bytes, asyncio.Future[bytes]] | None = None

    async def swap(self, tag: bytes, raw: bytes) -> bytes:
        """The answer of somebody else, or one's own when nobody comes."""
        other = self.waiting
        if other is not None and other[0] != tag and not other[2].done():  # not given up yet
            self.waiting = None
            other[2].set_result(raw)
            return other[1]
        mine: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.waiting = (tag, raw, mine)
        try:
            async with asyncio.timeout(TRADE_S):
                return await mine
        except TimeoutError:
            return raw
        finally:
            if self.waiting == (tag, raw, mine):
                self.waiting = None


@dataclass(slots=True)
class Network:
    """All links.

    Attributes:
        tap: Shown every command before anything is done to it.
        tampered: Connections that were given a wrong reply.
        broken: Errors of this proxy, of which there must be none.
    """

    tap: Tap
    links: dict[tuple[str, str], "Link"] = field(default_factory=dict)
    tampered: list[Tampered] = field(default_factory=list)
    broken: list[Exception] = field(default_factory=list)
    _trades: dict[str, Trade] = field(default_factory=dict)

    async def open(self, process: str, peer: str, port: int) -> "Link":
        """A new link to a peer's port."""
        trade = self._trades.setdefault(process, Trade())
        link = Link(process, peer, port, self, trade)
        await link.listen()
        self.links[process, peer] = link
        return link

    async def close(self) -> None:
        for link in self.links.values():
            await link.close()


class Link:
    """One listener. Its `port` is what the process is told."""

    def __init__(self, process: str, peer: str, to: int, network: Network, trade: Trade) -> None:
        self.process, self.peer, self.to = process, peer, to
        self.network, self.trade = network, trade
        self.port = 0
        self.mode = PASS
        self.turn = 0  # of `repeat`: a wrong reply ends its connection, so the count is the link's
        self._changed = asyncio.Event()
        self._wires: dict[Wire, asyncio.Task[None]] = {}
        self._server: asyncio.Server

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def set(self, mode: Mode) -> None:
        """Change what happens, from now on and to all connections."""
        self.mode = mode
        self._changed.set()
        self._changed = asyncio.Event()
        for wire in list(self._wires):
            if mode.kind == "cut" or wire.silenced:
                wire.reset()

    async def moving(self) -> Mode:
        """The mode, once bytes may move."""
        while self.mode.kind == "stall":
            await self._changed.wait()
        return self.mode

    async def ended(self, mode: Mode) -> None:
        """Wait until the mode is another one."""
        while self.mode is mode:
            await self._changed.wait()

    async def close(self) -> None:
        self._server.close()
        tasks = list(self._wires.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        wire = Wire(self, reader, writer)
        self._wires[wire] = task
        try:
            await wire.run()
        except (OSError, asyncio.CancelledError):
            pass  # that is what links are for
        except Exception as error:  # noqa: BLE001 - ours; the run must not pass for it
            self.network.broken.append(error)
        finally:
            wire.reset()
            del self._wires[wire]


class Wire:
    """One connection through a link."""

    def __init__(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._link, self._client, self._to_client = link, reader, writer
        self._to_peer: asyncio.StreamWriter | None = None
        self.silenced = False
        self._asked: deque[bytes | None] = deque()  # for each command: its tag, if it is an ECHO
        self._sent, self._came = Frames(), Frames()
        self._batch: list[bytes] = []
        self._earlier: tuple[bytes, bytes] | None = None  # tag and replies of the batch before
        self._wrong: Tampered | None = None

    async def run(self) -> None:
        """Carry bytes until one side ends."""
        mode = self._link.mode
        if mode.kind == "cut":
            return
        if mode.kind == "mute":
            await self._link.ended(mode)
            return
        peer, self._to_peer = await asyncio.open_connection(HOST, self._link.to)
        up = asyncio.ensure_future(self._up())
        down = asyncio.ensure_future(self._down(peer))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            ends = await asyncio.gather(up, down, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
                raise end

    def reset(self) -> None:
        """End both sides at once, with RST."""
        for writer in (self._to_client, self._to_peer):
            if writer is not None and not writer.transport.is_closing():
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()

    # -- towards the peer ------------------------------------------------------------------------

    async def _up(self) -> None:
        assert self._to_peer is not None
        while data := await self._client.read(CHUNK):
            self._note(data)
            mode = await self._link.moving()
            if mode.kind == "mute":
                self.silenced = True
            if self.silenced:
                continue
            if mode.kind == "delay":
                await asyncio.sleep(mode.amount / 1000)
            await _write(self._to_peer, data)

    def _note(self, data: bytes) -> None:
        for frame in self._sent.feed(data):
            said = [] if self._sent.opaque else arguments(frame)
            echo = len(said) == 2 and said[0].upper() == b"ECHO"
            self._asked.append(said[1] if echo else None)
            if echo and self._wrong is not None:
                self._wrong.later += 1
            if said:
                self._link.network.tap(self._link.process, self._link.peer, said)

    # -- towards the process ---------------------------------------------------------------------

    async def _down(self, peer: asyncio.StreamReader) -> None:
        while data := await peer.read(CHUNK):
            for frame in self._came.feed(data):
                tag = self._asked.popleft() if self._asked else None
                self._batch.append(frame)
                # Held until the batch is whole; what belongs to none (a push, AUTH) goes at once.
                if tag is not None or self._came.opaque or not any(self._asked):
                    raw, self._batch = b"".join(self._batch), []
                    await self._deliver(tag, raw)

    async def _deliver(self, tag: bytes | None, raw: bytes) -> None:
        mode = await self._link.moving()
        if mode.kind in ("mute", "deaf"):
            self.silenced = True
        if self.silenced:
            return
        if mode.kind == "delay":
            await asyncio.sleep(mode.amount / 1000)
        shown = raw if tag is None else await self._tamper(mode, tag, raw)
        if mode.kind == "trickle":
            await self._trickle(shown, max(1, int(mode.amount * TRICKLE_S)))
        else:
            await _write(self._to_client, shown)

    async def _tamper(self, mode: Mode, tag: bytes, raw: bytes) -> bytes:
        earlier, self._earlier = self._earlier, (tag, raw)
        if mode.kind == "swap":
            other = await self._link.trade.swap(tag, raw)
            if other is not raw:
                self._wronged("swap", INSTEAD)
            return other
        if mode.kind == "repeat" and earlier is not None and earlier[0] != tag:
            self._link.turn += 1
            if self._link.turn % 2:
                self._wronged("repeat", INSTEAD)
                return earlier[1]
            self._wronged("repeat", AFTER)
            return raw + earlier[1]
        return raw

    def _wronged(self, how: str, limit: int) -> None:
        if self._wrong is None:
            self._wrong = Tampered(self._link.process, self._link.peer, how, limit)
            self._link.network.tampered.append(self._wrong)

    async def _trickle(self, raw: bytes, step: int) -> None:
        for at in range(0, len(raw), step):
            await _write(self._to_client, raw[at : at + step])
            await asyncio.sleep(TRICKLE_S if self._link.mode.kind == "trickle" else 0)


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if writer.transport.is_closing():
        raise ConnectionResetError  # uvloop has an error of its own for it
    writer.write(data)
    await writer.drain()
