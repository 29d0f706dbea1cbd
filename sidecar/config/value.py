"""One text of a configuration as the value it stands for.

Every function returns the value or raises ValueError with what would have been right.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sidecar.config import units
from sidecar.config.sections import SINK_TIMEOUT_MS, PeerAddress, Sink
from sidecar.config.table import AUTO, FRESHNESS, LEVELS, LOOPBACK, SINK_KINDS, Field, Unit

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)  # as core.canonical.Name
_SECRET_MAX = 4096  # characters
_WORDS = {
    Unit.LEVEL: LEVELS,
    Unit.LOOPBACK: LOOPBACK,
    Unit.FRESHNESS: FRESHNESS,
    Unit.SINK_KIND: SINK_KINDS,
}
# Keys of a sink that say something for its kind, besides those that do for all.
_SINK_KEYS = {
    "redis": ("url", "username", "passwordFile", "caFile", "maxLen"),
    "http": ("url", "tokenFile", "caFile"),
    "otlp": ("url", "tokenFile", "caFile"),
    "stdout": (),
}
_EVERY_SINK = ("name", "kind", "required", "maxLag", "timeout")
_READERS: Mapping[Unit, Callable[[str], object]] = {
    Unit.ADDRESS: units.address,
    Unit.FLAG: units.flag,
    Unit.PORTS: units.port_range,
    Unit.URL: units.peer_url,
    Unit.HTTP: units.witness_url,
}
_NUMBERS = {
    Unit.DURATION: units.duration,
    Unit.SIZE: units.size,
    Unit.PPM: units.ppm,
    Unit.COUNT: units.count,
    Unit.WORKERS: units.count,
}


def read(field: Field, text: str, folder: Path) -> object:
    """The value of a field.

    Args:
        field: What kind of text it is, and its bounds.
        text: As written.
        folder: What a relative path is relative to.
    """
    if field.unit in _NUMBERS:
        return _number(field, text)
    if not text.isprintable():
        raise ValueError("must be printable text")
    if field.unit in _READERS:
        return _READERS[field.unit](text)
    if field.unit in _WORDS and text not in _WORDS[field.unit]:
        raise ValueError(f"must be one of {', '.join(_WORDS[field.unit])}")
    match field.unit:
        case Unit.NAME if not _NAME.fullmatch(text):
            raise ValueError("must be 1 to 63 of a-z 0-9 . _ - and begin with a-z or 0-9")
        case Unit.FILE:
            return folder / text
        case Unit.LISTEN:
            return units.listening(text, folder)
        case _:
            return text


def _number(field: Field, text: str) -> int:
    if field.unit is Unit.WORKERS and text == AUTO:
        return 0
    number = _NUMBERS[field.unit](text)
    if not field.low <= number <= field.high:
        raise ValueError(f"must be {field.show(field.low)} to {field.show(field.high)}")
    return number


def peer(said: Mapping[str, Any]) -> PeerAddress:
    """One peer from its fields as `read` returned them; the password is fetched from its file."""
    url: units.PeerUrl = said["url"]
    username, ca_file = said.get("username"), said.get("caFile")
    if username and url.username and username != url.username:
        raise ValueError("username differs from the user in the URL")
    if ca_file and not url.tls:
        raise ValueError("caFile has no effect without TLS: use rediss://")
    file = said.get("passwordFile")
    return PeerAddress(
        id=said["id"],
        host=url.host,
        port=url.port,
        db=url.db,
        username=username or url.username,
        password=_secret("passwordFile", file) if file else None,
        tls=url.tls,
        ca_file=ca_file,
    )


def sink(said: Mapping[str, Any]) -> Sink:
    """One sink from its fields as `read` returned them; secrets are fetched from their files."""
    kind, url = said["kind"], said.get("url")
    for key in said:
        if key not in (*_EVERY_SINK, *_SINK_KEYS[kind]):
            raise ValueError(f"{key} has no effect for kind {kind}: remove it")
    if said.get("required") and "maxLag" not in said:
        raise ValueError("required needs maxLag: how long a record may wait, like maxLag: 30s")
    if "maxLag" in said and not said.get("required"):
        raise ValueError("maxLag has no effect without required: true")
    user, tls = _sink_url(kind, url)
    if user and said.get("username", user) != user:
        raise ValueError("username differs from the user in the URL")
    if said.get("caFile") and not tls:
        raise ValueError("caFile has no effect without TLS: use rediss:// or https://")
    key = "passwordFile" if kind == "redis" else "tokenFile"
    file = said.get(key)
    return Sink(
        name=said["name"],
        kind=kind,
        url=url,
        required=said.get("required", False),
        max_lag_ms=said.get("maxLag", 0),
        timeout_ms=said.get("timeout", SINK_TIMEOUT_MS),
        username=said.get("username") or user,
        secret=_secret(key, file) if file else None,
        ca_file=said.get("caFile"),
        max_len=said.get("maxLen", 0),
    )


def _sink_url(kind: str, url: str | None) -> tuple[str | None, bool]:
    """The user in it, and whether it means TLS."""
    if kind == "stdout":
        return None, False
    if url is None:
        raise ValueError(f"url is required for kind {kind}")
    try:
        if kind == "redis":
            parts = units.peer_url(url)
            return parts.username, parts.tls
        return None, units.http_url(url)
    except ValueError as error:
        raise ValueError(f"url {error}") from None


def _secret(key: str, file: Path) -> str:
    try:
        text = file.read_text("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise ValueError(f"{key} {file}: is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"{key} {file}: cannot be read: {error.strerror}") from None
    if not 0 < len(text) <= _SECRET_MAX or not text.isprintable():
        what = "the password" if key == "passwordFile" else "the token"
        raise ValueError(f"{key} {file}: must hold one line, {what}")
    return text
