"""What a file of cases may say, as JSON Schema; see `schema.py` for the rules."""

from sidecar.cli import given
from sidecar.cli.kinds.pieces import Schema, flag, listed, mapping, name, span, text, typed, words
from sidecar.core import policy_body
from sidecar.core.reason import BY_CODE

_VALUE = {"type": "string"}


def schema() -> Schema:
    """Of a GatePolicyTest: what its `spec` may say."""
    expect = mapping(
        {
            "decision": words("What comes of it.", "permit", "deny", "exempt"),
            "reason": {"enum": sorted(BY_CODE), "description": "Why it is denied."},
            "rule": name("The rule that decided."),
            "route": name("The route that it takes."),
            "clause": name("The condition or validation that was not true, or failed."),
            "message": {"type": "string", "description": "What the client reads."},
            "observed": flag("Whether it passes only because the policy observes."),
        },
        "decision",
    )
    case = {"name": text("Unique."), "given": _given(), "expect": expect}
    return mapping(
        {
            "policies": listed(text("Relative to this file."), "Each has to satisfy every case."),
            "routes": text("A RouteTable, relative to this file."),
            "defaults": {**_given(), "description": "What every case starts from."},
            "cases": {"type": "array", "items": mapping(case, "name", "expect")},
        },
        "policies", "routes", "cases",
    )  # fmt: skip


def _given() -> Schema:
    return mapping(
        {
            "now": {"type": "string", "description": "Wall clock, RFC 3339."},
            "request": _request(),
            "epoch": mapping(
                {
                    "seq": {"type": "integer", "minimum": 1},
                    "age": span("Since it was issued."),
                    "domain": name("Of the trust document."),
                }
            ),
            "lease": {"anyOf": [{"enum": list(given.LEASES)}, _lease()]},
            "workload": mapping(dict.fromkeys(("service", "region", "instance"), _VALUE)),
        }
    )


def _request() -> Schema:
    header = mapping({"name": {"type": "string"}, "value": {"type": "string"}}, "name", "value")
    parent = mapping(
        {
            "id": _VALUE,
            "verdict": words("false: no gate of the fleet has made it.", *given.VERDICTS),
            "age": span("How old it was when the request came."),
        }
    )
    return mapping(
        {
            "method": typed(policy_body.Method),
            "path": {"type": "string", "description": "The target; query included."},
            "query": {"type": "string", "description": "Without ?; not when path has one."},
            "host": {"type": "string", "description": "Of the header host."},
            "headers": {"type": "array", "items": header},
            "model": {**_VALUE, "description": "In the declared header, or in the body."},
            "tenant": {**_VALUE, "description": "In the declared header."},
            "agent": {**_VALUE, "description": "In the declared header."},
            "body": mapping(
                {"model": _VALUE}, "model", about="What it names, where the policy has it read."
            ),
            "parent": {
                "anyOf": [_VALUE, parent],
                "description": "The verified parent decision; a text is the id of a fresh permit.",
            },
        }
    )


def _lease() -> Schema:
    return mapping(
        {
            "state": words("none: a pod that has just started.", *given.LEASES),
            "age": span("Since its beat was issued."),
            "remaining": span("To its earlier deadline; 0: it has lapsed."),
            "quorum": {"type": "integer", "minimum": 0, "maximum": 100},
            "anchor": words("What its deadline counts from.", "clock", "nonce", "both"),
        }
    )
