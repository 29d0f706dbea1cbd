"""A policy bundle as it is signed: the fields, their types, and what is wrong with a value.

Rules:

* What is absent has its default, and a bundle that does not use a field has the bytes that it
  always had: a digest that was signed before stays the digest of the same policy.
* An expression is signed twice: its text, for people, and what was made of it when the bundle was
  built (`code`), which is what decides. Nothing here reads the text.

Source: protocol b.1 (policy semantics); conventions 5, 11-J.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.core import recording
from sidecar.core.canonical import FieldName, Name, Strict

TYPE = "urn:epochgate:policy:v1"
DRAIN_MAX_MS = 300_000
TEXT_MAX = 4096  # characters of an expression
PERCENT_MAX = 100
BODY_MAX_BYTES = 1024 * 1024  # of a request, when its model is read from there
DURATION_MAX_MS = 86_400_000

Method = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3,16}\Z")]
FieldValue = Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")]
Identifier = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]{0,62}\Z")]
Message = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
DurationMs = Annotated[int, msgspec.Meta(ge=1, le=DURATION_MAX_MS)]


class HeaderEquals(Strict, frozen=True):
    """One header condition: name in lower case, value compared byte for byte."""

    name: FieldName
    value: FieldValue


class DrainBody(Strict, frozen=True):
    """Running exchanges may go on for so long after the lease has lapsed; milliseconds."""

    drain_ms: Annotated[int, msgspec.Meta(ge=1, le=DRAIN_MAX_MS)]


class ExpressionBody(Strict, frozen=True):
    """An expression: the text that a person wrote, and what decides.

    `code`: nodes in the order in which they are evaluated (`core/expression`).
    """

    code: list[list[object]]  # Json; msgspec cannot resolve the recursive alias
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)]


class ConditionBody(Strict, frozen=True):
    """Has to be true for its rule to match."""

    expression: ExpressionBody
    name: Name


class VariableBody(Strict, frozen=True):
    """A value that other expressions call `variables.NAME`; may use those before it."""

    expression: ExpressionBody
    name: Identifier


class ValidationBody(Strict, frozen=True):
    """Has to be true for a request that a rule permits.

    `message` is for the client; `message_expression` makes it, and wins when it succeeds.
    """

    expression: ExpressionBody
    name: Name
    message: Message | UnsetType = UNSET
    message_expression: ExpressionBody | UnsetType = UNSET


class AnnotationBody(Strict, frozen=True):
    """A value that is recorded with each decision that a rule made."""

    key: Name
    value_expression: ExpressionBody


class RuleBody(Strict, frozen=True):
    """One rule as it is signed. `in_flight`: what becomes of running exchanges at containment."""

    name: Name
    action: Literal["permit", "deny"]
    methods: tuple[Method, ...]
    paths: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    headers: tuple[HeaderEquals, ...]
    in_flight: Literal["cut"] | DrainBody
    conditions: tuple[ConditionBody, ...] | UnsetType = UNSET
    validations: tuple[ValidationBody, ...] | UnsetType = UNSET


class BudgetsBody(Strict, frozen=True):
    """Bounds that the policy puts around itself; each can only tighten what holds without it.

    Attributes:
        max_age_ms: Longest life of a lease, counted from the issue of its beat.
        max_audit_lag_ms: How long a record may go without a signed checkpoint over it.
        min_quorum: Peers that must agree.
        models: Only these are served.
        regions: Only there.
        tenants: Only these are served.
    """

    max_age_ms: DurationMs | UnsetType = UNSET
    max_audit_lag_ms: DurationMs | UnsetType = UNSET
    min_quorum: Annotated[int, msgspec.Meta(ge=1, le=100)] | UnsetType = UNSET
    models: Annotated[tuple[FieldValue, ...], msgspec.Meta(min_length=1)] | UnsetType = UNSET
    regions: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)] | UnsetType = UNSET
    tenants: Annotated[tuple[FieldValue, ...], msgspec.Meta(min_length=1)] | UnsetType = UNSET


class ModelBody(Strict, frozen=True):
    """The model of a request is read from the JSON of its body, which may be so long."""

    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=BODY_MAX_BYTES)]


class ParentBody(Strict, frozen=True):
    """A request has to come from a decision that was made before.

    `required`: also one without a parent is denied; `max_age_ms`: how old that decision may be.
    """

    max_age_ms: DurationMs
    required: bool


class RolloutBody(Strict, frozen=True):
    """For how many pods of a hundred this policy is; what holds for the others."""

    otherwise: "Body"
    percent: Annotated[int, msgspec.Meta(ge=0, le=PERCENT_MAX)]


class Body(Strict, frozen=True):
    """A policy bundle as it is signed.

    Attributes:
        type: Always `TYPE`.
        name: For people.
        rules: In order; the first that matches decides.
        annotations: What is recorded with a decision.
        audit: What is recorded at all.
        budgets: Tighter bounds.
        mode: observe: what it denies is let through, counted and recorded.
        model: Where the model of a request is read, when not from a header.
        parent: What is asked of the decision that a request descends from.
        rollout: For a part of the pods only.
        validations: Of every request that a rule permits.
        variables: In order.
    """

    type: str = msgspec.field(name="_type")
    name: Name
    rules: tuple[RuleBody, ...]
    annotations: tuple[AnnotationBody, ...] | UnsetType = UNSET
    audit: recording.Body | UnsetType = UNSET
    budgets: BudgetsBody | UnsetType = UNSET
    mode: Literal["observe"] | UnsetType = UNSET
    model: ModelBody | UnsetType = UNSET
    parent: ParentBody | UnsetType = UNSET
    rollout: RolloutBody | UnsetType = UNSET
    validations: tuple[ValidationBody, ...] | UnsetType = UNSET
    variables: tuple[VariableBody, ...] | UnsetType = UNSET
