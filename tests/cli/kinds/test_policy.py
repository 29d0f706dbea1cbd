"""Policies from YAML to what is signed: every field, and what excludes what."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from sidecar.cli import resource, source
from sidecar.cli.kinds import policy as kind
from sidecar.cli.resource import ResourceError
from sidecar.core import canonical, policy, policy_body, recording
from sidecar.core.policy_body import Body, BudgetsBody, ModelBody, ParentBody

HEAD = """\
apiVersion: epochgate.io/v1alpha1
kind: GatePolicy
metadata: {name: p}
spec:
"""
MATCH = "  match: {methods: [POST], paths: [/v1/**]}\n"
POLICY = HEAD + MATCH
BOTH = """\
  rules: [{name: r, action: permit, paths: [/**]}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.yaml"


def said(spec: str) -> Body:
    """What is signed of a policy with this spec; read by no sidecar."""
    _, root, reader = resource.read(Path("f.yaml"), (HEAD + spec).encode())
    return kind.body(reader, root, None)


def wrong(spec: str) -> list[str]:
    with pytest.raises(ResourceError) as caught:
        said(spec)
    return [str(problem).removeprefix("f.yaml:") for problem in caught.value.problems]


def test_a_match_is_one_permit_rule_named_after_the_policy(file: Path) -> None:
    short = MATCH + "  matchConditions: [{name: c, expression: request.model != ''}]\n"
    long = """\
  rules:
    - name: p
      action: permit
      methods: [POST]
      paths: [/v1/**]
      matchConditions: [{name: c, expression: request.model != ''}]
"""
    assert said(short) == said(long)
    [rule] = said(short).rules
    assert (rule.name, rule.action, rule.methods, rule.paths) == (
        "p",
        "permit",
        ("POST",),
        ("/v1/**",),
    )
    assert names(rule.conditions) == ["c"]


def names(
    clauses: Iterable[policy_body.ConditionBody | policy_body.ValidationBody] | UnsetType,
) -> list[str]:
    assert clauses is not UNSET
    return [one.name for one in clauses]


def test_each_rule_keeps_its_conditions_and_validations() -> None:
    body = said("""\
  rules:
    - name: r
      action: permit
      paths: [/**]
      matchConditions: [{name: a, expression: epoch.seq > 1}, {name: b, expression: epoch.seq > 2}]
      validations: [{name: c, expression: epoch.seq > 3}]
    - {name: s, action: deny, paths: [/**], matchConditions: [{name: d, expression: epoch.seq > 4}]}
  validations: [{name: e, expression: epoch.seq > 5}]
""")
    first, second = body.rules
    assert (names(first.conditions), names(first.validations)) == (["a", "b"], ["c"])
    assert (names(second.conditions), second.validations) == (["d"], UNSET)
    assert names(body.validations) == ["e"]


def test_what_is_not_said_has_no_bytes(file: Path) -> None:
    body = said(MATCH + "  failurePolicy: Fail\n  mode: enforce\n")
    assert set(msgspec.to_builtins(body)) == {"_type", "name", "rules"}


def test_a_policy_can_only_observe() -> None:
    assert said(MATCH + "  mode: observe\n").mode == "observe"


def test_expressions_are_signed_as_text_and_as_code(file: Path) -> None:
    body = said(
        MATCH
        + """\
  variables: [{name: tier, expression: request.tenant}]
  validations:
    - name: gold
      expression: variables.tier == "gold"
      message: only gold
      messageExpression: "'not ' + variables.tier"
  auditAnnotations: [{key: tier, valueExpression: variables.tier}]
"""
    )
    assert body.variables is not UNSET
    assert body.validations is not UNSET
    assert body.annotations is not UNSET
    [gold] = body.validations
    assert gold.expression.text == 'variables.tier == "gold"'
    assert gold.expression.code[-1][0] == "equals"
    assert (gold.name, gold.message) == ("gold", "only gold")
    assert isinstance(gold.message_expression, policy_body.ExpressionBody)
    assert [one.key for one in body.annotations] == ["tier"]
    file.write_text(POLICY + "  validations: [{name: a, expression: epoch.seq > 0}]\n")
    assert policy.parse(source.load_policy(file)).asks


def test_budgets_are_bounds_with_their_units() -> None:
    budgets = "{maxAge: 2s, maxAuditLag: 1m, minQuorum: 2, models: [m], regions: [r], tenants: [T]}"
    assert said(f"{MATCH}  budgets: {budgets}\n").budgets == BudgetsBody(
        max_age_ms=2000, max_audit_lag_ms=60_000, min_quorum=2, models=("m",), regions=("r",),
        tenants=("T",),
    )  # fmt: skip


def test_model_and_parent_are_read() -> None:
    body = said(MATCH + "  model: {from: body, maxBytes: 64KiB}\n")
    assert body.model == ModelBody(max_bytes=65_536)
    body = said(MATCH + "  parent: {required: true, maxAge: 30s}\n")
    assert body.parent == ParentBody(required=True, max_age_ms=30_000)


def test_a_rollout_holds_the_whole_other_policy(file: Path) -> None:
    (file.parent / "old.yaml").write_text(POLICY.replace("name: p", "name: old"))
    file.write_text(POLICY + "  rollout: {percent: 25, otherwise: old.yaml}\n")
    body = canonical.load(source.load_policy(file), Body, policy.MAX_BYTES)
    assert body.rollout is not UNSET
    old = canonical.load(source.load_policy(file.parent / "old.yaml"), Body, policy.MAX_BYTES)
    assert (body.rollout.percent, body.rollout.otherwise) == (25, old)
    (file.parent / "old.json").write_bytes(source.load_policy(file.parent / "old.yaml"))
    file.write_text(POLICY + "  rollout: {percent: 25, otherwise: old.json}\n")
    assert canonical.load(source.load_policy(file), Body, policy.MAX_BYTES) == body


@pytest.mark.parametrize("built", [False, True])
def test_a_rollout_never_holds_another(file: Path, *, built: bool) -> None:
    rollout = POLICY + "  rollout: {percent: 25, otherwise: PATH}\n"
    (file.parent / "a").write_text(POLICY)
    (file.parent / "b").write_text(rollout.replace("PATH", "a"))
    if built:
        (file.parent / "b").write_bytes(source.load_policy(file.parent / "b"))
    file.write_text(rollout.replace("PATH", "b"))
    with pytest.raises(ResourceError, match=r"spec\.rollout\.otherwise: .*rollout"):
        source.load_policy(file)


AUDIT = (
    "  audit:\n    durability: strict\n    receipts: true\n    headers: [x-request-id]\n"
    "    paths: none\n    subject: x-user\n    tenant: x-tenant\n"
)


def test_a_policy_says_what_is_recorded(file: Path) -> None:
    file.write_text(POLICY + AUDIT)
    body = canonical.load(source.load_policy(file), policy.Body, policy.MAX_BYTES)
    assert body.audit == recording.Body(
        durability="strict", receipts=True, headers=("x-request-id",), paths="none",
        subject="x-user", tenant="x-tenant",
    )  # fmt: skip


def test_a_policy_that_says_nothing_of_records_has_the_bytes_that_it_always_had(file: Path) -> None:
    file.write_text(POLICY)
    assert b"audit" not in source.load_policy(file)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (MATCH + BOTH, "5:10: spec.match: stands beside rules"),
        ("  mode: enforce\n", "5:3: spec.rules: is missing; or write match"),
        (BOTH + "  matchConditions: [{name: c, expression: 'true'}]\n", "6:20: spec.matchCond"),
        (MATCH + "  matchConditions: []\n", "spec.matchConditions: must list at least one item"),
        (MATCH + "  budgets: {maxage: 1s}\n", "unknown key; did you mean maxAge?"),
        (MATCH + "  budgets: {models: ['a,b']}\n", "6:22: spec.budgets.models[0]: must not hold a"),
        (MATCH + "  budgets: {regions: [EU]}\n", "spec.budgets.regions[0]: 'EU' must be"),
        (MATCH + "  model: {from: body}\n", "spec.model.maxBytes: is missing"),
        (MATCH + "  model: {from: body, maxBytes: 0}\n", "spec.model.maxBytes: must be 1B to 1MiB"),
        (MATCH + "  parent: {required: true}\n", "spec.parent.maxAge: is missing"),
        (MATCH + "  rollout: {percent: 1, otherwise: x}\n", "6:12: spec.rollout: this policy is"),
        (
            MATCH + "  auditAnnotations:\n"
            + "".join(f"    - {{key: k{n}, valueExpression: request.path}}\n" for n in range(17)),
            "7:5: spec.auditAnnotations: there are 17, at most 16",
        ),
        (  # of every rule, and said once
            BOTH.replace("}]", "}, {name: s, action: permit, paths: [/**]}]")
            + "  validations: [{name: v, expression: 'true'}, {name: v, expression: 'true'}]\n",
            "6:55: spec.validations[1].name: 'v' is used twice; first at 6:24",
        ),
        (
            BOTH.replace("[/**]}", "[/**], validations: [{name: v, expression: 'true'}]}")
            + "  validations: [{name: v, expression: 'true'}]\n",
            "spec.rules[0].validations[0].name: 'v' is used twice; first at 6:24",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_once_with_its_place(spec: str, says: str) -> None:
    [problem] = wrong(spec)
    assert says in problem
