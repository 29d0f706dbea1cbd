"""Texts with units: `250ms`, `64KiB`, `2000ppm`, `[::]:17001`, `rediss://host:6379/0`.

Each reader returns the value or raises ValueError with what would have been right. No reader
repeats a text that could hold a password.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sidecar.config.sections import Address, PortRange, UnixAddress

_DURATION = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_SIZE = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,14})([A-Za-z]*)", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?", re.ASCII)
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_DB_MAX = 65_535
REDIS_PORT = 6379
UNIX = "unix:"
_UNIX_PATH_MAX = 107  # bytes; unix(7)
_PORT_MAX = 65_535
_RANGE_MAX = 32_767  # above are the ports that Linux takes for connections of its own


def duration(text: str) -> int:
    """`250ms`, `4s`, `2m`, `1h` or `0` in milliseconds."""
    return _with_unit(text, _DURATION, "a duration like 250ms, 4s or 2m")


def size(text: str) -> int:
    """`512B`, `64KiB`, `1MiB` or `0` in bytes."""
    return _with_unit(text, _SIZE, "a size like 512B, 64KiB or 1MiB")


def ppm(text: str) -> int:
    """`2000ppm` or `0` in parts per million."""
    return _with_unit(text, {"ppm": 1}, "a rate like 2000ppm")


def count(text: str) -> int:
    """A whole number without unit."""
    match = _NUMBER.fullmatch(text)
    if match is None or match[2]:
        raise ValueError("must be a whole number without unit")
    return int(match[1])


def address(text: str) -> Address:
    """`127.0.0.1:17001`, `[::]:17001`, `localhost:0`."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else None
    known = _IPV6.fullmatch(bare) if bare is not None else _HOST.fullmatch(host)
    if not colon or known is None or not _PORT.fullmatch(port) or int(port) > 65_535:  # noqa: PLR2004
        raise ValueError('must be "host:port" with a port up to 65535, IPv6 as "[::1]:port"')
    return Address(bare if bare is not None else host, int(port))


def listening(text: str, folder: Path) -> Address | UnixAddress:
    """`host:port`, or `unix:PATH`, relative to `folder`."""
    if not text.startswith(UNIX):
        try:
            return address(text)
        except ValueError as error:
            raise ValueError(f"{error}, or unix:/path/of/a/socket") from None
    where = UnixAddress(folder / text.removeprefix(UNIX))
    if where.path == folder or text.endswith("/"):
        raise ValueError("must name a file after unix:")
    if len(str(where.beside).encode()) > _UNIX_PATH_MAX:
        most = _UNIX_PATH_MAX - len(where.beside.name) + len(where.path.name)
        raise ValueError(f"is longer than the {most} bytes that a socket's path may have")
    return where


def flag(text: str) -> bool:
    """`true` or `false`."""
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def port_range(text: str) -> PortRange:
    """`8000` or `8000-8010`."""
    first, dash, last = text.partition("-")
    if not _PORT.fullmatch(first) or (dash and not _PORT.fullmatch(last)):
        raise ValueError("must be a port like 8000 or a range like 8000-8010")
    found = (int(first), int(last or first))
    if not 0 < found[0] <= found[1] <= _PORT_MAX:
        raise ValueError(f"must be ports from 1 to {_PORT_MAX}, the smaller first")
    if dash and found[1] > _RANGE_MAX:
        raise ValueError(
            f"must end at {_RANGE_MAX} at most: above it answers to connections of this machine's "
            "own arrive; name such ports one by one"
        )
    return found


def show_ports(ranges: Sequence[PortRange]) -> str:
    """Ports and ranges as a list would be written in the file."""
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    return f"[{', '.join(shown)}]"


@dataclass(frozen=True, slots=True)
class PeerUrl:
    """What a peer's URL says."""

    host: str
    port: int
    db: int
    username: str | None
    tls: bool


def peer_url(text: str) -> PeerUrl:
    """`redis://[user@]host[:port][/db]`, or `rediss://` for TLS."""
    wanted = "must be redis://[user@]host[:port][/db] or rediss://..."
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(wanted) from None
    if parts.password is not None:
        raise ValueError(
            "must not hold a password: this file is shown, copied and logged; use passwordFile"
        )
    if parts.scheme not in ("redis", "rediss") or parts.query or parts.fragment:
        raise ValueError(f"{wanted}, without query or fragment")
    host = parts.hostname or ""
    if not (_IPV6 if ":" in host else _HOST).fullmatch(host) or port == 0:
        raise ValueError(wanted)
    db = parts.path.removeprefix("/") or "0"
    if not _PORT.fullmatch(db) or int(db) > _DB_MAX:
        raise ValueError(f"{wanted}: db is a number")
    username = unquote(parts.username) if parts.username else None
    return PeerUrl(host, port or REDIS_PORT, int(db), username, parts.scheme == "rediss")


def http_url(text: str) -> bool:
    """Check `http://host[:port]/path` or `https://...`; returns whether it means TLS."""
    wanted = "must be http://host[:port]/path or https://..."
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(wanted) from None
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "must not hold a user or password: this file is shown, copied and logged; use tokenFile"
        )
    host = parts.hostname or ""
    known = (_IPV6 if ":" in host else _HOST).fullmatch(host)
    if parts.scheme not in ("http", "https") or not known or port == 0:
        raise ValueError(wanted)
    if parts.query or parts.fragment:  # where tokens are often put, and this file is shown
        raise ValueError(f"{wanted}, without query or fragment")
    return parts.scheme == "https"


def witness_url(text: str) -> str:
    """Where a witness is asked, as `http_url`; without a slash at its end."""
    if "@" in text:
        raise ValueError("must not hold a user or password: a witness asks for none")
    http_url(text)
    return text.rstrip("/")


def show_duration(value_ms: int) -> str:
    """Milliseconds in the largest unit that loses nothing."""
    return _in_unit(value_ms, _DURATION)


def show_size(value_bytes: int) -> str:
    """Bytes in the largest unit that loses nothing."""
    return _in_unit(value_bytes, _SIZE)


def _with_unit(text: str, units: dict[str, int], wanted: str) -> int:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"must be {wanted}")
    number, unit = int(match[1]), match[2]
    if unit in units:
        return number * units[unit]
    if number == 0 and not unit:
        return 0
    raise ValueError(f"must be {wanted}: " + ("unknown unit" if unit else "the unit is missing"))


def _in_unit(value: int, units: dict[str, int]) -> str:
    if value == 0:
        return "0"
    name = max((unit for unit in units if value % units[unit] == 0), key=lambda unit: units[unit])
    return f"{value // units[name]}{name}"
