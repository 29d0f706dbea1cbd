"""`epochgate audit lineage` and `query --parent`, as they are called."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli.audit import audit
from tests.audit.test_lineage import ALPHA, BETA, write


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a-0 has the children b-0 and b-1; b-1 has a-1."""
    folder = tmp_path_factory.mktemp("pods")
    write(folder / "alpha", ALPHA, [None, f"{BETA}-1"])
    write(folder / "beta", BETA, [f"{ALPHA}-0", f"{ALPHA}-0"])
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(audit, [str(argument) for argument in arguments])


def test_a_family_is_a_tree_with_the_one_that_was_asked_for_marked(pods: Path) -> None:
    done = call("lineage", f"{BETA}-1", pods / "alpha", pods / "beta")
    assert done.exit_code == 0
    first, second, third = done.stdout.splitlines()
    assert first.startswith("  2027-01-15T08:00:00.000Z deny EG204 policy-deny POST /v1/chat")
    assert first.endswith(f"id={ALPHA}-0 at=pod")
    assert second.startswith(">   2027-")
    assert second.endswith(f"id={BETA}-1 parent={ALPHA}-0 at=pod")
    assert third.startswith("      2027-")
    assert f"id={ALPHA}-1 parent={BETA}-1" in third


def test_the_journals_of_one_folder_are_searched_together(pods: Path) -> None:
    assert len(call("lineage", f"{ALPHA}-0", pods).stdout.splitlines()) == 4


def test_a_parent_in_a_pod_whose_journal_was_not_given_is_said_to_be_missing(pods: Path) -> None:
    done = call("lineage", f"{BETA}-1", pods / "beta")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == f"  missing id={ALPHA}-0"


def test_a_decision_that_no_journal_holds_exits_1(pods: Path) -> None:
    done = call("lineage", "\x1b[2J", pods)
    assert (done.exit_code, done.stdout) == (1, "> missing id=\\x1b[2J\n")


def test_for_programs_it_is_a_list_with_the_records(pods: Path) -> None:
    done = call("lineage", f"{BETA}-1", pods / "beta", "-o", "json")
    missing, asked = json.loads(done.stdout)
    assert missing == {"decision_id": f"{ALPHA}-0", "depth": 0, "record": None}
    assert (asked["depth"], asked["record"]["parent_id"]) == (1, f"{ALPHA}-0")


def test_without_a_folder_it_says_what_is_missing() -> None:
    done = call("lineage", f"{BETA}-1")
    assert done.exit_code == 2
    assert "FOLDER" in done.stderr


def test_a_query_finds_the_children_of_a_decision(pods: Path) -> None:
    lines = call("query", pods, "--parent", f"{ALPHA}-0").stdout.splitlines()
    assert [line.split("id=")[1].split()[0] for line in lines] == [f"{BETA}-0", f"{BETA}-1"]
    assert call("query", pods, "--parent", f"{ALPHA}-1").exit_code == 1
