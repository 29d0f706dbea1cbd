"""Policy tests: cases are judged by `decide`, and a wrong expectation is seen."""

from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.cli import cases
from sidecar.cli.cases import Expected, Suite
from sidecar.cli.resource import ResourceError

HEAD = "apiVersion: epochgate.io/v1alpha1\nkind: {kind}\nmetadata: {{name: n}}\nspec:\n"
POLICY = (
    HEAD.format(kind="GatePolicy")
    + """\
  rules:
    - {name: stop, action: deny, paths: [/v1/stop]}
    - name: chat
      action: permit
      methods: [POST]
      paths: [/v1/**]
      headers: [{name: x-tier, value: gold}]
    - {name: shadowed, action: permit, methods: [POST], paths: [/v1/stop]}
"""
)
ROUTES = (
    HEAD.format(kind="RouteTable")
    + """\
  upstreams: {model: "127.0.0.1:8000"}
  routes: [{name: v1, paths: [/v1/**], upstream: model}]
  exempt: [{target: /health, upstream: model}]
"""
)
DEFAULTS = "{request: {method: POST, path: /v1/chat, headers: [{name: X-Tier, value: ' gold '}]}}"


def write(
    folder: Path, listed: str, *, defaults: str = DEFAULTS, policies: str = "[p.yaml]"
) -> Path:
    (folder / "p.yaml").write_text(POLICY)
    (folder / "r.yaml").write_text(ROUTES)
    spec = f"  policies: {policies}\n  routes: r.yaml\n  defaults: {defaults}\n  cases: {listed}\n"
    file = folder / "t.yaml"
    file.write_text(HEAD.format(kind="GatePolicyTest") + spec)
    return file


def suite(folder: Path, given: str, expect: str = "{decision: permit}") -> Suite:
    loaded = cases.load(write(folder, f"[{{name: c, given: {given}, expect: {expect}}}]"))
    assert loaded is not None
    return loaded


def found(folder: Path, given: str) -> Expected:
    return cases.run(suite(folder, given))[0].found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{}", Expected("permit", None, "chat", "v1", observed=False)),
        ("{lease: none}", Expected("deny", "EG905", observed=False)),
        ("{request: {method: GET}}", Expected("deny", "EG204", observed=False)),
        ("{request: {path: /v1/stop}}", Expected("deny", "EG204", "stop", observed=False)),
        ("{request: {path: /v1/%63hat}}", Expected("deny", "EG302", observed=False)),
        (
            "{request: {path: '/v1/chat?a=/../b'}}",
            Expected("permit", None, "chat", "v1", observed=False),
        ),
        ("{request: {headers: []}}", Expected("deny", "EG204", observed=False)),
        (
            "{request: {method: GET, path: /health}, lease: none}",
            Expected("exempt", observed=False),
        ),
        (
            "{request: {method: GET, path: '/health?x'}, lease: none}",
            Expected("deny", "EG905", observed=False),
        ),
    ],
)
def test_a_case_is_decided_as_a_pod_would(tmp_path: Path, given: str, expected: Expected) -> None:
    assert found(tmp_path, given) == expected


@pytest.mark.parametrize(
    ("expect", "passes"),
    [
        ("{decision: deny}", True),
        ("{decision: deny, reason: EG204, rule: stop}", True),
        ("{decision: permit}", False),
        ("{decision: exempt}", False),
        ("{decision: deny, reason: EG302}", False),
        ("{decision: deny, rule: chat}", False),
        ("{decision: deny, route: v1}", False),
    ],
)
def test_a_case_fails_when_anything_it_states_differs(
    tmp_path: Path, expect: str, *, passes: bool
) -> None:
    made = suite(tmp_path, "{request: {path: /v1/stop}}", expect)
    assert [result.passed for result in cases.run(made)] == [passes]


def test_a_route_that_differs_fails_a_permitted_case(tmp_path: Path) -> None:
    made = suite(tmp_path, "{}", "{decision: permit, route: other}")
    assert [result.passed for result in cases.run(made)] == [False]


