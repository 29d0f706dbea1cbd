"""The kinds of files as JSON Schema (2020-12), for editors and for pipelines.

Rules:

* What it refuses the reader refuses too, and what it can say it says: unknown keys, missing keys,
  patterns, bounds of numbers, keys that exclude each other. The types of expressions, names that
  are used twice and what another file says are the reader's alone.
* The order of `properties` is the order in which `policy fmt` writes them.

One exception to the first rule: YAML takes an unquoted `true` or `1` for no text, and so does an
editor. The reader does not mind.
"""

import re
from collections.abc import Mapping
from typing import Any, get_args

from sidecar.cli import given
from sidecar.cli.kinds import policy, routes, rules
from sidecar.cli.resource import API_VERSION, NAME_RULE
from sidecar.config.schema import DIALECT
from sidecar.core import canonical, policy_body, recording
from sidecar.core.reason import BY_CODE

Schema = dict[str, Any]

CASES = "GatePolicyTest"

_DURATION = "^[1-9][0-9]{0,14}(ms|s|m|h)$"
_SPAN = "^(0|0(ms|s|m|h)|[1-9][0-9]{0,14}(ms|s|m|h))$"
_SIZE = "^[1-9][0-9]{0,14}(B|KiB|MiB|GiB|TiB)$"
# A letter of a path: printable ASCII but * / ? #
_LETTER = r"[!\"$-)+-.0->@-~]"
_PATTERN = rf"^(/(\*|{_LETTER}*))*/(\*|\*\*|{_LETTER}*)$"


