"""Fault words are labels of metrics: a closed set that dashboards rely on."""

from sidecar.core.fault import Fault, PeerError


def test_words_are_those_that_dashboards_know() -> None:
    assert {fault.value for fault in Fault} == {
        "refused", "timeout", "closed", "protocol", "denied", "oversize", "wrong_type",
    }  # fmt: skip


def test_error_says_its_word_and_its_detail() -> None:
    error = PeerError(Fault.OVERSIZE, "5 bytes, 4 of the limit left")
    assert (error.kind, str(error)) == ("oversize", "oversize: 5 bytes, 4 of the limit left")
