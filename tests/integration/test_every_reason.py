"""The table of reasons, the tests that produce them, and the README belong together."""

from pathlib import Path

import tests.integration.test_audit_lag
import tests.integration.test_exchange_reasons
import tests.integration.test_fleet_reasons
import tests.integration.test_integrity
import tests.integration.test_listen
import tests.integration.test_memory
import tests.integration.test_parents
import tests.integration.test_reasons
import tests.integration.test_scopes
import tests.integration.test_trust_reasons
import tests.integration.test_witness  # noqa: F401 - importing them fills the list
from sidecar.core.reason import Reason
from tests.integration.reasons import PRODUCED

README = Path(__file__).parents[2] / "README.md"


def test_every_reason_is_produced_through_the_real_sidecar() -> None:
    missing = [reason.code for reason in Reason if reason not in PRODUCED]
    assert missing == []


def test_every_reason_is_in_the_readme_with_its_title_and_status() -> None:
    text = README.read_text()
    missing = [
        reason.code
        for reason in Reason
        if f"| `{reason.code}` | {reason.title} | {reason.status} |" not in text
    ]
    assert missing == []
