"""EG-PROTOCOL-001 section 5: Cryptographic Synchronization Verification."""

import pytest

from tests.conformance.conftest import Conforms

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_5_1_what_is_not_signed_is_ignored(conforms: Conforms) -> None:
    conforms("altered_beats", "confused_types", "chained_reports", "forked_stream")


def test_5_2_the_epoch_lists_what_may_run(conforms: Conforms) -> None:
    conforms("changed_model", "other_code")


def test_5_3_a_later_checkpoint_is_over_the_same_entries(conforms: Conforms) -> None:
    conforms("exported_log", "witnessed_log")


def test_5_4_trust_is_rotated_under_thresholds_and_not_withheld(conforms: Conforms) -> None:
    conforms("rotated_trust", "withheld_trust", "too_few_signatures")


def test_5_5_evidence_of_a_contradiction_is_kept_and_shown(conforms: Conforms) -> None:
    conforms("forked_stream", "proved_decision")


def test_5_6_a_log_under_another_key_does_not_verify(conforms: Conforms) -> None:
    conforms("edited_log", "proved_decision", "witnessed_log")


def test_5_7_each_beat_has_to_cover_a_nonce(conforms: Conforms) -> None:
    conforms("uncovered_beats")
