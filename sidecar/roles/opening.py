"""Connections and the status port: what the processes that face peers and people open."""

from aiohttp import web

from sidecar.config.sections import Address, PeerAddress
from sidecar.core.quorum import PeerId
from sidecar.roles.start import StartError, why
from sidecar.sync.peer import Peer
from sidecar.telemetry import admin, logs
from sidecar.telemetry.logs import Log


def open_peers(addresses: tuple[PeerAddress, ...], timeout_ms: int) -> dict[PeerId, Peer]:
    """Peers by id; nothing is connected yet."""
    return {PeerId(address.id): Peer(address, timeout_ms) for address in addresses}


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
