"""The table of reasons, as a table."""

import re

import pytest

from sidecar.core.reason import BY_CODE, ProtocolError, Reason

STATUSES = {400, 403, 405, 408, 413, 414, 417, 431, 501, 502, 503, 504, 505}


def test_codes_and_slugs_are_unique() -> None:
    """Two equal rows would be one member of the enum under two names."""
    assert len(Reason.__members__) == len(list(Reason))
    assert len({reason.code for reason in Reason}) == len(Reason)
    assert len({reason.slug for reason in Reason}) == len(Reason)
    assert {reason.code: reason for reason in Reason} == BY_CODE


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.code)
def test_a_row_has_the_form_that_headers_metrics_and_anchors_need(reason: Reason) -> None:
    assert re.fullmatch(r"EG[0-9]{3}", reason.code)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason.slug)
    assert reason.title
    assert reason.title.isascii()
    assert len(reason.title) <= 40
    assert reason.status in STATUSES
    assert reason.urn == f"urn:epochgate:reason:{reason.code}"
    assert reason.validation == int(reason.code[2])


def test_the_table_is_in_the_order_of_its_codes() -> None:
    codes = [reason.code for reason in Reason]
    assert codes == sorted(codes)


@pytest.mark.parametrize("reason", [r for r in Reason if r.validation], ids=lambda r: r.code)
def test_a_closed_gate_is_503_and_a_refused_request_403(reason: Reason) -> None:
    """A client may try again elsewhere after 503; it must change its request after 403."""
    refused = {
        Reason.POLICY_DENY, Reason.PARENT_DENIED, Reason.ROUTE_UNKNOWN,
        Reason.UPSTREAM_MISMATCH, Reason.NOT_REDIRECTED,
    }  # fmt: skip
    assert reason.status == (403 if reason in refused else 503)


def test_what_is_forged_or_held_is_not_worth_a_retry() -> None:
    for reason in (
        Reason.POLICY_DENY,
        Reason.SIG_INVALID,
        Reason.EQUIVOCATION,
        Reason.HALT_GLOBAL,
        Reason.STATE_CORRUPT,
    ):
        assert not reason.retryable


def test_an_error_carries_its_reason_and_one_line() -> None:
    error = ProtocolError(Reason.SIG_INVALID, "by nobody")
    assert (error.reason, error.detail) == (Reason.SIG_INVALID, "by nobody")
    assert str(error) == "EG601 Signature is not valid: by nobody"
