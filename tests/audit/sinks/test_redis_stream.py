"""Records in real streams: all of a batch or none, in order, and after the server was gone."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.audit.sinks.feed import Entry
from sidecar.audit.sinks.outlet import RefusedError, SinkError
from sidecar.audit.sinks.redis_stream import RedisStream
from sidecar.core import layout
from tests.audit.journals import ORIGIN
from tests.audit.sinks.parts import Clock, Line, entries, invented, settings
from tests.valkey import HOST, ValkeyServer

pytestmark = pytest.mark.redis
KEY = layout.audit_key("test", ORIGIN)


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path_factory.mktemp("sink")).start()
    yield server
    server.stop()


@pytest.fixture
def server(one_server: ValkeyServer) -> ValkeyServer:
    if not one_server.running:
        one_server.start()
    one_server.do("FLUSHALL")
    one_server.do("CONFIG", "SET", "maxmemory", "0")
    return one_server


def stream(server: ValkeyServer, **changes: Any) -> RedisStream:
    return RedisStream(settings("redis", f"redis://{HOST}:{server.port}", **changes), "test")


def held(server: ValkeyServer) -> list[tuple[int, bytes]]:
    with server.client() as client:
        found: Any = client.xrange(KEY)
    return [(int(fields[b"seq"]), fields[b"line"]) for _, fields in found]


async def test_every_record_is_an_entry_of_the_stream_of_its_log(
    folder: Path, server: ValkeyServer
) -> None:
    sent = entries(folder, 10)
    outlet = stream(server)
    assert await outlet.send(ORIGIN, sent) == 0
    await outlet.close()
    assert held(server) == [(entry.seq, entry.line) for entry in sent]
    assert KEY == "eg:{test}:audit:epochgate/test/pod-1"


async def test_a_stream_can_be_kept_short(server: ValkeyServer) -> None:
    outlet = stream(server, max_len=100)
    await outlet.send(ORIGIN, invented(400))
    await outlet.close()
    kept = [seq for seq, _ in held(server)]
    assert 100 <= len(kept) < 400
    assert kept == list(range(400 - len(kept), 400))


async def test_a_server_that_is_full_takes_nothing_of_a_batch(
    folder: Path, server: ValkeyServer
) -> None:
    outlet = stream(server)
    server.do("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(SinkError, match="answered: "):
        await outlet.send(ORIGIN, entries(folder, 10))
    assert held(server) == []
    server.do("CONFIG", "SET", "maxmemory", "0")
    await outlet.send(ORIGIN, entries(folder, 10))
    await outlet.close()
    assert len(held(server)) == 10


async def test_a_server_that_refuses_a_record_in_the_middle_takes_none(
    server: ValkeyServer,
) -> None:
    server.do("CONFIG", "SET", "proto-max-bulk-len", str(1024 * 1024))
    outlet = stream(server)
    batch = [*invented(5), Entry(5, 0, b"x" * (2 * 1024 * 1024)), *invented(2)]
    with pytest.raises(SinkError):
        await outlet.send(ORIGIN, batch)
    await outlet.close()
    server.do("CONFIG", "SET", "proto-max-bulk-len", str(512 * 1024 * 1024))
    assert held(server) == []


async def test_what_somebody_has_to_change_is_a_refusal(folder: Path, server: ValkeyServer) -> None:
    server.do("ACL", "SETUSER", "low", "on", ">pw", "~eg:*", "+ping", "+multi", "+exec")
    for changes, said in (
        ({"username": "low", "secret": "pw"}, "permission"),
        ({"username": "low", "secret": "wrong"}, "permission"),
    ):
        outlet = stream(server, **changes)
        with pytest.raises(RefusedError, match=said) as refused:
            await outlet.send(ORIGIN, entries(folder, 3))
        assert "wrong" not in str(refused.value)
        await outlet.close()
    assert held(server) == []


async def test_the_permissions_that_are_documented_are_enough(
    folder: Path, server: ValkeyServer
) -> None:
    server.do("ACL", "SETUSER", "writer", "on", ">pw", "~eg:{test}:audit:*", "+multi", "+exec",
              "+xadd")  # fmt: skip
    outlet = stream(server, username="writer", secret="pw")
    await outlet.send(ORIGIN, entries(folder, 3))
    await outlet.close()
    assert len(held(server)) == 3


async def test_a_server_that_was_frozen_and_one_that_was_gone_get_every_record_in_order(
    whole: Path, server: ValkeyServer, clock: Clock
) -> None:
    outlet = stream(server)
    line = Line(whole, outlet, clock, timeout_ms=200)
    line.pump._limit = 5
    server.pause()
    await line.run(lambda: line.pump.failures >= 1)
    assert line.pump.why == "no answer within 0.2 s"
    server.resume()
    line.pump._limit = 5
    await line.run(lambda: line.pump.records >= 10)
    server.stop()
    await line.run(lambda: "cannot be reached" in line.pump.why)
    server.start()  # empty: what it held is gone, what it has not acknowledged comes
    await line.run()
    await outlet.close()
    seqs = [seq for seq, _ in held(server)]
    assert seqs == list(range(seqs[0], 40))
    assert line.pump.records == 40


async def test_a_server_that_hangs_does_not_leave_an_answer_for_the_next_batch(
    folder: Path, server: ValkeyServer
) -> None:
    outlet = stream(server)
    sent = entries(folder, 10)
    await outlet.send(ORIGIN, sent[:2])
    server.pause()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await outlet.send(ORIGIN, sent[2:4])
    server.resume()
    await outlet.send(ORIGIN, sent[2:])
    await outlet.close()
    seqs = [seq for seq, _ in held(server)]
    assert seqs in ([*range(10)], [0, 1, 2, 3, *range(2, 10)]), "at least once, in order"


async def test_a_file_of_certificates_that_cannot_be_read_is_an_error_at_start(
    tmp_path: Path,
) -> None:
    with pytest.raises(OSError, match="No such file"):
        RedisStream(settings("redis", "rediss://h", ca_file=tmp_path / "none.pem"), "test")
