"""The demo's client: single requests, a steady stream of probes, and streamed completions."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp

from sidecar import clock
from sidecar.core.instant import Now

PROBE_S = 0.01


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `sent`, `got`: both clocks, before the request and after the answer's head."""

    status: int
    reason: str
    message: str
    sent: Now
    got: Now


@dataclass(slots=True)
class Stream:
    """A streamed completion while it runs.

    Attributes:
        words: How many tokens came.
        done: Whether `[DONE]` came: the answer is complete.
        error: The message of an error event, or of an error answer.
        ended: Both clocks at the end.
    """

    words: int = 0
    done: bool = False
    error: str = ""
    ended: Now | None = None
    first: asyncio.Event = field(default_factory=asyncio.Event)


class Client:
    """Sends requests to one sidecar.

    Args:
        session: An open session.
        url: Of the sidecar's inbound listener.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(self, method: str = "POST", path: str = "/v1/chat/completions") -> Answer:
        """One request, not streamed. A connection that breaks is an answer with status 0."""
        body = {"model": "demo", "max_tokens": 3} if method == "POST" else None
        sent = clock.now()
        try:
            async with self._session.request(method, self._url + path, json=body) as response:
                got = clock.now()
                reason = response.headers.get("x-epochgate-reason", "")
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return Answer(0, "", "connection failed", sent, clock.now())
        return Answer(response.status, reason, _message(text), sent, got)

    async def until(self, status: int, limit_s: float) -> Answer | None:
        """Ask every 10 ms until that status comes; None after the limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while True:
                    answer = await self.ask()
                    if answer.status == status:
                        return answer
                    await asyncio.sleep(PROBE_S)
        return None

    @contextlib.asynccontextmanager
    async def probing(self) -> AsyncIterator[list[Answer]]:
        """Ask every 10 ms in the background; the list grows meanwhile."""
        answers: list[Answer] = []
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._probe(answers))
            yield answers
            task.cancel()

    async def stream(self, tokens: int, into: Stream) -> None:
        """Ask for a streamed completion and read it to its end, however it ends."""
        body = {"model": "demo", "stream": True, "max_tokens": tokens}
        try:
            async with self._session.post(
                self._url + "/v1/chat/completions", json=body
            ) as response:
                if response.status != 200:  # noqa: PLR2004
                    into.error = _message(await response.text())
                    return
                async for line in response.content:
                    _read_event(line, into)
        except (aiohttp.ClientError, TimeoutError):
            pass  # a cut stream ends like this; what came before it is in `into`
        finally:
            into.ended = clock.now()
            into.first.set()

    async def _probe(self, answers: list[Answer]) -> None:
        while True:
            answers.append(await self.ask())
            await asyncio.sleep(PROBE_S)


def _read_event(line: bytes, into: Stream) -> None:
    if not line.startswith(b"data: "):
        return
    data = line[6:].strip()
    if data == b"[DONE]":
        into.done = True
    elif b'"error"' in data:
        into.error = _message(data.decode())
    elif b'"content"' in data:
        into.words += 1
        into.first.set()


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""
