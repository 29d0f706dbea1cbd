"""One HTTP request with a batch, and what its answer means; for the kinds http and otlp.

| answer | meaning |
|---|---|
| 2xx | acknowledged |
| 413 | fewer at once |
| 408, 425, 429, 5xx, none | later, after `Retry-After` where it says seconds |
| anything else | refused: somebody has to change something; tried again all the same |

Redirections are not followed: the records go where the configuration says, or nowhere.
"""

import gzip
import os
import ssl
from collections.abc import Callable, Mapping

import aiohttp

from sidecar import __version__
from sidecar.audit.sinks.outlet import RefusedError, SinkError, Thread, TooLargeError
from sidecar.config import sections

ANSWER_BYTES = 64 * 1024  # looked at, of an answer
CONNECTIONS = 4
GZIP_LEVEL = 1  # a third of the size for a tenth of the time
TOO_LARGE = 413
_LATER = frozenset({408, 425, 429})


class Post:
    """The way to one receiver.

    Args:
        settings: Of the sink.
        content_type: Of what is sent.
        thread: Runs what blocks.

    Raises:
        OSError: the certificates to trust cannot be read.
    """

    def __init__(self, settings: sections.Sink, content_type: str, thread: Thread) -> None:
        assert settings.url is not None, "the reader of the configuration saw to it"
        self._url = settings.url
        self._headers = {
            "Content-Type": content_type,
            "Content-Encoding": "gzip",
            "User-Agent": f"epochgate/{__version__}",
        }
        if settings.secret is not None:
            self._headers["Authorization"] = f"Bearer {settings.secret}"
        ca_file = settings.ca_file
        self._tls = True if ca_file is None else ssl.create_default_context(cafile=ca_file)
        self._thread = thread
        self._session: aiohttp.ClientSession | None = None

    async def send(self, encode: Callable[[], bytes]) -> bytes:
        """Encode and compress in the thread, send, wait for the answer.

        Returns:
            The body of the answer, at most `ANSWER_BYTES` of it.

        Raises:
            SinkError: not acknowledged.
        """
        body = await self._thread(lambda: gzip.compress(encode(), GZIP_LEVEL, mtime=0))
        try:
            async with self._open().post(
                self._url, data=body, headers=self._headers, allow_redirects=False
            ) as answer:
                said = await _some(answer.content)
                _judge(answer.status, answer.headers)
                return said
        except aiohttp.ClientSSLError:
            raise SinkError("TLS failed: certificate, name or version") from None
        except aiohttp.ClientConnectorError as error:
            # Its own text names the address. Without a positive number the name was not found.
            number = error.os_error.errno or 0
            what = os.strerror(number) if number > 0 else "unknown name"
            raise SinkError(f"cannot be reached: {what}") from None
        except aiohttp.ClientError as error:
            raise SinkError(f"{type(error).__name__} before the answer was whole") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # The pump's time limit governs. Proxies in the environment are not asked.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self._tls),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()


async def _some(content: aiohttp.StreamReader) -> bytes:
    said = b""
    while len(said) < ANSWER_BYTES and (piece := await content.read(ANSWER_BYTES - len(said))):
        said += piece
    return said


def _judge(status: int, headers: Mapping[str, str]) -> None:
    why = f"answered {status}"
    if 200 <= status < 300:  # noqa: PLR2004
        return
    if status == TOO_LARGE:
        raise TooLargeError(why)
    if status in _LATER or status >= 500:  # noqa: PLR2004
        raise SinkError(why, _seconds(headers.get("Retry-After", "")))
    raise RefusedError(why)


def _seconds(text: str) -> float:
    """Retry-After in seconds; as a date it is not worth a second reader of dates."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0  # noqa: PLR2004
