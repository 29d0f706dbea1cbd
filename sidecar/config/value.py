"""One text of a configuration as the value it stands for.

Every function returns the value or raises ValueError with what would have been right.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sidecar.config import units
from sidecar.config.sections import PeerAddress
from sidecar.config.table import AUTO, FRESHNESS, LEVELS, LOOPBACK, Field, Unit

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)  # as core.canonical.Name
_PASSWORD_MAX = 4096  # characters
_WORDS = {Unit.LEVEL: LEVELS, Unit.LOOPBACK: LOOPBACK, Unit.FRESHNESS: FRESHNESS}
_READERS: Mapping[Unit, Callable[[str], object]] = {
    Unit.ADDRESS: units.address,
    Unit.FLAG: units.flag,
    Unit.PORTS: units.port_range,
    Unit.URL: units.peer_url,
    Unit.HTTP: units.http_url,
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
        password=_password(file) if file else None,
        tls=url.tls,
        ca_file=ca_file,
    )


def _password(file: Path) -> str:
    try:
        text = file.read_text("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise ValueError(f"passwordFile {file}: is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"passwordFile {file}: cannot be read: {error.strerror}") from None
    if not 0 < len(text) <= _PASSWORD_MAX or not text.isprintable():
        raise ValueError(f"passwordFile {file}: must hold one line, the password")
    return text
