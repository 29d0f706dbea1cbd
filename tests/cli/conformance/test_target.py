"""Which sidecar is meant."""

from pathlib import Path

import pytest

from sidecar.cli.conformance import target
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.text import CliError


def test_nobody_means_a_deployment_of_our_own() -> None:
    assert target.view(None, None, None) is None


def test_urls_are_those_of_status_port_and_inbound_listener(tmp_path: Path) -> None:
    found = target.view("http://h:1/,http://h:2/", tmp_path, None)
    assert found is not None
    assert (found.status, found.inbound, found.journal) == ("http://h:1", "http://h:2", tmp_path)


def test_a_configuration_says_all_three(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.close()
    gate = deployment.here
    gate.prepare()
    found = target.view(None, None, gate.file)
    assert found is not None
    assert (found.status, found.inbound) == ("http://127.0.0.1:0", "http://127.0.0.1:0")
    assert found.journal is None  # it cannot be read: there is none yet


@pytest.mark.parametrize(
    "said",
    [
        ("ftp://h:1", None, None),
        ("http://h:1,h:2", None, None),
        (None, Path("audit"), None),
        ("http://h:1", None, Path("sidecar.yaml")),
    ],
)
def test_what_cannot_be_meant_is_refused(said: tuple[str | None, Path | None, Path | None]) -> None:
    with pytest.raises(CliError):
        target.view(*said)
