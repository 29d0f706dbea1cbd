"""The rules of a GatePolicy as people write them, and what one of them matches.

Source: core/policy; conventions 11-J.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.cli.kinds.expressions import Expressions
from sidecar.cli.resource import Reader
from sidecar.config.document import Items, Node, Table
from sidecar.core import canonical, paths
from sidecar.core.policy_body import (
    DRAIN_MAX_MS,
    ConditionBody,
    DrainBody,
    FieldValue,
    HeaderEquals,
    Method,
    RuleBody,
    ValidationBody,
)

METHOD_RULE = "upper-case letters, 3 to 16 of them"
FIELD_RULE = "a header name in lower case"
VALUE_RULE = "printable ASCII without spaces at either end"
MESSAGE_RULE = "1 to 256 characters of printable ASCII"

Conditions = tuple[ConditionBody, ...] | UnsetType

# Clients read it: what core takes, and nothing that a terminal would act on.
_Message = Annotated[str, msgspec.Meta(pattern=r"\A[\x20-\x7e]{1,256}\Z")]
_MATCHING = ("methods", "headers", "inFlight")


def rule(reader: Reader, expressions: Expressions, node: Node, path: str) -> RuleBody:
    """One item of `spec.rules`."""
    optional = (*_MATCHING, "matchConditions", "validations")
    fields = reader.mapping(node, path, ("name", "action", "paths"), optional)
    denies = reader.choice(fields.get("action"), f"{path}.action", ["permit", "deny"]) == "deny"
    if denies and "validations" in fields:
        said = "a deny rule permits nothing to validate; write what it asks as matchConditions"
        reader.wrong(fields["validations"].origin, f"{path}.validations", said)
    where = f"{path}.matchConditions"
    asked = conditions(reader, expressions, fields.get("matchConditions"), where)
    found = _rule(
        reader, fields, path, reader.name(fields.get("name"), f"{path}.name"),
        "deny" if denies else "permit", asked,
    )  # fmt: skip
    where = f"{path}.validations"
    valid = validations(reader, expressions, fields.get("validations"), where)
    return msgspec.structs.replace(found, validations=valid)


def match(reader: Reader, node: Node, path: str, name: str, asked: Conditions = UNSET) -> RuleBody:
    """`spec.match`: the one permit rule of a policy that needs no more, named after it."""
    fields = reader.mapping(node, path, ("paths",), _MATCHING)
    return _rule(reader, fields, path, name, "permit", asked)


def conditions(
    reader: Reader, expressions: Expressions, node: Node | None, path: str
) -> Conditions:
    """A list of `matchConditions`; UNSET when it is absent."""
    if node is None:
        return UNSET
    items = some(reader, node, path)
    return tuple(_condition(reader, expressions, item, where) for item, where in items)


def validations(
    reader: Reader, expressions: Expressions, node: Node | None, path: str
) -> tuple[ValidationBody, ...] | UnsetType:
    """A list of `validations`; UNSET when it is absent."""
    if node is None:
        return UNSET
    items = some(reader, node, path)
    return tuple(_validation(reader, expressions, item, where) for item, where in items)


def patterns(reader: Reader, node: Node | None, path: str) -> tuple[str, ...]:
    """A list of at least one pattern of paths."""
    found = []
    for item, where in some(reader, node, path, "path"):
        pattern = reader.text(item, where)
        if pattern is not None and (wrong := paths.problem(pattern)):
            reader.wrong(item.origin, where, f"{pattern!r} {wrong}")
        found.append(pattern or "")
    return tuple(found)


def some(
    reader: Reader, node: Node | None, path: str, what: str = "item"
) -> list[tuple[Node, str]]:
    """The items of a list that has to hold one."""
    items = reader.items(node, path)
    if isinstance(node, Items) and not items:
        reader.wrong(node.origin, path, f"must list at least one {what}")
    return items


def _rule(
    reader: Reader, fields: dict[str, Node], path: str, name: str,
    action: Literal["permit", "deny"], asked: Conditions,
) -> RuleBody:  # fmt: skip
    return RuleBody(
        name=name,
        action=action,
        methods=tuple(
            reader.typed(item, where, Method, METHOD_RULE)
            for item, where in reader.items(fields.get("methods"), f"{path}.methods")
        ),
        paths=patterns(reader, fields.get("paths"), f"{path}.paths"),
        headers=tuple(
            _header(reader, item, where)
            for item, where in reader.items(fields.get("headers"), f"{path}.headers")
        ),
        in_flight=in_flight(reader, fields.get("inFlight"), f"{path}.inFlight"),
        conditions=asked,
    )


def in_flight(reader: Reader, node: Node | None, path: str) -> Literal["cut"] | DrainBody:
    """What becomes of running exchanges; of a rule, or as a profile bounds it."""
    if not isinstance(node, Table):
        reader.choice(node, path, ["cut"])
        return "cut"
    fields = reader.mapping(node, path, ("drain",))
    drain_ms = reader.duration(fields.get("drain"), f"{path}.drain", DRAIN_MAX_MS)
    return DrainBody(drain_ms=drain_ms)


def _header(reader: Reader, node: Node, path: str) -> HeaderEquals:
    fields = reader.mapping(node, path, ("name", "value"))
    return HeaderEquals(
        name=reader.typed(fields.get("name"), f"{path}.name", canonical.FieldName, FIELD_RULE),
        value=reader.typed(fields.get("value"), f"{path}.value", FieldValue, VALUE_RULE),
    )


def _condition(reader: Reader, expressions: Expressions, node: Node, path: str) -> ConditionBody:
    fields = reader.mapping(node, path, ("name", "expression"))
    return ConditionBody(
        name=reader.name(fields.get("name"), f"{path}.name"),
        expression=expressions.boolean(fields.get("expression"), f"{path}.expression"),
    )


def _validation(reader: Reader, expressions: Expressions, node: Node, path: str) -> ValidationBody:
    made = "messageExpression"
    fields = reader.mapping(node, path, ("name", "expression"), ("message", made))
    found = ValidationBody(
        name=reader.name(fields.get("name"), f"{path}.name"),
        expression=expressions.boolean(fields.get("expression"), f"{path}.expression"),
    )
    if "message" in fields:
        said = reader.typed(fields["message"], f"{path}.message", _Message, MESSAGE_RULE)
        found = msgspec.structs.replace(found, message=said)
    if made in fields:
        body = expressions.string(fields[made], f"{path}.{made}")
        found = msgspec.structs.replace(found, message_expression=body)
    return found
