"""`epochgate conformance --against`: a sidecar that somebody else runs is only looked at."""

import json

import pytest
from click.testing import CliRunner

from sidecar.cli import epochgate
from sidecar.cli.conformance import checks
from tests.conformance.conftest import Running

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_a_running_sidecar_conforms_from_outside_and_nothing_is_changed(running: Running) -> None:
    gate = running.deployment.here
    arrived, view = running.deployment.arrived(), gate.view
    arguments = ["--against", f"{view.status},{view.inbound}", "--audit", str(view.journal)]
    done = CliRunner().invoke(epochgate, ["conformance", *arguments, "-o", "json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert [one["check"] for one in said["checks"]] == [check.name for check in checks.ON_VIEW]
    rows = {row["item"]: row["result"] for row in said["items"]}
    assert (rows["3.1"], rows["4.6"]) == ("held", "not run")
    assert running.deployment.arrived() == arrived
