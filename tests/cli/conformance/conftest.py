"""One deaf deployment for all tests of checks."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import pytest

from sidecar.cli.conformance.check import BrokenError, Check
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.demo import processes
from tests.cli.conformance.deaf import DeafDeployment

Broken = Callable[[Check[Deployment]], str]


@pytest.fixture(scope="session")
def deaf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeafDeployment]:
    deployment = DeafDeployment(tmp_path_factory.mktemp("deaf"))
    with contextlib.closing(deployment), processes.ending(*deployment.processes):
        deployment.prepare()
        asyncio.run(deployment.start())
        yield deployment


@pytest.fixture
def broken(deaf: DeafDeployment) -> Broken:
    """Run a check where nobody notices anything; what it complains of."""

    def complaint(check: Check[Deployment]) -> str:
        async def run() -> None:
            await deaf.mend()
            async with deaf.connected():
                await check.run(deaf)

        with pytest.raises((BrokenError, BaseExceptionGroup)) as caught:
            asyncio.run(run())
        error = caught.value
        while isinstance(error, BaseExceptionGroup):
            (error,) = error.exceptions
        assert isinstance(error, BrokenError)
        return str(error)

    return complaint
