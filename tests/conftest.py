"""Fixtures that several folders of tests share, and what runs side by side."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from tests.valkey import ValkeyServer

ValkeyMaker = Callable[..., ValkeyServer]
ONE_DEPLOYMENT = "tests/conformance/"


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """A file at a time to each process; a folder that shares one deployment as if it were one."""

    def _split_scope(self, nodeid: str) -> str:
        return ONE_DEPLOYMENT if nodeid.startswith(ONE_DEPLOYMENT) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile | None:
    """For `--dist loadfile`."""
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


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
