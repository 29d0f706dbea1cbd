"""`epochgate policy bench`: its lines are those that benchstat reads."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli.policy import policy
from tests.cli.workbench.made import CHAT, policy_file, table_file

# What golang.org/x/perf/benchfmt takes for a result.
LINE = re.compile(r"Benchmark\S*\s+[0-9]+\s+[0-9.]+ ns/op")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(policy, ["bench", *(str(argument) for argument in arguments)])


@pytest.fixture
def cases_file(tmp_path: Path) -> Path:
    policy_file(tmp_path, "p", [CHAT])
    table_file(tmp_path)
    file = tmp_path / "cases.yaml"
    file.write_text(
        "apiVersion: epochgate.io/v1alpha1\nkind: GatePolicyTest\nmetadata: {name: n}\n"
        "spec:\n  policies: [p.yaml]\n  routes: routes.yaml\n  cases:\n"
        "    - {name: one by one, expect: {decision: deny}}\n"
        "    - {name: elsewhere, given: {workload: {region: eu}}, expect: {decision: deny}}\n"
    )
    return file


def test_each_case_has_as_many_lines_as_were_asked_for(cases_file: Path) -> None:
    lines = call(cases_file, "--time", "1ms", "--count", "2").stdout.splitlines()
    found = [line.split()[0] for line in lines if LINE.fullmatch(line)]
    assert found == [
        "BenchmarkDecide/p/one_by_one", "BenchmarkDecide/p/one_by_one",
        "BenchmarkDecide/p/elsewhere", "BenchmarkDecide/p/elsewhere",
    ]  # fmt: skip
    assert lines[0].startswith("goos: ")
    assert lines[-1] == "PASS"


def test_one_request_for_programs(cases_file: Path) -> None:
    folder = cases_file.parent
    words = ("--routes", folder / "routes.yaml", "--path", "/v1/chat", "--time", "1ms")
    (one,) = json.loads(call(folder / "p.yaml", *words, "-o", "json").stdout)
    assert one["name"] == "p/GET/v1/chat"
    assert one["loops"] >= 1
    assert one["ns_per_op"] > 0


def test_requests_that_are_not_timed_are_refused(cases_file: Path) -> None:
    done = call(cases_file, "--path", "/v1/chat")
    assert (done.exit_code, "give no others" in done.stderr) == (2, True)
    done = call(cases_file.parent / "p.yaml")
    assert (done.exit_code, "give --routes" in done.stderr) == (2, True)