def test_every_policy_of_a_file_is_judged_by_every_case(tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text(HEAD.format(kind="GatePolicy") + "  rules: []\n")
    listed = "[{name: c, expect: {decision: permit}}]"
    made = cases.load(write(tmp_path, listed, policies="[p.yaml, q.yaml]"))
    assert made is not None
    assert [result.passed for result in cases.run(made)] == [True, False]


def test_a_rule_that_no_case_is_decided_by_is_named(tmp_path: Path) -> None:
    made = suite(tmp_path, "{request: {path: /v1/stop}}")
    file = tmp_path / "p.yaml"
    assert cases.undecided([made], cases.run(made)) == [(file, "chat"), (file, "shadowed")]


def test_rules_count_as_decided_across_files_that_name_the_same_policy(tmp_path: Path) -> None:
    first, second = suite(tmp_path, "{}"), suite(tmp_path, "{request: {path: /v1/stop}}")
    here = tmp_path / "x" / ".." / "p.yaml"
    (tmp_path / "x").mkdir()
    second = replace(second, policies=((here, second.policies[0][1]),))
    results = [*cases.run(first), *cases.run(second)]
    assert [rule for _, rule in cases.undecided([first, second], results)] == ["shadowed"]


ASKING = (
    HEAD.format(kind="GatePolicy")
    + """\
  MODE
  match: {paths: [/v1/**]}
  matchConditions: [{name: small, expression: request.query.size() < 5}]
  validations:
    - name: fresh
      expression: epoch.age < duration("1s")
      messageExpression: "'too old in ' + workload.region"
    - {name: known, expression: "request.headers['x-tier'] == 'gold'", message: no}
"""
)


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        ("{}", "{decision: permit, rule: n, observed: false}"),
        ("{request: {query: a=123}}", "{decision: deny, reason: EG204}"),
        (
            "{epoch: {age: 1s}, workload: {region: eu}}",
            "{decision: deny, reason: EG204, rule: n, clause: fresh, message: too old in eu}",
        ),
        ("{request: {headers: []}}", "{decision: deny, reason: EG203, clause: known}"),
        ("{lease: {remaining: 0}}", "{decision: deny, reason: EG102}"),
    ],
)
def test_expressions_are_judged_with_what_a_case_gives(
    tmp_path: Path, given: str, expect: str
) -> None:
    made = suite(tmp_path, given, expect)
    (tmp_path / "p.yaml").write_text(ASKING.replace("MODE", "mode: enforce"))
    again = cases.load(made.file)
    assert again is not None
    [result] = cases.run(again)
    assert result.passed, str(result.found)


@pytest.mark.parametrize(
    ("expect", "passes"),
    [
        ("{decision: permit, observed: true, reason: EG204, clause: fresh}", True),
        ("{decision: permit, observed: false}", False),
        ("{decision: permit, clause: known}", False),
        ("{decision: deny}", False),
    ],
)
def test_what_is_only_observed_passes_and_says_why_it_would_not(
    tmp_path: Path, expect: str, *, passes: bool
) -> None:
    made = suite(tmp_path, "{epoch: {age: 1s}}", expect)
    (tmp_path / "p.yaml").write_text(ASKING.replace("MODE", "mode: observe"))
    again = cases.load(made.file)
    assert again is not None
    assert [result.passed for result in cases.run(again)] == [passes]


def test_a_message_that_differs_fails_a_case(tmp_path: Path) -> None:
    made = suite(tmp_path, "{epoch: {age: 1s}}", "{decision: deny, message: 'too old in '}")
    (tmp_path / "p.yaml").write_text(ASKING.replace("MODE", "mode: enforce"))
    again = cases.load(made.file)
    assert again is not None
    assert [result.passed for result in cases.run(again)] == [True]
    other = replace(again.cases[0], expected=Expected("deny", message="too old"))
    assert [r.passed for r in cases.run(replace(again, cases=(other,)))] == [False]


def test_a_file_of_another_kind_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "[]")
    assert cases.load(tmp_path / "p.yaml") is None


def test_everything_wrong_with_a_file_of_cases_is_said_at_once(tmp_path: Path) -> None:
    listed = (
        "[{name: c, expect: {decision: permitt, reason: EG999, rul: x}},"
        " {nam: d, given: {lease: alive, request: {method: post, path: [], header: []}}}]"
    )
    with pytest.raises(ResourceError) as caught:
        cases.load(write(tmp_path, listed))
    said = "\n".join(problem.message for problem in caught.value.problems)
    for part in ("permitt", "EG999", "mean rule?", "mean name?", "mean live?", "upper case",
                 "is a list, must be text", "mean headers?", "is missing"):  # fmt: skip
        assert part in said


@pytest.mark.parametrize("listed", ["policies: [absent.yaml]", "routes: absent.yaml"])
def test_a_policy_that_is_not_there_is_an_error_and_no_empty_success(
    tmp_path: Path, listed: str
) -> None:
    file = write(tmp_path, "[]")
    key = listed.partition(":")[0]
    lines = [f"  {listed}" if line.startswith(f"  {key}:") else line
             for line in file.read_text().splitlines()]  # fmt: skip
    file.write_text("\n".join(lines))
    with pytest.raises(FileNotFoundError):
        cases.load(file)
