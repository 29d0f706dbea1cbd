"""`epochgate policy diff`, as it is called."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli.policy import policy
from tests.cli.workbench.made import CHAT, MODELS, OPS, policy_file


def call(*arguments: object) -> Result:
    return CliRunner().invoke(policy, ["diff", *(str(argument) for argument in arguments)])


def test_files_that_say_the_same_have_no_difference(tmp_path: Path) -> None:
    one = policy_file(tmp_path, "one", [CHAT])
    two = tmp_path / "two.yaml"
    two.write_text("# a comment\n" + one.read_text().replace("[POST]", "['POST']"))
    done = call(one, two)
    assert (done.exit_code, done.stdout) == (0, "no difference\n")


def test_a_difference_exits_with_83_and_says_what_it_does(tmp_path: Path) -> None:
    one, two = (policy_file(tmp_path, "p", rules) for rules in ([CHAT], [CHAT]))
    two = two.rename(tmp_path / "q.yaml")
    one = policy_file(tmp_path, "p", [CHAT, MODELS])
    done = call(two, one)
    assert done.exit_code == 83
    header, row, end = done.stdout.splitlines()
    assert header.split() == ["WHERE", "WHAT", "BEFORE", "AFTER", "EFFECT"]
    assert row.split() == ["rule", "models", "added", "permit", "GET", "/v1/models", "loosens"]
    assert end == "1 differences: loosens: nothing that is permitted now will be denied"


def test_a_bundle_can_be_compared_with_its_source(tmp_path: Path) -> None:
    file = policy_file(tmp_path, "p", [CHAT])
    built = tmp_path / "built.json"
    CliRunner().invoke(policy, ["build", str(file), "--out", str(built)])
    assert call(file, built).exit_code == 0


def test_differences_for_programs(tmp_path: Path) -> None:
    one, two = (
        policy_file(tmp_path, name, rules) for name, rules in (("a", [CHAT, OPS]), ("b", [OPS]))
    )
    value = json.loads(call(one, two, "-o", "json").stdout)
    assert value["effect"] == "tightens"
    assert value["changes"][0] == {
        "where": "rule chat", "what": "removed", "before": "permit POST /v1/chat", "after": None,
        "effect": "tightens",
    }  # fmt: skip
    assert [change["where"] for change in value["changes"]] == ["rule chat", "name"]


@pytest.mark.parametrize("size", [100, 3000])
def test_a_long_text_is_cut_in_the_table_only(tmp_path: Path, size: int) -> None:
    long = CHAT.replace("/v1/chat", "/" + "x" * size)
    one, two = (
        policy_file(tmp_path, name, rules) for name, rules in (("a", [CHAT]), ("b", [long]))
    )
    assert "x" * 100 not in call(one, two).stdout
    assert "x" * size in call(one, two, "-o", "json").stdout
