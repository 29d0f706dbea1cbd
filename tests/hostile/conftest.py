"""Every attack runs on both event loops. The real sidecar process has its own."""

import asyncio
from collections.abc import Callable

import uvloop

from tests.integration.conftest import peers, service, shared_valkeys, world

__all__ = ["peers", "service", "shared_valkeys", "world"]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
