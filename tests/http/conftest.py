"""Every row of the catalogue runs on both event loops that the data plane may meet."""

from tests.proxy.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
