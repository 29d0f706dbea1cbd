"""EG-PROTOCOL-001 section 7: Distributed Runtime Synchronization."""

import pytest

from tests.conformance.conftest import Conforms

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_7_1_an_epoch_is_committed_by_a_quorum_and_enforced(conforms: Conforms) -> None:
    conforms("new_epoch")


def test_7_2_the_fleet_tree_covers_every_report(conforms: Conforms) -> None:
    conforms("acknowledged_reports")


def test_7_3_two_epochs_or_a_diverged_fleet_contain(conforms: Conforms) -> None:
    conforms("two_epochs", "diverged_fleet")


def test_7_4_beats_name_the_trust_document(conforms: Conforms) -> None:
    conforms("withheld_trust", "rotated_trust")


def test_7_5_what_was_permitted_is_on_disk_after_a_kill(conforms: Conforms) -> None:
    conforms("killed_gate", "witnessed_log")


def test_7_6_a_forked_stream_is_quarantined_with_evidence(conforms: Conforms) -> None:
    conforms("forked_stream")


def test_7_7_both_sidecars_contain_for_the_same_reasons(conforms: Conforms) -> None:
    conforms("altered_beats")
