"""EG-PROTOCOL-001 section 1: Governance Synchronization Principle."""

import pytest

from tests.conformance.conftest import Conforms

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_1_1_synchronization_continuity_is_validated(conforms: Conforms) -> None:
    conforms("silent_authority", "uncovered_beats")


def test_1_2_altered_policy_or_routes_are_refused_everywhere(conforms: Conforms) -> None:
    conforms("altered_policy", "altered_routes")


def test_1_3_altered_signatures_are_refused_and_counted_for_each_peer(conforms: Conforms) -> None:
    conforms("altered_beats")


def test_1_4_an_epoch_that_does_not_follow_is_refused(conforms: Conforms) -> None:
    conforms("broken_chain", "governance_log")


def test_1_5_reports_of_the_fleet_are_acknowledged(conforms: Conforms) -> None:
    conforms("acknowledged_reports")


def test_1_6_closed_from_the_start_and_at_a_halt(conforms: Conforms) -> None:
    conforms("closed_start", "halted", "unrouted_request", "refused_methods")


def test_1_7_the_same_fault_contains_for_the_same_reasons(conforms: Conforms) -> None:
    conforms("altered_beats")
