"""Every attack runs on both event loops, but for those on a real sidecar: it has its own."""

import asyncio
from collections.abc import Callable

from tests.compiled import LOOPS
from tests.integration.conftest import forks, peers, service, shared_valkeys, world

__all__ = ["forks", "peers", "service", "shared_valkeys", "world"]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOPS
