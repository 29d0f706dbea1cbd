"""What a follower is told once."""

from sidecar.core.facts import Workload
from sidecar.core.lease import Terms
from sidecar.core.quorum import PeerId
from sidecar.core.setting import JITTER, Setting, report_ms
from tests import covering


def test_a_report_is_due_in_every_round_that_nobody_hurried_along() -> None:
    """The earliest one comes a jitter before the poll interval is over."""
    assert report_ms(250) == 225 == int(250 * (1 - JITTER))


def test_a_sidecar_that_is_told_no_more_reports_nothing_and_has_no_name() -> None:
    setting = Setting("model", "here", (PeerId("a"),), 1, Terms(4000, 500, 2000), 250)
    assert (setting.identity, setting.instance) == (None, "")
    assert setting.here == Workload(service="model", region="here")


def test_policies_are_told_who_reports() -> None:
    who = covering.identity()
    setting = Setting(
        "model", "here", (PeerId("a"),), 1, Terms(4000, 500, 2000), 250, instance=who.instance,
        identity=who,
    )  # fmt: skip
    assert setting.here == Workload("model", "here", who.instance, who.key_id)
