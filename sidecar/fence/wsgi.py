"""Middleware for WSGI services: Flask, Django, and what stands on them.

    app.wsgi_app = Fence(app.wsgi_app, key_file="/run/epochgate/fence.key", exempt=["/health"])

PATH_INFO is decoded, and what was decoded cannot be put back: `%2F` and `/` look the same. So the
server has to tell the target as it came, in RAW_URI or REQUEST_URI. Where it does not, everything
is refused, with an answer that says so; README.md lists which servers do.

Source: PEP 3333; hardening E-G7.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from io import BytesIO
from typing import IO, Any, cast

from sidecar.fence import check
from sidecar.fence.check import Refusal
from sidecar.fence.guard import Guard, Term, problem

PIECE_BYTES = 64 * 1024
MEMORY_BYTES = 1024 * 1024  # a larger body is kept in a file
Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

# How a header name stands in the environment -> its name.
VARIABLES = {
    "HTTP_" + name.decode("ascii").upper().replace("-", "_"): name for name in sorted(check.NAMES)
}


class Fence:
    """Refuses requests without a permit, or with one that has expired, and calls `app` else.

    Args:
        app: The application.
        key_file: Where the sidecar writes its key (`spec.fence.keyFile`).
        exempt: Whole targets that need no permit, such as "/health"; GET and HEAD only.
        slow_bodies: Whether a body may take longer than the permit that its head came with. Then
            only the head has to be in time, and the application reads the body from the server.
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

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        method = environ["REQUEST_METHOD"].encode("latin-1")
        # A field that came twice is one value here, joined by a comma: its MAC does not match.
        headers = [
            (name, environ[variable].encode("latin-1"))
            for variable, name in VARIABLES.items()
            if variable in environ
        ]
        refusal = self._guard.refusal(method, targets(environ), headers)
        if refusal is not None:
            return _answer(refusal, method, start_response)
        if self._slow_bodies:
            return self._app(environ, start_response)
        return self._whole(environ, method, Term(headers), start_response)

    def _whole(
        self, environ: Environ, method: bytes, term: Term, start_response: StartResponse
    ) -> Iterable[bytes]:
        """The clocks are read again when the body is there, and then the application is called."""
        body, complete = take_body(environ)
        refusal = None if complete else check.CUT_SHORT
        if refusal is None and not term.in_time():
            refusal = check.LATE
        if refusal is not None:
            body.close()
            return _answer(refusal, method, start_response)
        environ["wsgi.input"] = body
        chunks = self._app(environ, start_response)
        # Wrapped only where it has to be: servers look at the length of what they are given.
        return chunks if isinstance(body, BytesIO) else Closing(chunks, body)


def _answer(refusal: Refusal, method: bytes, start_response: StartResponse) -> list[bytes]:
    fields, body = problem(refusal)
    start_response(f"{refusal.status} {HTTPStatus(refusal.status).phrase}", fields)
    return [] if method == b"HEAD" else [body]


class Closing:
    """What an application answers with, and the file of its body, closed together."""

    def __init__(self, chunks: Iterable[bytes], body: IO[bytes]) -> None:
        self._chunks = chunks
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        """Called by the server, however the answer ended."""
        try:
            getattr(self._chunks, "close", bool)()
        finally:
            self._body.close()


def take_body(environ: Environ) -> tuple[IO[bytes], bool]:
    """Take the whole body from the server, as most servers do anyhow.

    An application that read it itself could begin with its last piece, and nothing of ours would be
    between the two.

    Returns:
        The body, in a temporary file when it is large; and whether it came to its announced end.
    """
    source, body = environ["wsgi.input"], cast("IO[bytes]", BytesIO())
    left = announced = int(environ.get("CONTENT_LENGTH") or 0)
    if not announced and environ.get("wsgi.input_terminated"):
        left = sys.maxsize  # in chunks; the server knows where it ends
    while left and (piece := source.read(min(left, PIECE_BYTES))):
        if isinstance(body, BytesIO) and body.tell() + len(piece) > MEMORY_BYTES:
            memory, body = body, tempfile.TemporaryFile()  # noqa: SIM115 (Closing closes it)
            body.write(memory.getvalue())
        body.write(piece)
        left -= len(piece)
    body.seek(0)
    return body, not announced or not left


def targets(environ: Environ) -> list[bytes]:
    """The request target, byte for byte; empty when the server does not say."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    return [raw.encode("latin-1")] if raw else []
