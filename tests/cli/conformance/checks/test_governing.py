"""No check of `governing` holds where the authority hands out no log."""

import pytest

from sidecar.cli.conformance.check import Check
from sidecar.cli.conformance.checks import governing
from sidecar.cli.conformance.deployment import Deployment
from tests.cli.conformance.conftest import Broken
from tests.cli.conformance.deaf import DeafDeployment


@pytest.mark.parametrize("check", governing.CHECKS, ids=lambda check: check.name)
def test_an_authority_without_a_log_does_not_conform(
    check: Check[Deployment],
    broken: Broken,
    deaf: DeafDeployment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deaf, "public_url", "http://127.0.0.1:1")
    assert "is --url its listen.public" in broken(check)
