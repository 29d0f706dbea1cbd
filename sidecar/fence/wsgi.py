"""Middleware for WSGI services: Flask, Django, and what stands on them.

    app.wsgi_app = Fence(app.wsgi_app, key_file="/run/epochgate/fence.key", exempt=["/health"])

PATH_INFO is decoded, and what was decoded cannot be put back: `%2F` and `/` look the same. So the
server has to tell the target as it came, in RAW_URI or REQUEST_URI. Where it does not, everything
is refused, with an answer that says so; README.md lists which servers do.

Source: PEP 3333; hardening E-G7.
"""

import os
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from sidecar.fence import check
from sidecar.fence.guard import Guard, problem

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
    """

    def __init__(
        self, app: App, key_file: str | os.PathLike[str], exempt: Iterable[str] = ()
    ) -> None:
        self._app = app
        self._guard = Guard(key_file, exempt)

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
        if refusal is None:
            return self._app(environ, start_response)
        fields, body = problem(refusal)
        start_response(f"{refusal.status} {HTTPStatus(refusal.status).phrase}", fields)
        return [] if method == b"HEAD" else [body]


def targets(environ: Environ) -> list[bytes]:
    """The request target, byte for byte; empty when the server does not say."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    return [raw.encode("latin-1")] if raw else []
