"""EG-PROTOCOL-001 section 2: Synchronization Protocol Coordination Requirements."""

import pytest

from tests.conformance.conftest import Conforms

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_2_1_epochs_and_halts_spread_to_every_sidecar(conforms: Conforms) -> None:
    conforms("new_epoch", "halted")


def test_2_2_reports_continue_and_a_step_back_is_told(conforms: Conforms) -> None:
    conforms("chained_reports", "false_acknowledgements")


def test_2_3_another_route_table_is_refused(conforms: Conforms) -> None:
    conforms("altered_routes")


def test_2_4_one_epoch_needs_a_quorum(conforms: Conforms) -> None:
    conforms("new_epoch", "minority", "two_epochs")


def test_2_5_a_cut_or_edited_audit_log_is_found_out(conforms: Conforms) -> None:
    conforms("edited_log", "witnessed_log")


def test_2_6_an_epoch_for_another_region_gives_no_lease(conforms: Conforms) -> None:
    conforms("other_region")


def test_2_7_every_sidecar_moves_to_the_newest_state(conforms: Conforms) -> None:
    conforms("new_epoch", "rotated_trust")
