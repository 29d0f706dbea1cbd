"""How a data plane of a process begins and ends; the same for a sidecar and for one of its workers.

SIGTERM: serve on for `drain.delay` while endpoints are removed, deny new work, wait for what runs.
Source: protocol b.16.
"""

import asyncio

from sidecar.config.sections import Drain, Proxy
from sidecar.core.gate import Gate
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.proxy.server import Server
from sidecar.roles.start import StartError, why
from sidecar.telemetry import logs
from sidecar.telemetry.logs import Log


def not_bound(settings: Proxy, error: OSError) -> StartError:
    """What to say when nobody can connect."""
    how = f"{why(error)}; change spec.listen.inbound or stop what listens there"
    return StartError(f"inbound port: {settings.inbound}: {how}")


async def drain(server: Server, gate: Gate, settings: Drain, log: Log) -> None:
    """Serve on for a while, then deny new work and wait for what runs."""
    log.info(logs.DRAINING, delay_ms=settings.delay_ms, timeout_ms=settings.timeout_ms)
    await asyncio.sleep(settings.delay_ms / 1000)
    gate.place(Hold(Reason.DRAINING, HoldKind.PASSING))
    await finish(server, settings.timeout_ms)


async def finish(server: Server, timeout_ms: int) -> None:
    """Take nothing new, wait for what runs, end what is left."""
    server.stop_accepting()
    await server.wait_idle(timeout_ms)
    await server.close()
