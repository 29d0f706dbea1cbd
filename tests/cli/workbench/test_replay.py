"""`epochgate policy replay`, as it is called."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sidecar.cli.policy import policy
from tests.audit import journals
from tests.cli.workbench.made import (
    CHAT,
    LAPSED,
    MODELS,
    OPS,
    Asked,
    policy_file,
    request,
    table_file,
    write_log,
)

BOOT = journals.BOOT


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three permits of chat, a denial of models, one of /ops, one without route, one by a lapse."""
    requests: list[Asked] = [
        *[request("POST", "/v1/chat?key=secret")] * 3,
        request("GET", "/v1/models"),
        request("GET", "/ops/reset"),
        request("GET", "/nowhere"),
        LAPSED,
    ]
    old = policy_file(tmp_path, "old", [CHAT, OPS])
    return write_log(tmp_path / "audit", old, table_file(tmp_path), requests)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(policy, ["replay", *(str(argument) for argument in arguments)])


def said(log: Path, *rules: str, **more: str) -> dict[str, Any]:
    new = policy_file(log.parent, "new", rules, **more)
    table = log.parent / "routes.yaml"
    done = call("--audit", log, "--candidate", new, "--routes", table, "-o", "json")
    assert done.exit_code == 0, done.output
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def flips(value: dict[str, Any], kind: str) -> list[tuple[Any, ...]]:
    return [
        (one["was"]["reason"], one["was"]["rule"], one["route"], one["now"]["reason"],
         one["now"]["rule"], one["count"])
        for one in value["groups"]
        if one["kind"] == kind
    ]  # fmt: skip


def test_the_policy_that_was_in_force_flips_nothing(log: Path) -> None:
    value = said(log, CHAT, OPS)
    assert value["kinds"]["same"] == 6
    assert value["not_replayable"] == {"not of the policy: EG102 lease-expired": 1}
    assert (value["decisions"], value["records"]) == (7, 10)
    assert value["logs"][0]["result"] == "verified"


def test_what_a_candidate_denies_is_named_with_rule_and_route(log: Path) -> None:
    value = said(log, "{name: no-chat, action: deny, paths: [/v1/chat]}", CHAT, OPS)
    assert flips(value, "permit->deny") == [(None, "chat", "inference", "EG204", "no-chat", 3)]
    flip = next(one for one in value["groups"] if one["kind"] == "permit->deny")
    assert flip["examples"] == [f"{BOOT}-0", f"{BOOT}-2", f"{BOOT}-4"]


def test_what_a_candidate_permits_is_named(log: Path) -> None:
    value = said(log, CHAT, MODELS, OPS)
    assert flips(value, "deny->permit") == [("EG204", None, None, None, "models", 1)]


def test_another_rule_with_the_same_verdict_is_no_flip(log: Path) -> None:
    value = said(log, CHAT.replace("chat,", "talk,", 1), OPS)
    assert flips(value, "other rule or reason") == [(None, "chat", "inference", None, "talk", 3)]


def test_a_candidate_that_observes_would_deny(log: Path) -> None:
    value = said(log, OPS, mode="observe")
    assert flips(value, "permit->would deny") == [(None, "chat", "inference", "EG204", None, 3)]
    assert value["kinds"]["deny->permit"] == 2  # it lets through what was denied


def test_without_a_route_table_what_no_route_took_is_unknown(log: Path) -> None:
    new = policy_file(log.parent, "new", [CHAT])
    value = json.loads(call("--audit", log, "--candidate", new, "-o", "json").stdout)
    assert value["not_replayable"]["no route took it; give --routes"] == 1


def test_another_route_table_is_on_trial_too(log: Path) -> None:
    table = table_file(log.parent, (log.parent / "routes.yaml").read_text().replace("/v1/**", "/x"))
    new = policy_file(log.parent, "new", [CHAT, OPS])
    done = call("--audit", log, "--candidate", new, "--routes", table, "-o", "json")
    assert flips(json.loads(done.stdout), "permit->deny") == [
        (None, "chat", "inference", "EG302", None, 3)
    ]


