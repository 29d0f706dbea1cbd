"""What both processes do when they start."""

import asyncio
import os
import signal
from pathlib import Path

from aiohttp import web

from sidecar import clock
from sidecar.config import check
from sidecar.config.problem import ConfigError
from sidecar.config.sections import Address, AuthorityConfig, PeerAddress, SidecarConfig
from sidecar.core.objects import trust as trust_file
from sidecar.core.objects.trust import Trust
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError
from sidecar.sync.peer import Peer
from sidecar.telemetry import admin, logs
from sidecar.telemetry.logs import Log


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


def open_peers(addresses: tuple[PeerAddress, ...], timeout_ms: int) -> dict[PeerId, Peer]:
    """Peers by id; nothing is connected yet."""
    return {PeerId(address.id): Peer(address, timeout_ms) for address in addresses}


def stopping() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def listen(app: web.Application, where: Address, log: Log) -> web.AppRunner:
    """Open the status port.

    Raises:
        StartError: it is taken.
    """
    try:
        runner, port = await admin.start(app, where)
    except OSError as error:
        raise StartError(f"status port: {where}: {why(error)}; change spec.listen.status") from None
    log.info(logs.STATUS_LISTENING, address=str(Address(where.host, port)))
    return runner


def why(error: OSError) -> str:
    """What the system said, in words."""
    return error.strerror or str(error)
