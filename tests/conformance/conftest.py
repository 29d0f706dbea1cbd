"""One deployment for all tests here; each check is run once, however many items it speaks for."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator

import pytest

from sidecar.cli.conformance import campaign, checks
from sidecar.cli.conformance.check import Result
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.demo import processes

Conforms = Callable[..., None]
BY_NAME = {check.name: check for check in checks.EVERY}


class Running:
    """A deployment, and what came of the checks so far."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._results: dict[str, Result] = {}

    def result(self, name: str) -> Result:
        """Of one check; run at the first question."""
        if name not in self._results:
            self._results[name] = campaign.one(BY_NAME[name], self.deployment)
        return self._results[name]


@pytest.fixture(scope="package")  # not the session: it takes as much as the tests beside it
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("conformance")
    deployment = Deployment(folder)
    with contextlib.closing(deployment), processes.ending(*deployment.processes):
        deployment.prepare()
        asyncio.run(deployment.start())
        yield Running(deployment)


@pytest.fixture
def conforms(running: Running, request: pytest.FixtureRequest) -> Conforms:
    """Assert that checks held, each of which speaks for the item in the test's name."""
    found = re.match(r"test_(\d+)_(\d+)_", request.node.name)
    assert found is not None, "named by section and item"
    item = f"{found[1]}.{found[2]}"

    def assert_held(*names: str) -> None:
        for name in names:
            assert item in BY_NAME[name].items, f"{name} does not speak for {item}"
            result = running.result(name)
            assert result.held, f"{name}: {result.seen}"

    return assert_held
