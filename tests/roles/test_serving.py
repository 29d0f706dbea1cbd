"""The end of a data plane: new work is denied, what runs finishes, then everything is closed."""

import asyncio
import io
import json

import pytest

from sidecar import clock
from sidecar.config.sections import Address, Drain, Proxy
from sidecar.core.gate import Gate
from sidecar.core.reason import Reason
from sidecar.proxy.server import Server
from sidecar.roles import serving
from sidecar.telemetry import logs
from tests.proxy.world import MemoryObserver, MemoryRecorder


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    error = serving.not_bound(Proxy(Address("127.0.0.1", 80)), OSError(98, "Address in use"))
    assert str(error).startswith("inbound port: 127.0.0.1:80: Address in use; ")
    assert "spec.listen.inbound" in str(error)


async def test_a_drained_data_plane_holds_its_gate_and_takes_nobody() -> None:
    gate, stream = Gate(), io.StringIO()
    settings = Proxy(Address("127.0.0.1", 0))
    server = Server(settings, gate, clock.now, MemoryRecorder(), MemoryObserver())
    host, port = await server.start()
    await serving.drain(server, gate, Drain(0, 1000), logs.setup("info", stream, lambda _: None))
    assert gate.snapshot.closed is Reason.DRAINING
    assert json.loads(stream.getvalue())["event"] == logs.DRAINING
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)
