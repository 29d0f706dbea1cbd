"""A key, requests that bear its MAC, and a client that sends a request line byte for byte."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sidecar.fence import check, guard

HOST = "127.0.0.1"
KEY = bytes(range(32))
FAR_MS = 3_600_000
LIMIT_S = 20

# Spellings that a server could take apart and put together in another way.
TARGETS = (
    "/", "/v1/chat/completions", "/v1/chat?x=1", "/v1/chat?", "/?", "/a%2Fb", "/a%20b?q=%26&r=%3F",
    "//double", "/a;p=1", "/%C3%A9", "/a/../b", "/a?b?c", "/[x]?y=[z]", "/a//b/", "/%7Euser/~user",
)  # fmt: skip


class Answer(NamedTuple):
    """What the client saw."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """Last part of the problem type."""
        said: dict[str, Any] = json.loads(self.body)
        assert said["status"] == self.status
        assert said["type"].startswith("urn:epochgate:fence:")
        return str(said["type"]).rpartition(":")[2]


def write_key(path: Path, key: bytes = KEY) -> Path:
    """Replace the key file as the sidecar does."""
    fresh = path.with_suffix(".new")
    fresh.write_text(key.hex() + "\n")
    fresh.replace(path)
    return path


def fenced(
    method: str = "POST", target: str = "/", *, key: bytes = KEY, left_ms: int = FAR_MS
) -> dict[str, str]:
    """The four header fields of a permit that ends in `left_ms`, by both clocks."""
    now = guard.read_clocks()
    return signed(method, target, f"{now.wall_ms + left_ms};boot={now.boot_ms + left_ms}", key)


def signed(method: str, target: str, not_after: str, key: bytes = KEY) -> dict[str, str]:
    """The four header fields with just these deadlines."""
    said = method.encode(), target.encode(), b"00c0ffee00c0ffee-7", b"42", not_after.encode()
    return {
        "x-epochgate-epoch": "42",
        "x-epochgate-decision-id": "00c0ffee00c0ffee-7",
        "x-epochgate-not-after": not_after,
        "x-epochgate-fence": check.mac(key, *said).decode(),
    }


def late_after(looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on so many looks at the clocks are in time, and all others after every deadline."""
    left, read = [None] * looks, guard.read_clocks

    def clocks() -> check.Clocks:
        now = read()
        if left:
            left.pop()
            return now
        return check.Clocks(now.boot_ms + FAR_MS, now.wall_ms + FAR_MS)

    monkeypatch.setattr(guard, "read_clocks", clocks)


def ask(
    port: int, method: str, target: str, headers: Mapping[str, str], *more: str, body: bytes = b""
) -> Answer:
    """Send one request over a connection of its own; `more`: header lines as they are."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    framing = [f"content-length: {len(body)}"] if method not in ("GET", "HEAD") else []
    head = [f"{method} {target} HTTP/1.1", "host: x", "connection: close", *framing, *lines, *more]
    with socket.create_connection((HOST, port), timeout=LIMIT_S) as client:
        client.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        return receive(client)


def receive(client: socket.socket) -> Answer:
    """Everything until the server ends the connection."""
    received = b"".join(iter(lambda: client.recv(65536), b""))
    top, _, rest = received.partition(b"\r\n\r\n")
    first, *fields = top.decode("latin-1").split("\r\n")
    told = dict(field.lower().split(": ", 1) for field in fields)
    return Answer(int(first.split()[1]), told, rest)
