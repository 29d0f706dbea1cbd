"""EG-PROTOCOL-001 section 3: Deterministic Synchronization Validation."""

import pytest

from tests.conformance.conftest import Conforms

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_3_1_runtime_synchronization_continuity(conforms: Conforms) -> None:
    conforms("silent_authority", "shown_validations")


def test_3_2_governance_policy_coordination(conforms: Conforms) -> None:
    conforms("altered_policy", "shown_validations")


def test_3_3_execution_routing_consistency(conforms: Conforms) -> None:
    conforms("altered_routes", "other_region", "shown_validations")


def test_3_4_runtime_integrity_verification(conforms: Conforms) -> None:
    conforms("changed_model", "unwritable_state", "shown_validations")


def test_3_5_telemetry_synchronization_continuity(conforms: Conforms) -> None:
    conforms("hidden_reports", "shown_validations")


def test_3_6_cryptographic_synchronization_validation(conforms: Conforms) -> None:
    conforms("altered_beats", "shown_validations")


def test_3_7_immutable_audit_synchronization(conforms: Conforms) -> None:
    conforms("full_disk", "shown_validations")


def test_3_8_distributed_runtime_consistency(conforms: Conforms) -> None:
    conforms("minority", "shown_validations")


def test_3_9_a_failed_validation_closes_the_gate(conforms: Conforms) -> None:
    conforms("silent_authority", "consistent_state")
