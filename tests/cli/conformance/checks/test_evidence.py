"""No check of `evidence` holds where nobody keeps any."""

import pytest

from sidecar.cli.conformance.check import Check
from sidecar.cli.conformance.checks import evidence
from sidecar.cli.conformance.deployment import Deployment
from tests.cli.conformance.conftest import Broken


@pytest.mark.parametrize("check", evidence.CHECKS, ids=lambda check: check.name)
def test_a_sidecar_without_evidence_does_not_conform(
    check: Check[Deployment], broken: Broken
) -> None:
    assert broken(check)
