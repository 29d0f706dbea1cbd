"""Middleware for ASGI services: FastAPI, Starlette, Quart, Django, and what stands on them.

    app = Fence(app, key_file="/run/epochgate/fence.key", exempt=["/health"])

Outermost, so that nothing runs before it. `lifespan` passes; an HTTP request and a WebSocket
handshake are judged; any other kind of connection is an error: nobody knows how to judge it.

Source: ASGI 3.0, HTTP and WebSocket message format 2.4.
"""

import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from sidecar.fence.check import LATE, Refusal
from sidecar.fence.guard import Guard, Term, problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

DENIAL_RESPONSE = "websocket.http.response"  # the ASGI extension of that name
POLICY_VIOLATION = 1008  # RFC 6455 7.4.1; the server answers the handshake with 403


class Fence:
    """Refuses requests without a permit, or with one that has expired, and calls `app` else.

    Args:
        app: The application.
        key_file: Where the sidecar writes its key (`spec.fence.keyFile`).
        exempt: Whole targets that need no permit, such as "/health"; GET and HEAD only.
        slow_bodies: Whether a body may take longer than the permit that its head came with. Then
            only the head has to be in time.
    """

    def __init__(
        self,
        app: App,
        key_file: str | os.PathLike[str],
        exempt: Iterable[str] = (),
        *,
        slow_bodies: bool = False,
    ) -> None:
        self._app = app
        self._guard = Guard(key_file, exempt)
        self._slow_bodies = slow_bodies

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One connection, as ASGI has it."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        if kind not in ("http", "websocket"):
            raise RuntimeError(f"a fence cannot judge a connection of type {kind}")
        method = scope["method"].encode("ascii") if kind == "http" else b"GET"
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        refusal = self._guard.refusal(method, targets(scope), headers)
        if refusal is None:
            if kind == "http" and not self._slow_bodies:
                await _Watched(Term(headers), receive, send).run(self._app, scope)
            else:
                await self._app(scope, receive, send)
        elif kind == "http":
            await _answer(refusal, send, "http.response", empty=method == b"HEAD")
        else:
            await receive()  # the handshake; before it nothing may be sent
            if DENIAL_RESPONSE in (scope.get("extensions") or {}):
                await _answer(refusal, send, DENIAL_RESPONSE, empty=False)
            else:
                await send({"type": "websocket.close", "code": POLICY_VIOLATION})


class TooLate(BaseException):
    """What an application gets instead of the last piece of a body that came too late.

    No `Exception`, like a cancelled task: a handler that goes on with an empty body after any error
    while reading it would begin after all.
    """


class _Watched:
    """A permitted request: the clocks are read again when the last piece of its body is there.

    The first piece is awaited before the application is called, and the clocks are read then: an
    application may begin without asking for more. Mostly it is the last one, too; and an
    application that asks for it much later (to notice that its client left) is not disturbed.
    """

    def __init__(self, term: Term, receive: Receive, send: Send) -> None:
        self._term, self._receive, self._send = term, receive, send
        self._first: Message | None = None
        self._whole = self._late = self._begun = False

    async def run(self, app: App, scope: Message) -> None:
        """Call the application; answer in its place when it must not begin."""
        try:
            self._first = await self._receive()
            self._whole = not self._first.get("more_body")
            self._late = not self._term.in_time()
            if not self._late:
                await app(scope, self._next, self._answer)
        except* TooLate:  # also in a group: frameworks call applications in tasks of their own
            pass
        finally:
            # Whatever an application has made of the error: the caller is told why.
            await self._refuse(empty=scope["method"] == "HEAD")

    async def _refuse(self, *, empty: bool) -> None:
        if self._late and not self._begun:
            await _answer(LATE, self._send, "http.response", empty=empty)

    async def _piece(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body") and not self._whole:
            self._whole = True
            self._late = not self._term.in_time()
        return message

    async def _next(self) -> Message:
        first, self._first = self._first, None
        message = first or await self._piece()
        if self._late:
            # An error and not a disconnect: who overlooks that would go on with half a body.
            raise TooLate("the last piece of the body came too late")
        return message

    async def _answer(self, message: Message) -> None:
        if not self._late:
            self._begun = True
            await self._send(message)


def targets(scope: Message) -> list[bytes]:
    """What the request target may have been, byte for byte; empty when the server does not say.

    Two things are not in a scope. A `?` with nothing behind it: then both spellings are tried. And
    whether `raw_path` begins with `root_path` because the client sent it or because the server put
    it there (uvicorn does, others do not): both again. The MAC says which one was meant.
    """
    raw_path = scope.get("raw_path")
    if not raw_path:
        return []
    root = (scope.get("root_path") or "").encode("utf-8").rstrip(b"/")
    paths = [raw_path]
    if root and raw_path.startswith(root + b"/"):
        paths.append(raw_path[len(root) :])
    query = scope.get("query_string") or b""
    if query:
        return [path + b"?" + query for path in paths]
    return paths + [path + b"?" for path in paths]


async def _answer(refusal: Refusal, send: Send, kind: str, *, empty: bool) -> None:
    fields, body = problem(refusal)
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in fields]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"" if empty else body})
