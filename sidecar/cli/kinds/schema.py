"""The kinds of files as JSON Schema (2020-12), for editors and for pipelines.

Rules:

* What it refuses the reader refuses too, and what it can say it says: unknown keys, missing keys,
  patterns, bounds of numbers, keys that exclude each other. The types of expressions, names that
  are used twice and what another file says are the reader's alone.
* The order of `properties` is the order in which `policy fmt` writes them.

One exception to the first rule: YAML takes an unquoted `true` or `1` for no text, and so does an
editor. The reader does not mind.
"""

from collections.abc import Mapping
from typing import Any

from sidecar.cli.kinds import case_schema, policy, profile, routes
from sidecar.cli.kinds.pieces import (
    LETTER,
    Schema,
    duration,
    ecma,
    expression,
    field,
    flag,
    listed,
    mapping,
    name,
    path,
    text,
    typed,
    words,
)
from sidecar.cli.resource import API_VERSION
from sidecar.config.schema import DIALECT
from sidecar.core import canonical, policy_body, recording
from sidecar.core import profile as core_profile

CASES = "GatePolicyTest"

_SIZE = "^[1-9][0-9]{0,14}(B|KiB|MiB|GiB|TiB)$"


def schema(kind: str) -> Schema:
    """The schema of one kind, a key of `KINDS`."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:epochgate:schema:{kind.lower()}:v1alpha1",
        "title": kind,
        **mapping(
            {
                "apiVersion": {"const": API_VERSION},
                "kind": {"const": kind},
                "metadata": mapping({"name": name("What people call it.")}, "name"),
                "spec": KINDS[kind](),
            },
            "apiVersion", "kind", "metadata", "spec",
        ),
    }  # fmt: skip


def file_name(kind: str) -> str:
    """What the file of a schema is called, beside the policies."""
    return f"{kind.lower()}.v1alpha1.json"


def _policy() -> Schema:
    spec = mapping(
        {
            "failurePolicy": {
                "const": "Fail", "description": "What cannot be judged is denied; the only value."
            },
            "mode": words(
                "observe: what the policy denies is let through, counted and recorded.",
                "enforce", "observe",
            ),
            "match": mapping(_matching(), "paths", about="The one permit rule; instead of rules."),
            "matchConditions": _conditions("Have to be true, all of them, for match to match."),
            "variables": listed(
                mapping(
                    {"name": typed(policy_body.Identifier),
                     "expression": expression("Its value.")},
                    "name", "expression",
                ),
                "Values that expressions after them call variables.NAME.",
            ),
            "rules": {
                "type": "array", "items": _rule(),
                "description": "In order; the first that matches decides; none: denied.",
            },
            "validations": _validations("Of every request that a rule permits."),
            "auditAnnotations": listed(
                mapping(
                    {"key": name("Unique."), "valueExpression": expression("A text.")},
                    "key", "valueExpression",
                ),
                "What is recorded with each decision of a rule.",
            ),
            "budgets": _budgets(),
            "model": mapping(
                {
                    "from": {"const": "body"},
                    "maxBytes": {
                        "type": "string", "pattern": _SIZE,
                        "description": "A longer body is denied; at most 1MiB.",
                    },
                },
                "from", "maxBytes", about="Where the model of a request stands.",
            ),
            "parent": mapping(
                {
                    "required": flag("Whether a request without a parent decision is denied."),
                    "maxAge": duration("How old the parent decision may be."),
                },
                "required", "maxAge", about="The decision that a request descends from.",
            ),
            "rollout": _rollout(),
            "audit": _audit(),
        },
    )  # fmt: skip
    spec["oneOf"] = [{"required": ["match"]}, {"required": ["rules"]}]
    spec["dependentRequired"] = {"matchConditions": ["match"]}
    return spec


def _rollout() -> Schema:
    return mapping(
        {
            "percent": {
                "type": "integer", "minimum": 0, "maximum": policy_body.PERCENT_MAX,
                "description": "Of the pods, for which this policy holds.",
            },
            "otherwise": text("File of the policy of all others, relative to this one."),
        },
        "percent", "otherwise", about="For a part of the pods only.",
    )  # fmt: skip


def _rule() -> Schema:
    found = mapping(
        {
            "name": name("Shown in records and denials; unique."),
            "action": words("What becomes of a request that matches.", "permit", "deny"),
            **_matching(),
            "matchConditions": _conditions("Have to be true, all of them, for the rule to match."),
            "validations": _validations("Of the requests that this rule permits."),
        },
        "name", "action", "paths",
    )  # fmt: skip
    deny = {"properties": {"action": {"const": "deny"}}, "required": ["action"]}
    found["not"] = {**deny, "required": ["action", "validations"]}
    return found


def _matching() -> dict[str, Schema]:
    drain = mapping({"drain": duration("At most 5m.")}, "drain")
    return {
        "methods": {
            "type": "array", "items": typed(policy_body.Method),
            "description": "Any of them; none listed: every method.",
        },
        "paths": listed(path(), "Any of them."),
        "headers": {
            "type": "array",
            "items": mapping(
                {"name": field("In lower case."), "value": typed(policy_body.FieldValue)},
                "name", "value",
            ),
            "description": "All of them, byte for byte.",
        },
        "inFlight": {
            "anyOf": [{"const": "cut"}, drain],
            "description": "What becomes of running exchanges when the lease has lapsed.",
        },
    }  # fmt: skip


def _conditions(about: str) -> Schema:
    item = {"name": name("Unique in its list."), "expression": expression("True or false.")}
    return listed(mapping(item, *item), about)


def _validations(about: str) -> Schema:
    item = {
        "name": name("Unique in its list; recorded when it fails."),
        "expression": expression("True or false."),
        "message": {
            "type": "string", "pattern": "^[ -~]{1,256}$", "description": "What the client reads."
        },
        "messageExpression": expression("Makes the message; when it fails, message is used."),
    }  # fmt: skip
    return listed(mapping(item, "name", "expression"), about)


def _budgets() -> Schema:
    value = {**typed(policy_body.FieldValue), "pattern": "^[!-+\\--~]([ -+\\--~]*[!-+\\--~])?$"}
    found = mapping(
        {
            "maxAge": duration("Longest life of a lease, from the issue of its beat."),
            "maxAuditLag": duration("How long a record may go without a signed checkpoint."),
            "minQuorum": {
                "type": "integer", "minimum": 1, "maximum": policy.QUORUM_MAX,
                "description": "Peers that must agree.",
            },
            "models": listed(value, "Only these are served.", unique=True),
            "regions": listed(name(""), "Only there.", unique=True),
            "tenants": listed(value, "Only these are served.", unique=True),
        },
        about="Bounds; each can only tighten what holds without it.",
    )  # fmt: skip
    found["minProperties"] = 1
    return found


def _audit() -> Schema:
    def said(key: str, about: str) -> Schema:
        known = policy.AUDIT_WORDS[key]
        return flag(about) if "true" in known else words(about, *known)

    secret = {"enum": sorted(recording.SECRET)}
    headers = {
        "type": "array", "maxItems": recording.HEADERS_MAX, "uniqueItems": True,
        "items": {**field(""), "not": secret}, "description": "Whose values are recorded.",
    }  # fmt: skip
    return mapping(
        {
            "durability": said("durability", "strict: on the disk before the answer is read."),
            "receipts": said("receipts", "Whether answers name their record."),
            "beats": said("beats", "Whether the log keeps the beats of leases."),
            "paths": said("paths", "none: records do not say which path was asked for."),
            "subject": field("Header that names the caller; recorded as a keyed digest."),
            "tenant": field("Header that says for whom; recorded as a keyed digest."),
            "headers": headers,
        },
        about="What is recorded of requests.",
    )


def _routes() -> Schema:
    upstream = name("One of upstreams.")
    attributes = mapping(
        {
            key: field(f"Header that names the {key} of a request.")
            for key in routes.ATTRIBUTES
        },
        about="Which headers say whose a request is.",
    )  # fmt: skip
    attributes["minProperties"] = 1
    return mapping(
        {
            "upstreams": {
                "type": "object",
                "propertyNames": {"pattern": ecma(canonical.Name)},
                "additionalProperties": {
                    "type": "string", "pattern": r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$"
                },
                "description": 'Name: "127.0.0.1:8000"; an address, never a host name.',
            },
            "routes": {
                "type": "array",
                "items": mapping(
                    {"name": name("Unique."), "paths": listed(path(), "Any of them."),
                     "upstream": upstream},
                    "name", "paths", "upstream",
                ),
                "description": "In order; the first that matches; none: denied.",
            },
            "exempt": {
                "type": "array",
                "items": mapping(
                    {"target": {"type": "string", "pattern": f"^(/{LETTER}*)+$"},
                     "upstream": upstream},
                    "target", "upstream",
                ),
                "description": "GET and HEAD of these pass whatever the gate says.",
            },
            "attributes": attributes,
        },
        "upstreams", "routes",
    )  # fmt: skip


def _profile() -> Schema:
    drain = mapping({"drain": duration("At most 5m.")}, "drain")
    lease = mapping(
        {
            "ttl": duration("Longest life of a lease, from the issue of its beat."),
            "freshness": words("What it leans on.", "clock", "nonce", "both"),
            "skew": duration("Of wall clocks; not where only a nonce counts."),
        },
        "ttl", "freshness",
    )  # fmt: skip
    quorum = {key: _peers() for key in profile.QUORUM}
    audit = mapping(
        {
            "durability": words("strict: on the disk before the answer is read.", "strict"),
            "paths": words("none: records do not say which path was asked for.", "none"),
            "maxCheckpointAge": duration("How long a record may go without a signed checkpoint."),
            "maxUnacked": duration("How long without one that enough witnesses have cosigned."),
            "witnesses": _peers(),
        },
        about="What the log has to do.",
    )
    audit["dependentRequired"] = {"witnesses": ["maxUnacked"]}
    return mapping(
        {
            "lease": lease,
            "timing": mapping(
                {key: duration("What ttl is reckoned with.") for key in profile.TIMING},
                *profile.TIMING,
            ),
            "quorum": mapping(quorum, *quorum, about="At least so many there are, agree, take."),
            "inFlight": {
                "anyOf": [{"const": "cut"}, drain],
                "description": "How long running exchanges may go on after a lapse, at most.",
            },
            "audit": audit,
            "parent": words("A request has to come from a permitted one.", "required"),
        },
        "lease", "timing", "quorum", "inFlight",
    )  # fmt: skip


def _peers() -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": core_profile.PEERS_MAX}


KINDS: Mapping[str, Any] = {
    policy.KIND: _policy, routes.KIND: _routes, profile.KIND: _profile, CASES: case_schema.schema,
}  # fmt: skip
