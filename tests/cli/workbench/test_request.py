"""How one request is told to a command."""

from pathlib import Path
from typing import Any

import click
import pytest

from sidecar.cli.resource import ResourceError
from sidecar.cli.text import CliError
from sidecar.cli.workbench import request
from tests.cli.workbench.made import CHAT, policy_file, table_file

NOTHING: dict[str, Any] = {
    "file": None, "case": None, "method": None, "path": None, "headers": (), "settings": (),
}  # fmt: skip


@pytest.fixture
def cases_file(tmp_path: Path) -> Path:
    policy_file(tmp_path, "p", [CHAT])
    table_file(tmp_path)
    file = tmp_path / "cases.yaml"
    file.write_text(
        "apiVersion: epochgate.io/v1alpha1\nkind: GatePolicyTest\nmetadata: {name: n}\n"
        "spec:\n  policies: [p.yaml]\n  routes: routes.yaml\n"
        "  defaults: {request: {method: POST}}\n"
        "  cases:\n"
        "    - {name: one, given: {request: {path: /v1/chat}}, expect: {decision: permit}}\n"
    )
    return file


def read(folder: Path, **said: Any) -> Any:
    return request.read({**NOTHING, **said}, request.table_of(table_file(folder)))


def test_without_a_word_it_is_the_request_of_an_empty_case(tmp_path: Path) -> None:
    start = read(tmp_path)
    assert (start.head.method, start.head.target, start.lease) == (b"GET", b"/", "live")


def test_options_name_request_headers_and_anything_else(tmp_path: Path) -> None:
    start = read(
        tmp_path, method="POST", path="/a?b=c", headers=("X-A: 1", "x-b:2"),
        settings=("request.tenant=acme", "lease.quorum=1", "epoch.age=2s"),
    )  # fmt: skip
    assert (start.head.method, start.head.target) == (b"POST", b"/a?b=c")
    assert start.head.headers == ((b"x-a", b"1"), (b"x-b", b"2"), (b"x-tenant", b"acme"))
    assert (start.quorum, start.epoch_age_ms) == (1, 2000)


def test_options_win_over_a_case(tmp_path: Path, cases_file: Path) -> None:
    start = read(tmp_path, file=cases_file, case="one", path="/other")
    assert (start.head.method, start.head.target) == (b"POST", b"/other")


def test_a_case_has_to_be_there(tmp_path: Path, cases_file: Path) -> None:
    with pytest.raises(CliError, match="no case is named 'two'"):
        read(tmp_path, file=cases_file, case="two")
    with pytest.raises(click.UsageError, match="--case needs -f"):
        read(tmp_path, case="one")
    with pytest.raises(click.UsageError, match="--case needs -f"):
        read(tmp_path, file=tmp_path / "p.yaml", case="one")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"settings": ("epoch.ages=2s",)}, "given.epoch.ages: unknown key; did you mean age"),
        ({"method": "post"}, "command line: given.request.method"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, said: Any, message: str) -> None:
    with pytest.raises(ResourceError, match=message):
        read(tmp_path, **said)


@pytest.mark.parametrize("said", [{"settings": ("epoch.age",)}, {"headers": ("x-a",)}])
def test_what_has_no_value_is_refused(tmp_path: Path, said: Any) -> None:
    with pytest.raises(click.UsageError, match="must be"):
        read(tmp_path, **said)


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("{")
    with pytest.raises(ResourceError, match="is not YAML"):
        read(tmp_path, file=file)
