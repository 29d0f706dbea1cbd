"""Fixtures of the integration tests: peers shared by all of them, a world for each."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.integration.forks import Forks
from tests.integration.harness import Hand, Service, Sidecar, World
from tests.valkey import ValkeyServer


@pytest.fixture(scope="session")
def shared_valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ValkeyServer, ...]]:
    """Three servers for the whole session: starting them anew costs a second per test."""
    folder = tmp_path_factory.mktemp("peers")
    servers = tuple(ValkeyServer(folder / str(index)).start() for index in range(3))
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def peers(shared_valkeys: tuple[ValkeyServer, ...]) -> tuple[ValkeyServer, ...]:
    """The same three, emptied."""
    for server in shared_valkeys:
        server.do("FLUSHALL")
    return shared_valkeys


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """One for the whole session."""
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    await service.start()
    yield service
    await service.close()


@pytest.fixture
async def world(
    peers: tuple[ValkeyServer, ...],
    service: Service,
    forks: Forks,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[World]:
    """A world; `@pytest.mark.sidecar(...)` and `@pytest.mark.trust(...)` change it.

    Its sidecar is a fork; with `@pytest.mark.fresh` a new interpreter.

    After the test: every request that reached the service has its permit record, and the other way
    round. A sidecar that is still running is told to stop first.
    """
    hand = Hand(peers, **_marked(request, "trust"))
    sidecar = Sidecar(tmp_path / "sidecar", hand, **_marked(request, "sidecar"))
    sidecar.forks = None if request.node.get_closest_marker("fresh") else forks
    async with aiohttp.ClientSession() as session:
        yield World(hand, service, sidecar, session)
        await hand.stop()
    hand.close()
    sidecar.end()
    assert Counter(service.seen) == sidecar.permits()


def _marked(request: pytest.FixtureRequest, name: str) -> dict[str, object]:
    marker = request.node.get_closest_marker(name)
    return {} if marker is None else dict(marker.kwargs)
