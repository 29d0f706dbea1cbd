"""A GatePolicy as people write it, turned into what is signed.

Rules:

* The fields have the names and the places that ValidatingAdmissionPolicy gives them, where it has
  them. What means nothing here is not taken.
* `match` is short for one permit rule. A policy has that or `rules`, never both: nobody has to ask
  which of the two comes first.
* What says what holds anyway (`mode: enforce`) leaves no trace in what is signed.

Source: core/policy_body; conventions 5, 11-J.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.cli import resource
from sidecar.cli.kinds import rules
from sidecar.cli.kinds.expressions import Expressions
from sidecar.cli.resource import Reader
from sidecar.config.document import Items, Node, Table
from sidecar.core import canonical, clause_check, policy_body, recording
from sidecar.core.policy_body import (
    AnnotationBody,
    Body,
    BudgetsBody,
    FieldValue,
    Identifier,
    ModelBody,
    ParentBody,
    RolloutBody,
    RuleBody,
    VariableBody,
)

KIND = "GatePolicy"
AUDIT_WORDS = {
    "beats": ["true", "false"],
    "durability": ["group", "strict"],
    "paths": ["full", "none"],
    "receipts": ["true", "false"],
}
QUORUM_MAX = 100

OPTIONAL = (
    "failurePolicy", "mode", "match", "matchConditions", "variables", "rules", "validations",
    "auditAnnotations", "budgets", "model", "parent", "rollout", "audit",
)  # fmt: skip
_IDENTIFIER_RULE = "letters, digits and _, at most 63, not beginning with a digit"
_ReadOther = Callable[[str], Body]


def body(reader: Reader, root: Node, other: _ReadOther | None) -> Body:
    """What a file says.

    Args:
        reader: Of the file.
        root: Its root.
        other: Reads the policy of another file, named as `rollout.otherwise` names it; None: this
            is such a file, and may not name one of its own.

    Raises:
        ResourceError: with everything that is wrong with the file.
    """
    name, spec = resource.frame(reader, root, KIND)
    fields = reader.mapping(spec, "spec", (), OPTIONAL)
    reader.choice(fields.get("failurePolicy"), "spec.failurePolicy", ["Fail"])
    expressions = Expressions(reader)
    # First: whatever stands in the file before them may use them.
    variables = _variables(reader, expressions, fields.get("variables"), "spec.variables")
    found = Body(
        type=policy_body.TYPE,
        name=name,
        rules=_rules(reader, expressions, spec, fields, name),
        annotations=_annotations(reader, expressions, fields.get("auditAnnotations")),
        audit=_audit(reader, fields.get("audit"), "spec.audit"),
        budgets=_budgets(reader, fields.get("budgets"), "spec.budgets"),
        mode=_mode(reader, fields.get("mode"), "spec.mode"),
        model=_model(reader, fields.get("model"), "spec.model"),
        parent=_parent(reader, fields.get("parent"), "spec.parent"),
        validations=rules.validations(
            reader, expressions, fields.get("validations"), "spec.validations"
        ),
        variables=variables,
    )
    _clauses_differ(reader, fields)
    rollout = _rollout(reader, fields.get("rollout"), "spec.rollout", other)
    reader.finish()
    return msgspec.structs.replace(found, rollout=rollout)


def _rules(
    reader: Reader, expressions: Expressions, spec: Node | None, fields: dict[str, Node], name: str
) -> tuple[RuleBody, ...]:
    asked = rules.conditions(
        reader, expressions, fields.get("matchConditions"), "spec.matchConditions"
    )
    if "match" in fields:
        if "rules" in fields:
            said = "stands beside rules; write it as one of them, or leave rules out"
            reader.wrong(fields["match"].origin, "spec.match", said)
        return (rules.match(reader, fields["match"], "spec.match", name, asked),)
    if "matchConditions" in fields:
        said = "belongs to spec.match, which is missing; a rule has matchConditions of its own"
        reader.wrong(fields["matchConditions"].origin, "spec.matchConditions", said)
    if isinstance(spec, Table) and "rules" not in fields:
        reader.wrong(spec.origin, "spec.rules", "is missing; or write match, if one rule will do")
    items = reader.items(fields.get("rules"), "spec.rules")
    reader.distinct(items, "name")
    return tuple(rules.rule(reader, expressions, node, path) for node, path in items)


def _clauses_differ(reader: Reader, fields: dict[str, Node]) -> None:
    """A record that names a condition or validation of a rule names one only."""
    always = _listed(fields.get("validations"), "spec.validations")
    asked = _listed(fields.get("matchConditions"), "spec.matchConditions")
    reader.distinct([*always, *asked], "name")
    for rule, path in _listed(fields.get("rules"), "spec.rules"):
        own = rule.items if isinstance(rule, Table) else {}
        lists = [
            _listed(own.get(key), f"{path}.{key}") for key in ("matchConditions", "validations")
        ]
        reader.distinct([*always, *lists[0], *lists[1]], "name")


def _listed(node: Node | None, path: str) -> list[tuple[Node, str]]:
    items = node.items if isinstance(node, Items) else ()
    return [(item, f"{path}[{index}]") for index, item in enumerate(items)]


def _variables(
    reader: Reader, expressions: Expressions, node: Node | None, path: str
) -> tuple[VariableBody, ...] | UnsetType:
    if node is None:
        return UNSET
    items = rules.some(reader, node, path)
    reader.distinct(items, "name")
    found = []
    for item, where in items:
        fields = reader.mapping(item, where, ("name", "expression"))
        name = reader.typed(fields.get("name"), f"{where}.name", Identifier, _IDENTIFIER_RULE)
        made = expressions.variable(name, fields.get("expression"), f"{where}.expression")
        found.append(VariableBody(name=name, expression=made))
    return tuple(found)


def _annotations(
    reader: Reader, expressions: Expressions, node: Node | None
) -> tuple[AnnotationBody, ...] | UnsetType:
    if node is None:
        return UNSET
    items = rules.some(reader, node, "spec.auditAnnotations")
    reader.distinct(items, "key")
    if len(items) > clause_check.ANNOTATIONS_MAX:
        said = f"there are {len(items)}, at most {clause_check.ANNOTATIONS_MAX}"
        reader.wrong(node.origin, "spec.auditAnnotations", said)
    found = []
    for item, where in items:
        fields = reader.mapping(item, where, ("key", "valueExpression"))
        key = reader.name(fields.get("key"), f"{where}.key")
        made = expressions.string(fields.get("valueExpression"), f"{where}.valueExpression")
        found.append(AnnotationBody(key=key, value_expression=made))
    return tuple(found)


def _budgets(reader: Reader, node: Node | None, path: str) -> BudgetsBody | UnsetType:
    if node is None:
        return UNSET
    keys = ("maxAge", "maxAuditLag", "minQuorum", "models", "regions", "tenants")
    fields = reader.mapping(node, path, (), keys)
    _not_empty(reader, node, path, fields, keys)
    said: dict[str, Any] = {}
    for key, name in (("maxAge", "max_age_ms"), ("maxAuditLag", "max_audit_lag_ms")):
        if key in fields:
            most_ms = policy_body.DURATION_MAX_MS
            said[name] = reader.duration(fields[key], f"{path}.{key}", most_ms)
    if "minQuorum" in fields:
        said["min_quorum"] = reader.number(fields["minQuorum"], f"{path}.minQuorum", 1, QUORUM_MAX)
    for key in ("models", "regions", "tenants"):
        if key in fields:
            said[key] = _values(reader, fields[key], f"{path}.{key}", key)
    return BudgetsBody(**said)


def _values(reader: Reader, node: Node, path: str, key: str) -> tuple[str, ...]:
    items = rules.some(reader, node, path, key.removesuffix("s"))
    reader.distinct(items)
    if key == "regions":
        return tuple(reader.name(item, where) for item, where in items)
    found = []
    for item, where in items:
        value = reader.typed(item, where, FieldValue, rules.VALUE_RULE)
        if "," in value:
            reader.wrong(item.origin, where, "must not hold a comma: such a header tells nothing")
        found.append(value)
    return tuple(found)


def _mode(reader: Reader, node: Node | None, path: str) -> Any:  # noqa: ANN401 - a literal or UNSET
    word = reader.choice(node, path, ("enforce", "observe"), "enforce")
    return "observe" if word == "observe" else UNSET


def _model(reader: Reader, node: Node | None, path: str) -> ModelBody | UnsetType:
    if node is None:
        return UNSET
    fields = reader.mapping(node, path, ("from", "maxBytes"))
    reader.choice(fields.get("from"), f"{path}.from", ["body"])
    most_bytes = policy_body.BODY_MAX_BYTES
    found = reader.size(fields.get("maxBytes"), f"{path}.maxBytes", most_bytes)
    return ModelBody(max_bytes=found)


def _parent(reader: Reader, node: Node | None, path: str) -> ParentBody | UnsetType:
    if node is None:
        return UNSET
    fields = reader.mapping(node, path, ("required", "maxAge"))
    most_ms = policy_body.DURATION_MAX_MS
    return ParentBody(
        required=reader.flag(fields.get("required"), f"{path}.required"),
        max_age_ms=reader.duration(fields.get("maxAge"), f"{path}.maxAge", most_ms),
    )


def _rollout(
    reader: Reader, node: Node | None, path: str, other: _ReadOther | None
) -> RolloutBody | UnsetType:
    if node is None:
        return UNSET
    if other is None:
        reader.wrong(node.origin, path, "this policy is for the other pods of a rollout already")
        return UNSET
    fields = reader.mapping(node, path, ("percent", "otherwise"))
    where = f"{path}.percent"
    percent = reader.number(fields.get("percent"), where, 0, policy_body.PERCENT_MAX)
    where = f"{path}.otherwise"
    file = reader.text(fields.get("otherwise"), where)
    if not file:
        if file == "":
            reader.wrong(fields["otherwise"].origin, where, "must name the file of a policy")
        return UNSET
    try:
        found = other(file)
    except OSError as error:
        said = f"{file!r} cannot be read: {error.strerror}"
        reader.wrong(fields["otherwise"].origin, where, said)
    except resource.ResourceError as error:
        reader.wrong(fields["otherwise"].origin, where, f"in {error.problems[0]}")
    else:
        if found.rollout is UNSET:
            return RolloutBody(percent=percent, otherwise=found)
        said = f"{file!r} has a rollout of its own"
        reader.wrong(fields["otherwise"].origin, where, said)
    return UNSET


def _audit(reader: Reader, node: Node | None, path: str) -> recording.Body | UnsetType:
    if node is None:
        return UNSET
    fields = reader.mapping(node, path, (), recording.Body.__struct_fields__)
    said: dict[str, Any] = {}
    for key, words in AUDIT_WORDS.items():
        if key in fields:
            word = reader.choice(fields[key], f"{path}.{key}", words, words[0])
            said[key] = word == "true" if "true" in words else word
    for key in ("subject", "tenant"):
        if key in fields:
            said[key] = reader.typed(
                fields[key], f"{path}.{key}", canonical.FieldName, rules.FIELD_RULE
            )
    if "headers" in fields:
        said["headers"] = tuple(
            reader.typed(item, where, canonical.FieldName, rules.FIELD_RULE)
            for item, where in reader.items(fields["headers"], f"{path}.headers")
        )
    found = recording.Body(**said)
    for key, why in recording.problems(found):
        name = key.partition("[")[0]
        reader.wrong(fields[name].origin, f"{path}.{key}", why)
    return found


def _not_empty(
    reader: Reader, node: Node, path: str, fields: dict[str, Node], keys: tuple[str, ...]
) -> None:
    if isinstance(node, Table) and not fields and not node.items:
        reader.wrong(node.origin, path, f"must say one of {', '.join(keys)}, or be left out")
