"""One authority replica: a beat key, and the loop that vouches with it."""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from sidecar import __version__, clock, signer
from sidecar.authority import fleet, public, tiles
from sidecar.authority.publisher import Publisher
from sidecar.config import read
from sidecar.core.issuing import BeatEnded, Tell
from sidecar.core.reason import ProtocolError, Reason
from sidecar.roles import cosigning
from sidecar.roles.governance import open_ledger
from sidecar.roles.opening import listen, open_peers
from sidecar.roles.start import StartError, stopping, verified
from sidecar.telemetry import admin, logs, vouching
from sidecar.telemetry.logs import Log


async def run_authority(path: Path) -> None:
    """One authority replica, until SIGTERM.

    Args:
        path: Its configuration.

    Raises:
        ConfigError, StartError, KeyFileError, StateError: it cannot start; nothing was published.
    """
    config = read.read_authority(path, os.environ).config
    trust = verified(config)
    log = logs.setup(config.log_level, sys.stdout, lambda _level: None)
    log.info(logs.STARTED, version=__version__, role="authority", domain=trust.domain)
    stop = stopping()
    peers = open_peers(config.peers, config.beat.publish_ms)
    key = signer.load(config.beat_key_file)
    tell = partial(_tell_log, log)
    ledger = open_ledger(config, trust.domain, log)
    try:
        publisher = Publisher(
            config, trust, key, tuple(peers.values()), clock.now, tell, ledger=ledger
        )
    except ProtocolError as error:
        how = f"{error.reason.title}; name a key of role beat in spec.keys.beat"
        raise StartError(f"beat key: {config.beat_key_file}: {how}") from None
    if ledger is not None:
        ledger.begin(publisher.trust)
    app = admin.build(
        not_ready=lambda: None if publisher.counts.committed else Reason.NOT_SYNCED,
        state=lambda: vouching.state(
            publisher.counts, fleet.rows(publisher.fleet, publisher.covered, clock.now())
        ),
        metrics=vouching.AuthorityMetrics(publisher.counts).render,
    )
    served = cosigning.routes(config, publisher, log)
    served += [] if ledger is None else tiles.routes(ledger.tiles)
    runners = [await listen(app, config.status, log)]
    try:
        if config.public is not None:
            runners.append(await listen(public.build(served), config.public, log, "public"))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(publisher.run())
            if ledger is not None:
                tasks.create_task(ledger.run())
            await stop.wait()
            task.cancel()
            if ledger is not None:
                ledger.end()
    finally:
        for runner in runners:
            await runner.cleanup()
        for peer in peers.values():
            peer.close()
    log.info(logs.STOPPED)


def _tell_log(log: Log, event: Tell | BeatEnded) -> None:
    """Log facts; a beat that ended is only counted."""
    if isinstance(event, Tell):
        log.info(logs.AUTHORITY, fact=event.fact.value, detail=event.detail, over=event.over)
