"""The keys of parent decisions: read once, at the start, by the one process that reads files."""

from collections.abc import Sequence
from pathlib import Path

from sidecar.config.sections import SidecarConfig
from sidecar.core import recording
from sidecar.core.parent import Tokens
from sidecar.core.reason import ProtocolError
from sidecar.roles.start import StartError, why

KEYS_MAX = 2  # the one in use, and the one before or after it

_HINT = "see spec.parent.keyFile; `openssl rand -hex 32` makes one"


def parent_keys(path: Path | None) -> tuple[bytes, ...]:
    """The keys, the one that tokens are made with first; none when there is no file.

    Args:
        path: `spec.parent.keyFile`: a key in each line, one or two of them.

    Raises:
        StartError: it cannot be read, or holds something else.
    """
    if path is None:
        return ()
    try:
        lines = path.read_bytes().splitlines() or [b""]
        if len(lines) <= KEYS_MAX:
            return tuple(recording.read_key(line) for line in lines)
        wrong = f"holds more than {KEYS_MAX} keys"
    except OSError as error:
        wrong = why(error)
    except ProtocolError as error:
        wrong = error.detail
    raise StartError(f"keys of parent decisions: {path}: {wrong}; {_HINT}")


def tokens(keys: Sequence[bytes], config: SidecarConfig) -> Tokens | None:
    """What makes and reads tokens; None without a key.

    Two clocks that are each right to within `sync.skew` differ by twice as much.
    """
    return Tokens(keys, 2 * config.sync.skew_ms) if keys else None