@pytest.mark.parametrize(
    ("rules", "way", "code"),
    [
        ([OPS], "permit-to-deny", 83), ([OPS], "deny-to-permit", 0), ([OPS], "any", 83),
        ([CHAT, MODELS], "deny-to-permit", 83), ([CHAT, MODELS], "permit-to-deny", 0),
        ([CHAT, OPS], "any", 0),
    ],
)  # fmt: skip
def test_a_flip_can_fail_a_pipeline(log: Path, rules: list[str], way: str, code: int) -> None:
    new = policy_file(log.parent, "new", rules)
    assert call("--audit", log, "--candidate", new, "--fail-on-flip", way).exit_code == code


def test_the_table_is_for_people(log: Path) -> None:
    new = policy_file(log.parent, "new", [MODELS, OPS])
    out = call("--audit", log, "--candidate", new).stdout
    assert out.startswith(f"verified: journal {log}\n")
    assert "taken for granted: a live lease, no halt, each recorded header sent once" in out
    line = next(line for line in out.splitlines() if line.startswith("permit->deny  3"))
    assert line.split()[2:6] == ["permit", "chat", "inference", "EG204"]
    assert "not of the policy: EG102 lease-expired  deny  -      1" in out


def test_a_log_that_was_changed_is_refused_and_nothing_is_shown(log: Path) -> None:
    segment = log / "00000000.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"permit"', b'"deny"', 1))
    done = call("--audit", log, "--candidate", policy_file(log.parent, "new", [CHAT]))
    assert done.exit_code == 80
    assert "log is not as signed" in done.stderr
    assert done.stdout == ""


def test_a_log_can_be_read_without_being_verified_and_that_is_said(log: Path) -> None:
    new = policy_file(log.parent, "new", [CHAT])
    for place, flag in ((log, "--insecure-no-verify"), (log / "00000000.jsonl", "-otable")):
        out = call("--audit", place, "--candidate", new, flag, "-o", "json").stdout
        value = json.loads(out)
        assert (value["logs"][0]["result"], value["decisions"]) == ("not verified", 7)


def test_a_time_can_be_asked_for(log: Path) -> None:
    new = policy_file(log.parent, "new", [CHAT])
    words = ("--since", "2027-01-15T08:00:00.001Z", "--until", "2027-01-15T08:00:00.003Z")
    value = json.loads(call("--audit", log, "--candidate", new, *words, "-o", "json").stdout)
    assert (value["decisions"], value["outside"]) == (2, 5)


def test_where_the_pods_are_can_be_told(log: Path) -> None:
    rule = CHAT[:-1] + ", validations: [{name: here, expression: \"workload.region == 'eu'\"}]}"
    new = policy_file(log.parent, "new", [rule])
    told = call("--audit", log, "--candidate", new, "--region", "eu", "-o", "json").stdout
    assert json.loads(told)["kinds"]["same"] == 3 + 1
    unknown = said(log, rule)["not_replayable"]
    assert unknown["not recorded: workload.region: give --region"] == 3


def test_headers_that_an_earlier_policy_listed_were_not_sent(tmp_path: Path) -> None:
    old = policy_file(tmp_path, "old", [CHAT], audit="{headers: [x-canary]}")
    requests = [request("POST", "/v1/chat", x_canary="yes"), request("POST", "/v1/chat")]
    log = write_log(tmp_path / "audit", old, table_file(tmp_path), requests)
    deny = "{name: no, action: deny, paths: [/v1/**], headers: [{name: x-canary, value: 'yes'}]}"
    assert said(log, deny, CHAT)["kinds"] | {"same": 0} == {
        "deny->permit": 0, "permit->deny": 1, "permit->would deny": 0, "other rule or reason": 0,
        "same": 0, "not replayable": 1,
    }  # fmt: skip
    new = policy_file(tmp_path, "new", [deny, CHAT])
    known = call("--audit", log, "--candidate", new, "--recorded-under", old, "-o", "json").stdout
    assert json.loads(known)["kinds"]["same"] == 1
