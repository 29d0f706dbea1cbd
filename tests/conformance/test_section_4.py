"""EG-PROTOCOL-001 section 4: Fail-Closed Synchronization Enforcement."""

import pytest

from tests.conformance.conftest import Conforms

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_4_1_synchronization_interruption_contains_within_the_ttl(conforms: Conforms) -> None:
    conforms("silent_authority")


def test_4_2_runtime_telemetry_inconsistency_contains_and_is_told(conforms: Conforms) -> None:
    conforms("hidden_reports", "false_acknowledgements")


def test_4_3_orchestration_routing_mismatch_contains(conforms: Conforms) -> None:
    conforms("altered_routes", "other_region")


def test_4_4_cryptographic_interruption_contains(conforms: Conforms) -> None:
    conforms("altered_beats", "too_few_signatures", "withheld_trust")


def test_4_5_immutable_audit_discontinuity_denies(conforms: Conforms) -> None:
    conforms("edited_log", "full_disk")


def test_4_6_distributed_coordination_failure_contains(conforms: Conforms) -> None:
    conforms("minority", "lost_peers")


def test_4_7_runtime_state_divergence_contains(conforms: Conforms) -> None:
    conforms("changed_model", "other_code", "damaged_state", "diverged_fleet")


def test_4_8_unverifiable_transitions_are_refused(conforms: Conforms) -> None:
    conforms("rolled_back", "forked_stream", "broken_chain", "confused_types")


def test_4_9_execution_defaults_to_containment(conforms: Conforms) -> None:
    conforms("closed_start", "halted", "silent_authority", "consistent_state")
