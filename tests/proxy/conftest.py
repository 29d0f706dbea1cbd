"""Every test of the data plane runs on both event loops that it may meet."""

import asyncio
from collections.abc import Callable

from tests.compiled import LOOPS


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOPS
