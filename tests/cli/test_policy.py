"""`epochgate policy`: what the three commands print, write and return."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import epochgate, text
from sidecar.cli.policy import load_policy, load_routes, policy
from sidecar.core import canonical
from sidecar.core import policy as core_policy
from sidecar.core import routes as core_routes

POLICIES = Path(__file__).resolve().parent.parent.parent / "policies"
OPENAI = POLICIES / "openai.yaml"
TABLE = POLICIES / "openai.routes.yaml"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(policy, [str(argument) for argument in arguments])


def broken(folder: Path) -> Path:
    file = folder / "broken.yaml"
    file.write_text(OPENAI.read_text().replace("failurePolicy: Fail", "failurePolicy: Open"))
    return file


def empty(folder: Path) -> Path:
    file = folder / "empty.yaml"
    file.write_text(
        "apiVersion: epochgate.io/v1alpha1\nkind: GatePolicyTest\nmetadata: {name: n}\n"
        f"spec: {{policies: [{OPENAI}], routes: {TABLE}, cases: []}}\n"
    )
    return file


def failing(folder: Path) -> Path:
    file = empty(folder)
    case = "{name: c, given: {request: {method: POST, path: /sleep}}, expect: {decision: permit}}"
    file.write_text(file.read_text().replace("cases: []", f"cases: [{case}]"))
    return file


def test_the_bytes_that_other_commands_load_are_what_a_sidecar_compiles() -> None:
    assert core_policy.parse(load_policy(OPENAI)).name == "openai"
    assert core_routes.parse(load_routes(TABLE)).name == "openai"


def test_check_prints_kind_size_and_digest_of_each_file() -> None:
    done = run("check", OPENAI, TABLE)
    assert done.exit_code == 0
    header, first, second = done.output.splitlines()
    assert header.split() == ["FILE", "KIND", "BYTES", "SHA256"]
    raw = load_policy(OPENAI)
    assert first.split() == [str(OPENAI), "GatePolicy", str(len(raw)), canonical.digest(raw)]
    assert second.split()[1] == "RouteTable"


def test_check_as_json_says_the_same() -> None:
    value = json.loads(run("check", OPENAI, "-o", "json").output)
    assert [row["sha256"] for row in value] == [canonical.digest(load_policy(OPENAI))]


def test_check_says_what_is_wrong_and_still_judges_the_other_files(tmp_path: Path) -> None:
    done = run("check", broken(tmp_path), OPENAI, broken(tmp_path))
    assert done.exit_code == 65
    assert str(OPENAI) in done.stdout
    assert done.stderr.count("error: ") == 2
    assert "spec.failurePolicy: 'Open' is not Fail" in done.stderr


def test_build_writes_the_canonical_bytes_and_prints_their_digest(tmp_path: Path) -> None:
    out = tmp_path / "policy.json"
    done = run("build", OPENAI, "--out", out)
    assert done.exit_code == 0
    assert out.read_bytes() == load_policy(OPENAI)
    assert canonical.digest(out.read_bytes()) in done.output
    assert f" {out.stat().st_size} " in done.output


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    run("build", OPENAI, "--out", first)
    assert run("build", first, "--out", second).exit_code == 0
    assert first.read_bytes() == second.read_bytes()


def test_build_writes_nothing_for_a_file_that_is_wrong(tmp_path: Path) -> None:
    out = tmp_path / "policy.json"
    assert run("build", broken(tmp_path), "--out", out).exit_code == 65
    assert not out.exists()


def test_test_passes_over_what_is_no_test_in_a_folder() -> None:
    done = run("test", POLICIES)
    assert done.exit_code == 0
    assert "FAIL" not in done.output
    assert "no case is decided by" not in done.output
    assert "cases passed" in done.output.splitlines()[-1]


def test_a_folder_named_invalid_is_passed_over(tmp_path: Path) -> None:
    empty(tmp_path)
    wrong = tmp_path / "invalid" / "deeper"
    wrong.mkdir(parents=True)
    (wrong / "wrong.yaml").write_text("kind: [")
    assert run("test", tmp_path).exit_code == 0
    assert run("test", tmp_path / "invalid").exit_code == text.BAD_DATA


def test_test_exits_with_2_when_a_case_fails_and_shows_both_sides(tmp_path: Path) -> None:
    done = run("test", failing(tmp_path))
    assert done.exit_code == 2
    line = next(line for line in done.stdout.splitlines() if line.startswith("FAIL"))
    assert line.split() == ["FAIL", "openai.yaml", "c", "permit", "deny", "EG204", "deny-sleep"]
    assert "1 of 1 cases failed" in done.stderr
    assert "rule permit-inference" in done.stdout


def test_test_as_json_names_failures_and_rules_without_a_case(tmp_path: Path) -> None:
    value = json.loads(run("test", failing(tmp_path), "-o", "json").stdout)
    assert value["cases"][0]["result"] == "FAIL"
    assert {"policy": str(OPENAI), "rule": "permit-models"} in value["undecided"]
    assert "deny-sleep" not in {row["rule"] for row in value["undecided"]}


@pytest.mark.parametrize(("flags", "code"), [((), 0), (("--fail-on-empty",), 2)])
def test_no_case_is_a_failure_only_when_asked(
    tmp_path: Path, flags: tuple[str, ...], code: int
) -> None:
    assert run("test", empty(tmp_path), *flags).exit_code == code
    (tmp_path / "none").mkdir()
    assert run("test", tmp_path / "none", *flags).exit_code == code


def test_test_refuses_a_file_of_another_kind_when_it_is_named() -> None:
    done = run("test", OPENAI)
    assert (done.exit_code, done.stdout) == (65, "")
    assert "must be GatePolicyTest" in done.stderr


def test_test_refuses_a_test_of_a_policy_that_is_wrong(tmp_path: Path) -> None:
    file = empty(tmp_path)
    file.write_text(file.read_text().replace(str(OPENAI), str(broken(tmp_path))))
    assert run("test", file).exit_code == 65


@pytest.mark.parametrize("command", ["check", "test", "build"])
def test_help_ends_with_an_example(command: str) -> None:
    lines = run(command, "--help").output.rstrip().splitlines()
    assert lines[-1].strip().startswith(f"Example: epochgate policy {command} ")


def test_the_root_command_knows_it() -> None:
    assert CliRunner().invoke(epochgate, ["policy", "check", str(OPENAI)]).exit_code == 0
