"""Every policy that we ship, judged by its own cases."""

from functools import cache
from pathlib import Path

import pytest

from sidecar.cli import cases, source
from sidecar.cli.cases import Suite

ROOT = Path(__file__).resolve().parent.parent.parent / "policies"
FILES = sorted(ROOT.glob("*.yaml"))
CASES = sorted((ROOT / "cases").glob("*.yaml"))


@cache
def load(path: Path) -> Suite:
    suite = cases.load(path)
    assert suite is not None, f"{path} is not a {cases.KIND}"
    return suite


def test_there_is_something_to_judge() -> None:
    names = ("kserve-v2", "mcp", "ollama", "openai", "strict", "tgi", "triton", "vllm")
    assert {f"{name}.yaml" for name in names} <= {path.name for path in FILES}
    assert sum(len(load(path).cases) for path in CASES) >= 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_shipped_file_builds(path: Path) -> None:
    kind, raw = source.load(path)
    assert kind == (source.ROUTES if ".routes." in path.name else source.POLICY)
    assert raw.startswith(b'{"_type":"urn:epochgate:')


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_every_case_is_decided_as_stated(path: Path) -> None:
    wrong = [
        f"{result.case.name}: expected {result.case.expected}, found {result.found}"
        for result in cases.run(load(path))
        if not result.passed
    ]
    assert wrong == []


def test_every_shipped_policy_has_cases() -> None:
    judged = {file.resolve() for path in CASES for file, _ in load(path).policies}
    assert {path for path in FILES if ".routes." not in path.name} - judged == set()


def test_every_rule_decides_at_least_one_case() -> None:
    suites = [load(path) for path in CASES]
    results = [result for suite in suites for result in cases.run(suite)]
    assert cases.undecided(suites, results) == []


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_case_names_are_distinct(path: Path) -> None:
    names = [case.name for case in load(path).cases]
    assert sorted(set(names)) == sorted(names)


def test_every_case_without_a_lease_is_denied_or_exempt() -> None:
    found = {
        result.found.decision
        for path in CASES
        for result in cases.run(load(path))
        if result.case.given.lease == "none"
    }
    assert found == {"deny", "exempt"}
