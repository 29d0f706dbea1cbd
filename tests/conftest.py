"""Fixtures that several folders of tests share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.valkey import ValkeyServer

ValkeyMaker = Callable[..., ValkeyServer]


@pytest.fixture
def make_valkey(tmp_path: Path) -> Iterator[ValkeyMaker]:
    """Start as many servers as the test asks for; they end with the test."""
    servers: list[ValkeyServer] = []

    def make(options: dict[str, str] | None = None) -> ValkeyServer:
        server = ValkeyServer(tmp_path / f"valkey-{len(servers)}", options)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def valkey(make_valkey: ValkeyMaker) -> ValkeyServer:
    """One fresh, empty server."""
    return make_valkey()


@pytest.fixture
def valkeys(make_valkey: ValkeyMaker) -> tuple[ValkeyServer, ValkeyServer, ValkeyServer]:
    """Three fresh, empty, independent servers."""
    return make_valkey(), make_valkey(), make_valkey()
