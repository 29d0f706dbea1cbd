"""What is true of every kind: a receiver that is not there is said without an address."""

from pathlib import Path

import pytest

from sidecar.audit.sinks.opa import OpaPost
from sidecar.audit.sinks.otlp import OtlpPost
from sidecar.audit.sinks.outlet import Outlet, RefusedError, SinkError
from sidecar.audit.sinks.redis_stream import RedisStream
from sidecar.roles.sinks import in_thread
from tests.audit.journals import ORIGIN
from tests.audit.sinks.parts import HOST, entries, settings
from tests.valkey import free_port


def outlet(kind: str, port: int) -> Outlet:
    if kind == "redis":
        return RedisStream(settings("redis", f"redis://{HOST}:{port}"), "test")
    http = settings(kind, f"http://{HOST}:{port}/logs")
    make = OpaPost if kind == "http" else OtlpPost
    return make(http, "chat", in_thread("test"))


@pytest.mark.parametrize("kind", ["redis", "http", "otlp"])
async def test_nobody_there_is_a_failure_that_names_no_address(kind: str, folder: Path) -> None:
    """/v1/state shows it, and names no address."""
    port = free_port()
    made = outlet(kind, port)
    for _ in range(2):
        with pytest.raises(SinkError) as failed:
            await made.send(ORIGIN, entries(folder, 3))
        assert not isinstance(failed.value, RefusedError)
        assert "cannot be reached" in str(failed.value)
        assert HOST not in str(failed.value)
        assert str(port) not in str(failed.value)
    await made.close()
