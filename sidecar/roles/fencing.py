"""The key of the upstream fence: made anew at each start, handed to the service in a file."""

from pathlib import Path

from sidecar import durable
from sidecar.proxy.fence import KEY_BYTES, Fence
from sidecar.roles.start import StartError, fresh_bytes, why

KEY_MODE = 0o640  # the service reads it by its group


def sealing(key: bytes | None) -> Fence | None:
    """What seals requests with a key."""
    return None if key is None else Fence(key)


def fence_key(path: Path | None) -> bytes | None:
    """Make a key and put it where the service finds it; None when there is no fence.

    A request that was sealed for the start before this one is refused from now on: whatever became
    of it, nobody is waiting for its answer.

    Args:
        path: `spec.fence.keyFile`.

    Raises:
        StartError: It cannot be written.
    """
    if path is None:
        return None
    key = fresh_bytes(KEY_BYTES)
    try:
        durable.replace(path, key.hex().encode() + b"\n", KEY_MODE)
    except OSError as error:
        how = f"{why(error)}; mount a folder that sidecar and service share, or change"
        raise StartError(f"fence key: {path}: {how} spec.fence.keyFile") from None
    return key
