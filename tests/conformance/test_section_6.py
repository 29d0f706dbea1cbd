"""EG-PROTOCOL-001 section 6: Immutable Runtime Continuity."""

import pytest

from tests.conformance.conftest import Conforms

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_6_1_an_edited_record_is_found_by_its_number(conforms: Conforms) -> None:
    conforms("edited_log", "verified_log")


def test_6_2_each_epoch_names_the_one_before(conforms: Conforms) -> None:
    conforms("broken_chain", "governance_log")


def test_6_3_an_emptied_peer_is_refilled_and_the_log_is_copied(conforms: Conforms) -> None:
    conforms("copied_log", "lost_peers")


def test_6_4_reports_are_chained_and_acknowledged_forwards(conforms: Conforms) -> None:
    conforms("chained_reports", "false_acknowledgements", "hidden_reports")


def test_6_5_no_request_without_a_record_after_a_kill(conforms: Conforms) -> None:
    conforms("killed_gate")


def test_6_6_a_decision_leads_to_policy_epoch_and_beat(conforms: Conforms) -> None:
    conforms("traced_request", "proved_decision")


def test_6_7_the_log_is_verified_offline(conforms: Conforms) -> None:
    conforms("edited_log")
