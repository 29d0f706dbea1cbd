"""Where a log is read from that somebody hands out as files: an address, or a folder."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from sidecar.audit import published
from sidecar.cli.text import UNAVAILABLE, USAGE, CliError
from sidecar.core.log import note
from sidecar.core.reason import ProtocolError, Reason

CHECKPOINT = "checkpoint"
TIMEOUT_S = 10


def folder(held: Path) -> published.Fetch:
    """Read from a folder with a copy of the files."""

    def fetch(path: str) -> bytes:
        try:
            with (held / path).open("rb") as file:
                return _bounded(path, file.read)
        except (FileNotFoundError, NotADirectoryError):
            hint = "is it the folder of its files (STATE/governance/tiles)?"
            raise _absent(path, f"{held}: holds no {path}; {hint}") from None

    return fetch


def url(address: str) -> published.Fetch:
    """Read from the public port of an authority, or from whoever copied it.

    Raises:
        CliError: it is no URL.
    """
    if not address.startswith(("http://", "https://")):
        raise CliError(f"--url: {address[:80]}: must begin with http:// or https://", USAGE)

    def fetch(path: str) -> bytes:
        where = f"{address.rstrip('/')}/log/{path}"
        try:
            with urllib.request.urlopen(where, timeout=TIMEOUT_S) as reply:  # noqa: S310, scheme checked above
                return _bounded(path, reply.read)
        except urllib.error.HTTPError as error:
            error.close()
            hint = "is it the public port of an authority with spec.keys.log?"
            raise _absent(path, f"{where}: answered {error.code}; {hint}") from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", error)
            hint = "is the authority running, and is --url its listen.public?"
            raise CliError(f"{where}: {why}; {hint}", UNAVAILABLE) from None

    return fetch


def _absent(path: str, said: str) -> Exception:
    # Without a checkpoint there is no log there. With one, what is missing was promised.
    if path == CHECKPOINT:
        return CliError(said, UNAVAILABLE)
    return ProtocolError(Reason.AUDIT_CHAIN_BREAK, f"{path} is missing")


def _bounded(path: str, read: Callable[[int], bytes]) -> bytes:
    limit = note.MAX_BYTES if path == CHECKPOINT else published.BUNDLE_MAX_BYTES
    raw = read(limit + 1)
    if len(raw) > limit:
        raise ProtocolError(Reason.OVERSIZE, f"{path}: more than {limit} bytes")
    return raw
