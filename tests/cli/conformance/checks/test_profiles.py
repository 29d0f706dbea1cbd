"""No check of `profiles` holds where nobody notices the fault."""

import pytest

from sidecar.cli.conformance.check import Check
from sidecar.cli.conformance.checks import profiles
from sidecar.cli.conformance.deployment import Deployment
from tests.cli.conformance.conftest import Broken


@pytest.mark.parametrize("check", profiles.CHECKS, ids=lambda check: check.name)
def test_a_deaf_sidecar_does_not_conform(check: Check[Deployment], broken: Broken) -> None:
    assert broken(check)