def schema(kind: str) -> Schema:
    """The schema of one kind, a key of `KINDS`."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:epochgate:schema:{kind.lower()}:v1alpha1",
        "title": kind,
        **_object(
            {
                "apiVersion": {"const": API_VERSION},
                "kind": {"const": kind},
                "metadata": _object({"name": _name("What people call it.")}, "name"),
                "spec": KINDS[kind](),
            },
            "apiVersion", "kind", "metadata", "spec",
        ),
    }  # fmt: skip


def file_name(kind: str) -> str:
    """What the file of a schema is called, beside the policies."""
    return f"{kind.lower()}.v1alpha1.json"


def _policy() -> Schema:
    spec = _object(
        {
            "failurePolicy": {
                "const": "Fail", "description": "What cannot be judged is denied; the only value."
            },
            "mode": _words(
                "observe: what the policy denies is let through, counted and recorded.",
                "enforce", "observe",
            ),
            "match": _object(_matching(), "paths", about="The one permit rule; instead of rules."),
            "matchConditions": _conditions("Have to be true, all of them, for match to match."),
            "variables": _list(
                _object(
                    {"name": _typed(policy_body.Identifier),
                     "expression": _expression("Its value.")},
                    "name", "expression",
                ),
                "Values that expressions after them call variables.NAME.",
            ),
            "rules": {
                "type": "array", "items": _rule(),
                "description": "In order; the first that matches decides; none: denied.",
            },
            "validations": _validations("Of every request that a rule permits."),
            "auditAnnotations": _list(
                _object(
                    {"key": _name("Unique."), "valueExpression": _expression("A text.")},
                    "key", "valueExpression",
                ),
                "What is recorded with each decision of a rule.",
            ),
            "budgets": _budgets(),
            "model": _object(
                {
                    "from": {"const": "body"},
                    "maxBytes": {
                        "type": "string", "pattern": _SIZE,
                        "description": "A longer body is denied; at most 1MiB.",
                    },
                },
                "from", "maxBytes", about="Where the model of a request stands.",
            ),
            "parent": _object(
                {
                    "required": _flag("Whether a request without a parent decision is denied."),
                    "maxAge": _duration("How old the parent decision may be."),
                },
                "required", "maxAge", about="The decision that a request descends from.",
            ),
            "rollout": _object(
                {
                    "percent": {
                        "type": "integer", "minimum": 0, "maximum": policy_body.PERCENT_MAX,
                        "description": "Of the pods, for which this policy holds.",
                    },
                    "otherwise": _text("File of the policy of all others, relative to this one."),
                },
                "percent", "otherwise", about="For a part of the pods only.",
            ),
            "audit": _audit(),
        },
    )  # fmt: skip
    spec["oneOf"] = [{"required": ["match"]}, {"required": ["rules"]}]
    spec["dependentRequired"] = {"matchConditions": ["match"]}
    return spec


def _rule() -> Schema:
    found = _object(
        {
            "name": _name("Shown in records and denials; unique."),
            "action": _words("What becomes of a request that matches.", "permit", "deny"),
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
    drain = _object({"drain": _duration("At most 5m.")}, "drain")
    return {
        "methods": {
            "type": "array", "items": _typed(policy_body.Method),
            "description": "Any of them; none listed: every method.",
        },
        "paths": _list(_path(), "Any of them."),
        "headers": {
            "type": "array",
            "items": _object(
                {"name": _field("In lower case."), "value": _typed(policy_body.FieldValue)},
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
    item = {"name": _name("Unique in its list."), "expression": _expression("True or false.")}
    return _list(_object(item, *item), about)


def _validations(about: str) -> Schema:
    item = {
        "name": _name("Unique in its list; recorded when it fails."),
        "expression": _expression("True or false."),
        "message": {
            "type": "string", "pattern": "^[ -~]{1,256}$", "description": "What the client reads."
        },
        "messageExpression": _expression("Makes the message; when it fails, message is used."),
    }  # fmt: skip
    return _list(_object(item, "name", "expression"), about)


def _budgets() -> Schema:
    value = {**_typed(policy_body.FieldValue), "pattern": "^[!-+\\--~]([ -+\\--~]*[!-+\\--~])?$"}
    found = _object(
        {
            "maxAge": _duration("Longest life of a lease, from the issue of its beat."),
            "maxAuditLag": _duration("How long a record may go without a signed checkpoint."),
            "minQuorum": {
                "type": "integer", "minimum": 1, "maximum": policy.QUORUM_MAX,
                "description": "Peers that must agree.",
            },
            "models": _list(value, "Only these are served.", unique=True),
            "regions": _list(_name(""), "Only there.", unique=True),
            "tenants": _list(value, "Only these are served.", unique=True),
        },
        about="Bounds; each can only tighten what holds without it.",
    )  # fmt: skip
    found["minProperties"] = 1
    return found


def _audit() -> Schema:
    def words(key: str, about: str) -> Schema:
        known = policy.AUDIT_WORDS[key]
        return _flag(about) if "true" in known else _words(about, *known)

    secret = {"enum": sorted(recording.SECRET)}
    headers = {
        "type": "array", "maxItems": recording.HEADERS_MAX, "uniqueItems": True,
        "items": {**_field(""), "not": secret}, "description": "Whose values are recorded.",
    }  # fmt: skip
    return _object(
        {
            "durability": words("durability", "strict: on the disk before the answer is read."),
            "receipts": words("receipts", "Whether answers name their record."),
            "beats": words("beats", "Whether the log keeps the beats of leases."),
            "paths": words("paths", "none: records do not say which path was asked for."),
            "subject": _field("Header that names the caller; recorded as a keyed digest."),
            "tenant": _field("Header that says for whom; recorded as a keyed digest."),
            "headers": headers,
        },
        about="What is recorded of requests.",
    )


def _routes() -> Schema:
    upstream = _name("One of upstreams.")
    attributes = _object(
        {
            key: _field(f"Header that names the {key} of a request.")
            for key in routes.ATTRIBUTES
        },
        about="Which headers say whose a request is.",
    )  # fmt: skip
    attributes["minProperties"] = 1
    return _object(
        {
            "upstreams": {
                "type": "object",
                "propertyNames": {"pattern": _ecma(canonical.Name)},
                "additionalProperties": {
                    "type": "string", "pattern": r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$"
                },
                "description": 'Name: "127.0.0.1:8000"; an address, never a host name.',
            },
            "routes": {
                "type": "array",
                "items": _object(
                    {"name": _name("Unique."), "paths": _list(_path(), "Any of them."),
                     "upstream": upstream},
                    "name", "paths", "upstream",
                ),
                "description": "In order; the first that matches; none: denied.",
            },
            "exempt": {
                "type": "array",
                "items": _object(
                    {"target": {"type": "string", "pattern": f"^(/{_LETTER}*)+$"},
                     "upstream": upstream},
                    "target", "upstream",
                ),
                "description": "GET and HEAD of these pass whatever the gate says.",
            },
            "attributes": attributes,
        },
        "upstreams", "routes",
    )  # fmt: skip


def _cases() -> Schema:
    expect = _object(
        {
            "decision": _words("What comes of it.", "permit", "deny", "exempt"),
            "reason": {"enum": sorted(BY_CODE), "description": "Why it is denied."},
            "rule": _name("The rule that decided."),
            "route": _name("The route that it takes."),
            "clause": _name("The condition or validation that was not true, or failed."),
            "message": {"type": "string", "description": "What the client reads."},
            "observed": _flag("Whether it passes only because the policy observes."),
        },
        "decision",
    )
    case = {"name": _text("Unique."), "given": _given(), "expect": expect}
    return _object(
        {
            "policies": _list(_text("Relative to this file."), "Each has to satisfy every case."),
            "routes": _text("A RouteTable, relative to this file."),
            "defaults": {**_given(), "description": "What every case starts from."},
            "cases": {"type": "array", "items": _object(case, "name", "expect")},
        },
        "policies", "routes", "cases",
    )  # fmt: skip


def _given() -> Schema:
    header = _object({"name": {"type": "string"}, "value": {"type": "string"}}, "name", "value")
    value = {"type": "string"}
    parent = _object(
        {
            "id": value,
            "verdict": _words("false: no gate of the fleet has made it.", *given.VERDICTS),
            "age": _span("How old it was when the request came."),
        }
    )
    request = _object(
        {
            "method": _typed(policy_body.Method),
            "path": {"type": "string", "description": "The target; query included."},
            "query": {"type": "string", "description": "Without ?; not when path has one."},
            "host": {"type": "string", "description": "Of the header host."},
            "headers": {"type": "array", "items": header},
            "model": {**value, "description": "In the declared header, or in the body."},
            "tenant": {**value, "description": "In the declared header."},
            "agent": {**value, "description": "In the declared header."},
            "body": _object(
                {"model": value}, "model", about="What it names, where the policy has it read."
            ),
            "parent": {
                "anyOf": [value, parent],
                "description": "The verified parent decision; a text is the id of a fresh permit.",
            },
        }
    )
    lease = _object(
        {
            "state": _words("none: a pod that has just started.", *given.LEASES),
            "age": _span("Since its beat was issued."),
            "remaining": _span("To its earlier deadline; 0: it has lapsed."),
            "quorum": {"type": "integer", "minimum": 0, "maximum": 100},
            "anchor": _words("What its deadline counts from.", "clock", "nonce", "both"),
        }
    )
    return _object(
        {
            "now": {"type": "string", "description": "Wall clock, RFC 3339."},
            "request": request,
            "epoch": _object(
                {
                    "seq": {"type": "integer", "minimum": 1},
                    "age": _span("Since it was issued."),
                    "domain": _name("Of the trust document."),
                }
            ),
            "lease": {"anyOf": [{"enum": list(given.LEASES)}, lease]},
            "workload": _object(dict.fromkeys(("service", "region", "instance"), value)),
        }
    )


KINDS: Mapping[str, Any] = {policy.KIND: _policy, routes.KIND: _routes, CASES: _cases}


def _object(properties: Mapping[str, Any], *required: str, about: str = "") -> Schema:
    found: Schema = {"type": "object"}
    if about:
        found["description"] = about
    return {
        **found,
        "additionalProperties": False,
        "required": list(required),
        "properties": dict(properties),
    }


def _list(item: Schema, about: str, *, unique: bool = False) -> Schema:
    found = {"type": "array", "description": about, "minItems": 1, "items": item}
    return {**found, "uniqueItems": True} if unique else found


def _words(about: str, *words: str) -> Schema:
    return {"enum": list(words), "description": about}


def _flag(about: str) -> Schema:
    return {"type": "boolean", "description": about}


def _text(about: str) -> Schema:
    return {"type": "string", "minLength": 1, "description": about}


def _name(about: str) -> Schema:
    return {**_typed(canonical.Name), "description": f"{about} {NAME_RULE.capitalize()}.".strip()}


def _field(about: str) -> Schema:
    return {**_typed(canonical.FieldName), "description": about or rules.FIELD_RULE}


def _path() -> Schema:
    about = "A path; * stands for one whole segment, a last ** for any rest."
    return {"type": "string", "pattern": _PATTERN, "description": about}


def _expression(about: str) -> Schema:
    most = policy_body.TEXT_MAX
    return {"type": "string", "minLength": 1, "maxLength": most, "description": f"CEL. {about}"}


def _duration(about: str) -> Schema:
    return {"type": "string", "pattern": _DURATION, "description": about}


def _span(about: str) -> Schema:
    text = {"type": "string", "pattern": _SPAN}
    return {"anyOf": [text, {"const": 0}], "description": about}


def _typed(kind: Any) -> Schema:  # noqa: ANN401 - one of core's annotated types
    return {"type": "string", "pattern": _ecma(kind)}


def _ecma(kind: Any) -> str:  # noqa: ANN401 - likewise
    """The pattern of one of core's types, in the dialect of JSON Schema."""
    said = next(meta.pattern for meta in get_args(kind)[1:] if meta.pattern)
    return "^" + re.sub(r"\\A|\\Z", "", said) + "$"
