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
    """Make a key and hand it over; None when there is no fence.

    Args:
        path: `spec.fence.keyFile`.

    Raises:
        StartError: It cannot be written.
    """
    key = new_key(path)
    hand_over(path, key)
    return key


def new_key(path: Path | None) -> bytes | None:
    """Make a key; None when there is no fence."""
    return None if path is None else fresh_bytes(KEY_BYTES)


def hand_over(path: Path | None, key: bytes | None) -> None:
    """Put the key where the service finds it; not before every port is ours.

    A process that cannot start must not take its key away from the one that runs: the service would
    refuse all that this one seals. What was sealed for the start before is refused from now on:
    whatever became of it, nobody is waiting for its answer.

    Args:
        path: `spec.fence.keyFile`.
        key: From `new_key`.

    Raises:
        StartError: It cannot be written.
    """
    if path is None or key is None:
        return
    try:
        durable.replace(path, key.hex().encode() + b"\n", KEY_MODE)
    except OSError as error:
        how = f"{why(error)}; mount a folder that sidecar and service share, or change"
        raise StartError(f"fence key: {path}: {how} spec.fence.keyFile") from None
