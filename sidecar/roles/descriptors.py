"""How many connections the file descriptors of this process are enough for.

Each client connection may have one to the service, and a process that has run out cannot reach its
peers, rotate its journal or answer a probe: clients must never get that far. So the limit on
connections is lowered to what fits, loudly, and some descriptors are kept for everybody else.

Source: hardening T23.
"""

import dataclasses
import resource

from sidecar.config.sections import Proxy
from sidecar.proxy.connections import TOLD_MAX
from sidecar.roles.start import StartError
from sidecar.telemetry import logs
from sidecar.telemetry.logs import Log

KEPT = 128  # journal, peers, probes, the loop itself; connections that were not refused yet
PER_CONNECTION = 2  # to the client and to the service
UPSTREAMS = 8  # of the signed routes, each with its own warm connections


def fitted(settings: Proxy, log: Log) -> Proxy:
    """The settings, with no more connections than there can be descriptors for.

    The soft limit of the process is raised to its hard limit first: no library here uses `select`,
    which is what the soft one is for.

    Raises:
        StartError: There is no room for a single connection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return settings
    most = fitting(hard, settings.warm_connections)
    if most < 1:
        how = "raise it (ulimit -n, LimitNOFILE=) or lower spec.warmConnections"
        raise StartError(f"file descriptors: {hard} are too few; {how}")
    limits = settings.limits
    if limits.connections <= most:
        return settings
    log.warning(logs.CONNECTIONS_LOWERED, limit=limits.connections, to=most, descriptors=hard)
    return dataclasses.replace(settings, limits=dataclasses.replace(limits, connections=most))


def fitting(descriptors: int, warm: int) -> int:
    """How many connections fit; not more than 0 when there are too few even for the rest.

    Args:
        descriptors: That the process may open.
        warm: Connections kept ready for each upstream.
    """
    return (descriptors - KEPT - TOLD_MAX - UPSTREAMS * warm) // PER_CONNECTION
