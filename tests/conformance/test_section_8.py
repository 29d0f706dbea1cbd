"""EG-PROTOCOL-001 section 8: Synchronization Traceability Requirements."""

import pytest

from tests.conformance.conftest import Conforms

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_8_1_lifecycle_and_transitions_are_on_record(conforms: Conforms) -> None:
    conforms("first_passage", "available_status")


def test_8_2_reports_and_metrics_are_shown(conforms: Conforms) -> None:
    conforms("chained_reports", "shown_validations", "available_status")


def test_8_3_decisions_name_their_route(conforms: Conforms) -> None:
    conforms("traced_request", "unrouted_request")


def test_8_4_an_answer_names_its_record_and_the_record_is_proved(conforms: Conforms) -> None:
    conforms("traced_request", "proved_decision")


def test_8_5_records_verify_and_edits_are_found(conforms: Conforms) -> None:
    conforms("edited_log", "verified_log", "exported_log")


def test_8_6_rounds_are_on_record_peer_by_peer(conforms: Conforms) -> None:
    conforms("minority", "new_epoch")


def test_8_7_a_permit_has_one_outcome_and_its_trace_id(conforms: Conforms) -> None:
    conforms("traced_request")


def test_8_7_a_child_names_its_parent_and_goes_no_further_than_it(conforms: Conforms) -> None:
    conforms("descended_request")


def test_8_8_status_answers_while_contained_and_halted(conforms: Conforms) -> None:
    conforms("silent_authority", "halted", "available_status")
