"""What all processes do when they start. Workers import this too, so it pulls in nothing large."""

import asyncio
import os
import signal
from pathlib import Path

from sidecar import clock
from sidecar.config import check
from sidecar.config.problem import ConfigError
from sidecar.config.sections import AuthorityConfig, SidecarConfig
from sidecar.core.objects import trust as trust_file
from sidecar.core.objects.trust import Trust
from sidecar.core.reason import ProtocolError


class StartError(Exception):
    """The process cannot start; the message says what is wrong, where, and what to do."""


def fresh_bytes(count: int) -> bytes:
    """Random bytes: seeds, nonces, ids. The one source of them in the program."""
    return os.urandom(count)


def load_trust(path: Path) -> Trust:
    """Read the pinned trust document.

    Raises:
        StartError: it cannot be read or is not valid.
    """
    try:
        return trust_file.parse(path.read_bytes(), clock.now().wall)
    except OSError as error:
        raise StartError(f"trust document: {path}: {error.strerror}; set spec.trust.file") from None
    except ProtocolError as error:
        raise StartError(f"trust document: {path}: {error}; get a fresh copy") from None


def verified(config: SidecarConfig | AuthorityConfig) -> Trust:
    """The pinned trust document, with a configuration that fits it and a folder to write to.

    Raises:
        ConfigError, StartError: what does not fit, or cannot be used.
    """
    trust = load_trust(config.trust_file)
    problems = check.against_trust(config, trust, None)
    if problems:
        raise ConfigError(tuple(problems))
    if not os.access(config.state_dir, os.W_OK | os.X_OK):
        raise StartError(f"state folder: {config.state_dir}: cannot be written; create it")
    return trust


def stopping() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def why(error: OSError) -> str:
    """What the system said, in words."""
    return error.strerror or str(error)
