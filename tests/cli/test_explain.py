"""Every reason can be explained, by code and by slug."""

import json

import pytest
from click.testing import CliRunner

from sidecar.cli.advice import ADVICE
from sidecar.cli.explain import explain
from sidecar.core.reason import Reason


@pytest.mark.parametrize("code", ["EG102", "eg102", "lease-expired"])
def test_a_code_is_explained(code: str) -> None:
    done = CliRunner().invoke(explain, [code])
    assert done.exit_code == 0
    assert "EG102 lease-expired: Lease has expired" in done.output
    assert ADVICE["EG102"].check in done.output
    assert "503" in done.output


def test_one_reason_as_json_has_its_status() -> None:
    value = json.loads(CliRunner().invoke(explain, ["EG204", "-o", "json"]).output)
    assert (value["status"], value["retryable"], value["validation"]) == (403, False, 2)


def test_without_a_code_all_are_listed() -> None:
    lines = CliRunner().invoke(explain, []).output.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [reason.code for reason in Reason]
    assert len(json.loads(CliRunner().invoke(explain, ["-o", "json"]).output)) == len(Reason)


def test_an_unknown_code_is_a_usage_error() -> None:
    done = CliRunner().invoke(explain, ["EG999"])
    assert done.exit_code == 64
    assert "EG999" in done.stderr
