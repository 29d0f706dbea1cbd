"""`epochgate policy explain`, as it is called."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sidecar.cli.policy import policy
from tests.cli.workbench.made import CHAT, MODELS, policy_file, table_file

CANARY = "'x-canary' in request.headers && request.headers['x-canary'] == 'true'"
DENY = (
    "{name: canary, action: deny, paths: [/v1/**], "
    f'matchConditions: [{{name: is-canary, expression: "{CANARY}"}}]}}'
)
FRESH = "epoch.age < duration('1s') || variables.gold"
PICKY = CHAT[:-1] + (f', validations: [{{name: fresh, expression: "{FRESH}", message: too old}}]}}')
GOLD = "[{name: gold, expression: \"request.tenant == 'acme'\"}]"

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    file = policy_file(tmp_path, "p", [DENY, PICKY, MODELS], variables=GOLD)
    table = table_file(tmp_path)

    def run(*words: object) -> Result:
        said = ["explain", str(file), "--routes", str(table), *(str(word) for word in words)]
        return CliRunner().invoke(policy, said)

    return run


def told(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    value: dict[str, Any] = json.loads(done.stdout)
    return value


CHATS = ("--method", "POST", "--path", "/v1/chat")


def test_the_clause_that_denies_is_shown_with_its_values(call: Call) -> None:
    out = call(*CHATS, "-H", "x-tenant: zed", "--set", "epoch.age=2s").stdout
    assert out.startswith(
        "POST /v1/chat: deny EG204 policy-deny\n  rule chat: validation fresh is "
    )
    assert "  the client is told: too old\n" in out
    rows = [line.split(maxsplit=3) for line in out.splitlines()]
    assert ["canary", "deny", "passed", "over  condition is-canary is false"] in rows
    assert 'epoch.age                                     duration("2s")' in out
    assert f"{FRESH}  false" in out
    assert "gold      false" in out


def test_the_same_for_programs(call: Call) -> None:
    value = told(call(*CHATS, "--set", "epoch.age=2s", "-o", "json"))
    assert (value["decision"], value["rule"], value["clause"]) == ("deny", "chat", "fresh")
    assert [(rule["rule"], rule["result"]) for rule in value["rules"]] == [
        ("canary", "passed over"), ("chat", "decides"),
    ]  # fmt: skip
    last = value["rules"][-1]["asked"][-1]
    assert (last["what"], last["name"], last["holds"]) == ("validation", "fresh", False)
    assert {"text": "epoch.age", "value": 'duration("2s")'} in last["parts"]
    assert value["variables"] == {"gold": "false"}


@pytest.mark.parametrize(
    ("words", "decision", "because"),
    [
        (("--path", "/v1/models"), "permit", "rule models: all hold: path /v1/models, method GET"),
        ((*CHATS, "-H", "x-canary: true"), "deny", "rule canary: all hold: path /v1/**, "),
        (("--path", "/v1/none"), "deny", "no rule matches, and what no rule permits is denied"),
        (("--path", "/none"), "deny", "no route takes the path, so nobody asked the policy"),
        (("--path", "/v1/health"), "exempt", "the target is exempt"),
        (("--path", "/v1/models", "--set", "lease=none"), "deny", "the gate is closed"),
    ],
)  # fmt: skip
def test_one_line_says_why(call: Call, words: Any, decision: str, because: str) -> None:
    value = told(call(*words, "-o", "json"))
    assert value["decision"] == decision
    assert value["because"][0].startswith(because)


def test_a_request_comes_from_a_file_and_options_win(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text('{"request": {"method": "POST", "path": "/v1/chat"}, "epoch": {"age": "2s"}}')
    assert told(call("-f", file, "-o", "json"))["decision"] == "deny"
    assert told(call("-f", file, "--set", "epoch.age=0s", "-o", "json"))["decision"] == "permit"


def test_what_an_expression_cannot_tell_is_denied_and_said(tmp_path: Path) -> None:
    rule = (
        CHAT[:-1] + ", matchConditions: [{name: c, expression: \"request.headers['x'] == 'y'\"}]}"
    )
    file, table = policy_file(tmp_path, "p", [rule]), table_file(tmp_path)
    done = CliRunner().invoke(policy, ["explain", str(file), "--routes", str(table), *CHATS])
    assert done.stdout.startswith("POST /v1/chat: deny EG203 policy-invalid\n")
    assert "rule chat: condition c is error: no such key" in done.stdout


def test_an_observed_policy_lets_through_and_it_is_said(tmp_path: Path) -> None:
    file, table = policy_file(tmp_path, "p", [CHAT], mode="observe"), table_file(tmp_path)
    words = ["explain", str(file), "--routes", str(table), "--path", "/v1/none", "-o", "json"]
    value = told(CliRunner().invoke(policy, words))
    assert (value["decision"], value["reason"], value["observed"]) == ("permit", "EG204", True)


def test_budgets_deny_before_the_rules_are_asked(tmp_path: Path) -> None:
    file = policy_file(tmp_path, "p", [CHAT], budgets="{tenants: [acme]}")
    words = ["explain", str(file), "--routes", str(table_file(tmp_path)), *CHATS, "-o", "json"]
    value = told(CliRunner().invoke(policy, [*words, "-H", "x-tenant: zed"]))
    assert value["because"] == ["its model or tenant is none that the budgets of the policy name"]
    assert told(CliRunner().invoke(policy, [*words, "-H", "x-tenant: acme"]))["rule"] == "chat"
