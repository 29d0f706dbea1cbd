"""The servers that other tests lean on do what those tests think they do."""

import pytest
import redis

from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]


def test_three_servers_are_empty_and_independent(valkeys: Three) -> None:
    valkeys[0].do("SET", "key", "value")
    assert len({server.port for server in valkeys}) == 3
    assert [server.do("GET", "key") for server in valkeys] == [b"value", None, None]


def test_stopped_server_refuses_and_comes_back_empty_on_the_same_port(valkey: ValkeyServer) -> None:
    valkey.do("SET", "key", "value")
    port = valkey.port
    valkey.stop()
    with pytest.raises(redis.ConnectionError):
        valkey.do("PING")
    valkey.start()
    assert valkey.port == port
    assert valkey.do("GET", "key") is None


def test_paused_server_is_silent_until_resumed(valkey: ValkeyServer) -> None:
    valkey.pause()
    with valkey.client(timeout_ms=50) as client, pytest.raises(redis.TimeoutError):
        client.ping()
    valkey.resume()
    assert valkey.do("PING") in (True, b"PONG")
