"""Connections and ports: what the processes that face peers and people open."""

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


async def listen(
    app: web.Application, where: Address, log: Log, port: str = "status"
) -> web.AppRunner:
    """Open the status port, or the public one.

    Args:
        app: What answers there.
        where: Of spec.listen.
        log: Told the address in use.
        port: Its name under spec.listen.

    Raises:
        StartError: it is taken.
    """
    try:
        runner, number = await admin.start(app, where)
    except OSError as error:
        raise StartError(f"{port} port: {where}: {why(error)}; change spec.listen.{port}") from None
    said = logs.STATUS_LISTENING if port == "status" else logs.PUBLIC_LISTENING
    log.info(said, address=str(Address(where.host, number)))
    return runner
