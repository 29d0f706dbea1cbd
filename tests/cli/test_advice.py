"""Every reason has a text, in the order of the table."""

from sidecar.cli.advice import ADVICE
from sidecar.core.reason import Reason


def test_every_reason_has_advice_and_nothing_else_has() -> None:
    assert list(ADVICE) == [reason.code for reason in Reason]
    assert all(advice.means and advice.check for advice in ADVICE.values())
