"""One peer: one connection, one batch of commands at a time.

Rules:

* Every batch ends with ECHO of a tag that the caller has never used before. Replies count only when
  the tag comes back last: a reply left over from an earlier batch can never pass for this one.
* Any timeout, cancellation, error or odd reply closes the connection. The next batch connects anew.
  A connection whose state is in doubt is never used again.
* Connecting happens inside the same time limit. No pool, no retry, no health check.
* The reply is limited before it is buffered (`resp`).
* What a peer says is bytes. Nothing is decoded, parsed or believed here.

Source: protocol b.2; hardening E-R1, E-R2, E-R4, R01 to R07.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import RedisError

from sidecar.config.sections import PeerAddress
from sidecar.core import layout
from sidecar.core.events import ReadPeer, WriteCommand
from sidecar.core.fault import Fault, PeerError
from sidecar.sync.resp import ErrorReplyError, Parser, Reply, Scalar

__all__ = ["Fault", "Peer", "PeerError"]

T = TypeVar("T")
CommandLine: TypeAlias = WriteCommand

REPLY_BYTES = 4096  # limit for replies to writes, and for one hint


class _Link(Connection):
    """A redis-py connection whose limits and whose end are ours.

    It brings connecting, AUTH, SELECT, keep-alive and the packing of commands.
    """

    async def greet(self) -> None:
        """Connect and authenticate."""
        try:
            await self.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            raise PeerError(Fault.REFUSED, str(error)) from None

    async def send(self, commands: Sequence[CommandLine]) -> None:
        # Not `send_packed_command`: on an error it closes politely, after sending what is queued.
        # A peer that does not read would keep that socket, and the queue, for as long as it likes.
        assert self._writer is not None, "greet first"
        if self._writer.transport.is_closing():
            # Reset while nothing was asked. uvloop raises RuntimeError for a write to it.
            raise PeerError(Fault.CLOSED, "the peer closed the connection")
        self._writer.writelines(self.pack_commands(commands))
        await self._writer.drain()

    async def reply(self) -> Reply:
        found: Reply = await self.read_response(disable_decoding=True, disconnect_on_error=False)
        return found

    def limit(self, max_bytes: int) -> None:
        """Bytes that all replies from here on may hold together."""
        assert isinstance(self._parser, Parser)
        self._parser.limit(max_bytes)

    def abort(self) -> None:
        """Close now; what was not sent yet is dropped."""
        writer, self._writer, self._reader = self._writer, None, None
        self._parser.on_disconnect()  # type: ignore[no-untyped-call]
        if writer is not None:
            writer.transport.abort()


class _TlsLink(_Link, SSLConnection):
    """The same over TLS; certificate and name are verified."""


class Peer:
    """A Redis or Valkey server that may lie, lag or die.

    Args:
        address: Where it is.
        timeout_ms: Limit for one batch, connecting included; milliseconds.
    """

    def __init__(self, address: PeerAddress, timeout_ms: int) -> None:
        self.address = address
        self._timeout_ms = timeout_ms
        self._link: _Link | None = None
        self._busy = False

    @property
    def id(self) -> str:
        """Its short name, for metrics, logs and votes."""
        return self.address.id

    @property
    def connected(self) -> bool:
        """Whether a connection is kept for the next batch."""
        return self._link is not None

    async def read(
        self, strings: tuple[str, ...], hashes: tuple[str, ...], max_bytes: int, tag: bytes
    ) -> dict[str, tuple[bytes, ...]]:
        """Read some keys in one round trip.

        Args:
            strings: Keys with no or one value.
            hashes: Keys with any number of values.
            max_bytes: Limit for all values together; a longer reply is an error.
            tag: Bytes that no batch to this peer has used before.

        Returns:
            Every key asked for -> its values, untrusted.

        Raises:
            PeerError: and the connection is closed.
        """
        commands: list[CommandLine] = [("GET", key) for key in strings]
        commands += [("HVALS", key) for key in hashes]
        return await self._batch(
            commands, max_bytes, tag, lambda replies: _found(strings, hashes, replies)
        )

    async def ask(self, want: ReadPeer, tag: bytes) -> tuple[dict[str, tuple[bytes, ...]], bool]:
        """Write, then read, in one round trip.

        Args:
            want: What to write and to read; its peer and round are not looked at.
            tag: Bytes that no batch to this peer has used before.

        Returns:
            Every key asked for -> its values, untrusted; and whether all writes were taken. What is
            read counts although a write was denied.

        Raises:
            PeerError: and the connection is closed.
        """
        reads: list[CommandLine] = [("GET", key) for key in want.strings]
        reads += [("HGET", key, field) for key, field in want.fields]
        reads += [("HVALS", key) for key in want.hashes]
        ones = (*want.strings, *(layout.field_name(key, field) for key, field in want.fields))
        split = len(want.writes)

        def accept(replies: list[Reply]) -> tuple[dict[str, tuple[bytes, ...]], bool]:
            wrote = None not in replies[:split]
            return _found(ones, want.hashes, replies[split:]), wrote

        return await self._batch([*want.writes, *reads], want.max_bytes, tag, accept, split)

    async def write(self, commands: Sequence[CommandLine], tag: bytes) -> None:
        """Run SET, HSET and PUBLISH commands in one round trip, in that order.

        Args:
            commands: Each a name and its arguments.
            tag: Bytes that no batch to this peer has used before.

        Raises:
            PeerError: and the connection is closed; some of the commands may have taken effect.
        """
        await self._batch(
            commands, REPLY_BYTES, tag, lambda replies: _check_written(commands, replies)
        )

    async def hints(self, channel: str) -> AsyncGenerator[None, None]:
        """Wait for messages on a channel, over a connection of its own; what they say is ignored.

        Ends with `PeerError` only; connecting again, and how soon, is the caller's business.
        """
        link = _dial(self.address)
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                await link.greet()
                await link.send([("SUBSCRIBE", channel)])
                link.limit(REPLY_BYTES)
                _expect_push(await link.reply(), b"subscribe")
            while True:
                link.limit(REPLY_BYTES)
                _expect_push(await link.reply(), b"message")
                yield
        except TimeoutError:
            raise PeerError(Fault.TIMEOUT, f"no subscription in {self._timeout_ms} ms") from None
        except (RedisError, OSError) as error:
            raise PeerError(Fault.CLOSED, str(error)) from None
        finally:
            link.abort()

    def close(self) -> None:
        """Close the connection; a later batch opens another."""
        link, self._link = self._link, None
        if link is not None:
            link.abort()

    async def _batch(
        self,
        commands: Sequence[CommandLine],
        max_bytes: int,
        tag: bytes,
        accept: Callable[[list[Reply]], T],
        lenient: int = 0,
    ) -> T:
        assert not self._busy, "one batch at a time: replies are matched to requests by order"
        self._busy = True
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                return accept(await self._exchange(commands, max_bytes, tag, lenient))
        except TimeoutError:
            self.close()
            raise PeerError(Fault.TIMEOUT, f"no answer in {self._timeout_ms} ms") from None
        except (RedisError, OSError) as error:
            self.close()
            raise PeerError(Fault.CLOSED, str(error)) from None
        except BaseException:  # cancellation too: its reply would be the next batch's first
            self.close()
            raise
        finally:
            self._busy = False

    async def _exchange(
        self, commands: Sequence[CommandLine], max_bytes: int, tag: bytes, lenient: int
    ) -> list[Reply]:
        if self._link is None:
            self._link = _dial(self.address)
            await self._link.greet()
        link = self._link
        await link.send([*commands, ("ECHO", tag)])
        link.limit(max_bytes + len(tag))
        replies = [await _denied_as_null(link) for _ in commands[:lenient]]
        replies += [await link.reply() for _ in commands[lenient:]]
        if await link.reply() != tag:
            raise PeerError(Fault.PROTOCOL, "the reply belongs to another request")
        return replies


async def _denied_as_null(link: _Link) -> Reply:
    try:
        return await link.reply()
    except ErrorReplyError:
        return None


def _dial(address: PeerAddress) -> _Link:
    settings: dict[str, Any] = {
        "host": address.host, "port": address.port, "db": address.db,
        "username": address.username, "password": address.password,
        # One limit governs, ours: a second, inner one would only blur which of them struck.
        "socket_timeout": None, "socket_connect_timeout": None,
        "protocol": 2, "parser_class": Parser, "driver_info": None,
    }  # fmt: skip
    if not address.tls:
        return _Link(**settings)
    ca_file = None if address.ca_file is None else str(address.ca_file)
    return _TlsLink(ssl_ca_certs=ca_file, ssl_min_version=ssl.TLSVersion.TLSv1_2, **settings)


def _found(
    strings: tuple[str, ...], hashes: tuple[str, ...], replies: list[Reply]
) -> dict[str, tuple[bytes, ...]]:
    split = len(strings)
    one: list[list[Scalar]] = [[] if reply is None else [_flat(reply)] for reply in replies[:split]]
    many = [_list(reply) for reply in replies[split:]]
    return dict(zip((*strings, *hashes), map(_bulks, one + many), strict=True))


def _flat(reply: Reply) -> Scalar:
    if isinstance(reply, list):
        raise PeerError(Fault.PROTOCOL, "an array where a value should be")
    return reply


def _list(reply: Reply) -> list[Scalar]:
    if not isinstance(reply, list):
        raise PeerError(Fault.PROTOCOL, "a value where an array should be")
    return reply


def _bulks(values: list[Scalar]) -> tuple[bytes, ...]:
    bulks = tuple(value for value in values if isinstance(value, bytes))
    if len(bulks) != len(values):
        raise PeerError(Fault.PROTOCOL, "something other than a string")
    return bulks


def _check_written(commands: Sequence[CommandLine], replies: list[Reply]) -> None:
    for command, reply in zip(commands, replies, strict=True):
        if not (reply == "OK" if command[0] == "SET" else isinstance(reply, int)):
            raise PeerError(Fault.PROTOCOL, f"odd reply to {command[0]!r}")


def _expect_push(reply: Reply, kind: bytes) -> None:
    if not isinstance(reply, list) or reply[:1] != [kind]:
        raise PeerError(Fault.PROTOCOL, "not a message of the channel")
