"""EG-PROTOCOL-001 section 9: Governance Synchronization Lifecycle Flow."""

import pytest

from tests.conformance.conftest import Conforms

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_9_1_initialization_fails_on_damaged_state(conforms: Conforms) -> None:
    conforms("first_passage", "damaged_state", "closed_start")


def test_9_2_synchronization_fails_without_a_quorum(conforms: Conforms) -> None:
    conforms("first_passage", "minority", "altered_beats")


def test_9_3_coordination_fails_without_the_policy_or_the_chain(conforms: Conforms) -> None:
    conforms("first_passage", "altered_policy", "broken_chain")


def test_9_4_integrity_fails_with_another_model(conforms: Conforms) -> None:
    conforms("first_passage", "changed_model", "other_code")


def test_9_5_cryptography_fails_without_threshold_or_nonce(conforms: Conforms) -> None:
    conforms("first_passage", "uncovered_beats", "too_few_signatures")


def test_9_6_telemetry_fails_without_acknowledgement(conforms: Conforms) -> None:
    conforms("first_passage", "hidden_reports")


def test_9_7_evaluation_lists_sorted_reasons(conforms: Conforms) -> None:
    conforms("first_passage", "minority", "unwritable_state")


def test_9_8_nothing_is_approved_that_was_not_stored(conforms: Conforms) -> None:
    conforms("first_passage", "unwritable_state")


def test_9_9_the_passage_is_persisted_or_nothing_opens(conforms: Conforms) -> None:
    conforms("first_passage", "traced_request", "killed_gate", "full_disk")


def test_9_10_the_audit_log_continues_or_nothing_opens(conforms: Conforms) -> None:
    conforms("first_passage", "full_disk", "witnessed_log")
