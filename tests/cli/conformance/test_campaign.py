"""Which checks are chosen, and the command as a person runs it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli import epochgate
from sidecar.cli.conformance import campaign, checks
from sidecar.cli.conformance.items import ITEMS
from sidecar.cli.text import CliError


def names(*only: str) -> set[str]:
    return {check.name for check in campaign.chosen(checks.EVERY, only)}


def test_all_are_chosen_when_nothing_is_named() -> None:
    assert names() == {check.name for check in checks.EVERY if not check.pending}


def test_an_item_a_section_or_a_check_is_chosen() -> None:
    assert names("4.6") == {"minority", "lost_peers"}
    assert names("rolled_back") == {"rolled_back"}
    assert {"silent_authority", "rolled_back"} <= names("4")
    assert "killed_gate" not in names("4")


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(CliError, match=r"11\.1"):
        names("11.1")


def test_items_are_listed_with_their_checks() -> None:
    done = CliRunner().invoke(epochgate, ["conformance", "--list", "-o", "json"])
    found = {row["item"]: row for row in json.loads(done.stdout)}
    assert list(found) == [item.id for item in ITEMS]
    assert "minority" in found["4.6"]["checks"]
    assert found["8.7"]["checks"] == ["traced_request", "descended_request"]
    table = CliRunner().invoke(epochgate, ["conformance", "--list"])
    assert [line for line in table.stdout.splitlines() if line.startswith("8.7 ")]


def test_a_sidecar_that_is_not_there_does_not_conform() -> None:
    done = CliRunner().invoke(
        epochgate, ["conformance", "--against", "http://127.0.0.1:1", "--only", "available_status"]
    )
    assert done.exit_code == 1
    assert "/livez answered 0" in done.output
    assert "not run" in done.output


def test_one_check_on_a_deployment_of_its_own_leaves_nothing(tmp_path: Path) -> None:
    arguments = ["conformance", "--only", "traced_request", "-o", "json"]
    done = CliRunner(env={"TMPDIR": str(tmp_path)}).invoke(epochgate, arguments)
    assert done.exit_code == 0, done.output
    rows = {row["item"]: row for row in json.loads(done.stdout)["items"]}
    assert rows["8.3"]["result"] == "held"
    assert rows["8.7"]["result"] == "held"
    assert rows["1.1"]["result"] == "not run"
    assert list(tmp_path.iterdir()) == []
