"""What cases have tried of a policy, and what they have not."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import cases
from sidecar.cli.policy import policy
from sidecar.cli.workbench import coverage
from tests.cli.workbench.made import CHAT, MODELS, policy_file, table_file

PICKY = CHAT[:-1] + (
    ", matchConditions: [{name: gold, expression: \"request.headers['tier'] == 'gold'\"}]"
    ", validations: [{name: fresh, expression: \"epoch.age < duration('1s')\"}]}"
)
ALWAYS = "[{name: known, expression: \"request.tenant != ''\"}]"
CHATS = "request: {method: POST, path: /v1/chat, "


@pytest.fixture
def file(tmp_path: Path) -> Path:
    policy_file(tmp_path, "p", [PICKY, MODELS], validations=ALWAYS)
    table_file(tmp_path)
    return tmp_path / "cases.yaml"


def write(file: Path, *given: str) -> None:
    lines = [
        f"    - {{name: c{number}, given: {{{one}}}, expect: {{decision: deny}}}}"
        for number, one in enumerate(given)
    ]
    file.write_text(
        "apiVersion: epochgate.io/v1alpha1\nkind: GatePolicyTest\nmetadata: {name: n}\n"
        "spec:\n  policies: [p.yaml]\n  routes: routes.yaml\n  cases:\n" + "\n".join(lines) + "\n"
    )


def measured(file: Path) -> coverage.Coverage:
    suite = cases.load(file)
    assert suite is not None
    (found,) = coverage.measure([suite])
    return found


def test_what_no_case_has_tried_is_named(file: Path) -> None:
    write(file, CHATS + "headers: [{name: tier, value: gold}], tenant: a}, epoch: {age: 2s}")
    found = measured(file)
    assert found.untried == [
        "rule chat: condition gold is false",
        "rule chat: validation fresh is true",
        "rule models decides",
        "validation known is false",
    ]
    assert found.percent == 50.0


def test_a_case_that_the_policy_was_not_asked_about_tries_nothing(file: Path) -> None:
    write(file, CHATS + "tenant: a}, lease: none")
    assert measured(file).percent == 0.0


def test_what_fails_is_neither_true_nor_false(file: Path) -> None:
    write(file, CHATS + "tenant: a}")  # without the header that the condition looks for
    assert measured(file).percent == 0.0


def test_cases_of_several_files_add_up(file: Path) -> None:
    write(file, "request: {path: /v1/models, tenant: a}")
    other = file.with_name("more.yaml")
    write(other, "request: {path: /v1/models}")
    suites = [suite for one in (file, other) if (suite := cases.load(one)) is not None]
    (found,) = coverage.measure(suites)
    assert "rule models decides" not in found.untried
    assert "validation known is false" not in found.untried


def call(*arguments: object) -> Result:
    return CliRunner().invoke(policy, ["test", *(str(argument) for argument in arguments)])


def test_policy_test_shows_it_and_can_ask_for_more(file: Path) -> None:
    write(file, CHATS + "headers: [{name: tier, value: gold}], tenant: a}, epoch: {age: 2s}")
    assert "tried" not in call(file).stdout
    out = call(file, "--coverage").stdout
    assert f"50.0% of {file.parent}/p.yaml was tried\n" in out
    assert "  not tried  rule models decides\n" in out
    assert call(file, "--threshold", "50").exit_code == 0
    done = call(file, "--threshold", "51")
    assert done.exit_code == 2
    assert "50.0% of" in done.stderr
    value = json.loads(call(file, "--coverage", "-o", "json").stdout)
    assert (value["coverage"][0]["percent"], len(value["coverage"][0]["untried"])) == (50.0, 4)
