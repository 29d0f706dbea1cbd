"""The key file and the clocks around the check; what both kinds of middleware share.

Rules:

* The key is read when the first request comes, and again when a MAC does not match and the file has
  changed: the sidecar makes a new key each time it starts.
* The clocks are read after everything slow, right before the application is called.
* A body is a part of its request. Services begin with its last piece, so when that is there the
  clocks are read again.
* An exempt target (health, metrics) passes unchecked: GET and HEAD only, the whole target byte for
  byte. The signed route table exempts the same way in the sidecar.

Source: hardening E-G7; core/routes for what exempt means.
"""

import json
import os
import time
from collections.abc import Iterable, Sequence

from sidecar.fence import check
from sidecar.fence.check import Clocks, Refusal

EXEMPT_METHODS = frozenset({b"GET", b"HEAD"})
Headers = Sequence[tuple[bytes, bytes]]


def read_clocks() -> Clocks:
    """Both clocks, boot time first: a pause between the two can only make the answer later."""
    boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return Clocks(boot_ns // 1_000_000, time.time_ns() // 1_000_000)


class Guard:
    """Judges requests with the key of the sidecar in the same pod.

    Args:
        key_file: Where the sidecar writes its key (`spec.fence.keyFile`).
        exempt: Whole targets that need no permit, such as "/health".
    """

    def __init__(self, key_file: str | os.PathLike[str], exempt: Iterable[str]) -> None:
        if isinstance(exempt, str):
            raise TypeError("exempt is a list of targets, not one string")
        self._path = os.fspath(key_file)
        self._exempt = frozenset(target.encode("ascii") for target in exempt)
        self._key: bytes | None = None
        self._version: tuple[int, int, int] | None = None

    def refusal(self, method: bytes, targets: Sequence[bytes], headers: Headers) -> Refusal | None:
        """Why the application must not be called, or None.

        Args:
            method: As on the request line.
            targets: What the request target may have been, where a server leaves a choice; empty
                when the server does not tell.
            headers: All header fields, name and value.
        """
        if not targets:
            return check.NO_TARGET
        if method in EXEMPT_METHODS and not self._exempt.isdisjoint(targets):
            return None
        key = self._key
        found = _judge(key, method, targets, headers)
        if found in (check.INVALID, check.NO_KEY):
            self._reload()
            # Another thread may have read the new key since: then its reading counts for us, too.
            if self._key is not key:
                found = _judge(self._key, method, targets, headers)
        return found

    def _reload(self) -> None:
        """Read the key file, if it has changed."""
        try:
            with open(self._path, "rb") as file:  # noqa: PTH123 (the version must be of this file)
                stat = os.fstat(file.fileno())
                version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if version == self._version:
                    return
                key = check.parse_key(file.read(4 * check.KEY_BYTES))
        except OSError:
            return  # a key that was read stays good: the sidecar that made it may still run
        if key is None:
            return
        # The version last: a thread that sees it must not find the old key beside it.
        self._key = key
        self._version = version


def _judge(
    key: bytes | None, method: bytes, targets: Sequence[bytes], headers: Headers
) -> Refusal | None:
    if key is None:
        return check.NO_KEY
    found: Refusal | None = check.INVALID
    for target in targets:
        found = check.verify(key, method, target, headers, read_clocks())
        if found is not check.INVALID:
            break
    return found


class Term:
    """Until when a request that was let pass may begin; asked again when its body is there."""

    __slots__ = ("_not_after",)

    def __init__(self, headers: Headers) -> None:
        self._not_after = dict(headers).get(check.NOT_AFTER)

    def in_time(self) -> bool:
        """Whether it may still begin, now. An exempt request always may."""
        return self._not_after is None or check.in_time(self._not_after, read_clocks())


def problem(refusal: Refusal) -> tuple[list[tuple[str, str]], bytes]:
    """Header fields and body of the answer to a refused request."""
    said = {"type": refusal.urn, "title": refusal.title, "status": refusal.status}
    body = json.dumps(said).encode("ascii")
    fields = [
        ("content-type", "application/problem+json"),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
    ]
    return fields, body
