"""The schemas: they hold for what is shipped, and refuse nothing that they should not."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from sidecar.cli.kinds import schema
from sidecar.core import paths

ROOT = Path(__file__).resolve().parent.parent.parent.parent / "policies"
SHIPPED = [path for path in sorted(ROOT.rglob("*.yaml")) if path.parent.name != "invalid"]


@cache
def validator(kind: str) -> Any:
    return jsonschema.Draft202012Validator(schema.schema(kind))


@pytest.mark.parametrize("kind", schema.KINDS)
def test_a_schema_is_one(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema(kind))


@pytest.mark.parametrize("kind", schema.KINDS)
def test_the_files_beside_the_policies_are_fresh(kind: str) -> None:
    file = ROOT / "schemas" / schema.file_name(kind)
    made = schema.schema(kind)
    assert json.loads(file.read_text()) == made, f"epochgate policy schema {kind} > {file}"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_shipped_is_valid_and_names_its_schema(path: Path) -> None:
    text = path.read_text()
    data = yaml.safe_load(text)
    assert list(validator(data["kind"]).iter_errors(data)) == []
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named is not None
    assert (path.parent / named[1]).resolve() == ROOT / "schemas" / schema.file_name(data["kind"])


@pytest.mark.parametrize(
    "pattern",
    ["/", "/a", "/a/b", "/*", "/**", "/a/*/b", "/a/**", "/a//b", "/%2e", "/a.b/~c", "",
     "a", "/a*", "/**/a", "/a b", "/a?b", "/a#b", "/é", "/a\nb", "/***", "//*"],
)  # fmt: skip
def test_paths_are_as_the_gate_reads_them(pattern: str) -> None:
    known = schema.schema("GatePolicy")["properties"]["spec"]["properties"]["match"]
    said = known["properties"]["paths"]["items"]
    valid = jsonschema.Draft202012Validator(said).is_valid(pattern)
    # "//*" only core refuses: a wildcard in a path that is not plain.
    assert valid == (paths.problem(pattern) is None or pattern == "//*")
