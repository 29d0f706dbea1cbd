"""What faces people is open, or says why not."""

import io
import json
import socket

import pytest
from aiohttp import web

from sidecar.config.sections import Address, PeerAddress
from sidecar.roles import opening
from sidecar.roles.start import StartError
from sidecar.telemetry import logs

HOST = "127.0.0.1"


def test_peers_are_known_by_their_ids() -> None:
    peers = opening.open_peers((PeerAddress("r1", HOST, 1), PeerAddress("r2", HOST, 2)), 100)
    assert list(peers) == ["r1", "r2"]


PORTS = {"status": logs.STATUS_LISTENING, "public": logs.PUBLIC_LISTENING}


@pytest.mark.parametrize("port", PORTS)
async def test_the_port_that_was_given_is_told(port: str) -> None:
    stream = io.StringIO()
    log = logs.setup("info", stream, lambda _: None)
    runner = await opening.listen(web.Application(), Address(HOST, 0), log, port)
    try:
        told = json.loads(stream.getvalue())
        assert told["event"] == PORTS[port]
        assert told["address"] == f"{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("port", PORTS)
async def test_a_port_that_is_taken_is_named_with_what_to_do(port: str) -> None:
    log = logs.setup("info", io.StringIO(), lambda _: None)
    with socket.create_server((HOST, 0)) as taken:
        where = Address(HOST, taken.getsockname()[1])
        with pytest.raises(StartError, match=rf"change spec\.listen\.{port}"):
            await opening.listen(web.Application(), where, log, port)
