"""The schema of cases knows what `given.py` reads."""

import jsonschema  # type: ignore[import-untyped]
import pytest

from sidecar.cli import given
from sidecar.cli.kinds import case_schema, schema


def valid(case: dict[str, object]) -> bool:
    spec = {"policies": ["p.yaml"], "routes": "r.yaml", "cases": [{"name": "c", **case}]}
    found = jsonschema.Draft202012Validator(case_schema.schema())
    return not list(found.iter_errors(spec))


@pytest.mark.parametrize("lease", [*given.LEASES, {"age": "1s", "anchor": "both"}])
def test_a_lease_is_a_word_or_what_is_known_of_it(lease: object) -> None:
    assert valid({"given": {"lease": lease}, "expect": {"decision": "permit"}})
    assert not valid({"given": {"lease": "broken"}, "expect": {"decision": "permit"}})


@pytest.mark.parametrize("verdict", given.VERDICTS)
def test_a_parent_has_a_verdict_of_the_known_ones(verdict: str) -> None:
    parent = {"id": "x", "verdict": verdict}
    assert valid({"given": {"request": {"parent": parent}}, "expect": {"decision": "deny"}})
    assert not valid(
        {"given": {"request": {"parent": {"verdict": "?"}}}, "expect": {"decision": "deny"}}
    )


def test_it_is_the_one_of_its_kind() -> None:
    assert schema.schema(schema.CASES)["properties"]["spec"] == case_schema.schema()
