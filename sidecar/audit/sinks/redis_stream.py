"""Sink of kind redis: one stream for each log, `eg:{domain}:audit:<log>`, fields `seq` and `line`.

A batch is one transaction: a server that refuses one record of it takes none. A batch whose answer
was lost is added again, so a reader skips what it has seen, by `seq`.

With `maxLen` the stream is trimmed to about that length, whether it was read or not.

Source: Redis XADD, MULTI.
"""

import ssl
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, MovedError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import AuthenticationError as NoEntryError
from redis.exceptions import ConnectionError as LostError

from sidecar.audit.sinks.feed import Entry
from sidecar.audit.sinks.outlet import RefusedError, SinkError
from sidecar.config import sections, units
from sidecar.core import layout

_SHOWN = 120  # characters of what a server says


class RedisStream:
    """Adds records to streams.

    Args:
        settings: Of the sink.
        domain: Of the fleet.

    Raises:
        OSError: the certificates to trust cannot be read.
    """

    def __init__(self, settings: sections.Sink, domain: str) -> None:
        assert settings.url is not None, "the reader of the configuration saw to it"
        url, ca_file = units.peer_url(settings.url), settings.ca_file
        if ca_file is not None:
            ssl.create_default_context(cafile=ca_file)  # say now that it cannot be used
        self._domain = domain
        self._max_len = settings.max_len or None
        # One limit governs, the pump's: a second, inner one would only blur which of them struck.
        self._client = Redis(
            host=url.host, port=url.port, db=url.db, username=settings.username,
            password=settings.secret, ssl=url.tls,
            ssl_ca_certs=None if ca_file is None else str(ca_file),
            ssl_min_version=ssl.TLSVersion.TLSv1_2,
            socket_timeout=None, socket_connect_timeout=None, retry=Retry(NoBackoff(), 0),
            protocol=2, driver_info=None,
        )  # fmt: skip

    async def send(self, log: str, entries: Sequence[Entry]) -> int:
        """Add records, all or none; see `outlet.Outlet`."""
        key = layout.audit_key(self._domain, log)
        try:
            async with self._client.pipeline(transaction=True) as batch:
                for entry in entries:
                    queued = batch.xadd(
                        key, {"seq": entry.seq, "line": entry.line}, maxlen=self._max_len
                    )
                    assert queued is batch, "nothing is sent before `execute`"
                await batch.execute()
        except (NoPermissionError, NoEntryError) as error:
            raise RefusedError(f"has no permission: {str(error)[:_SHOWN]}") from None
        except LostError:
            raise SinkError("cannot be reached, or closed the connection") from None
        except (AskError, MovedError):
            raise RefusedError("is part of a cluster; it has to be a single server") from None
        except ResponseError as error:
            raise SinkError(f"answered: {str(error)[:_SHOWN]}") from None
        except RedisError as error:
            raise SinkError(type(error).__name__) from None
        return 0

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()
