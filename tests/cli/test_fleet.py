"""`epochgate status --fleet` against real peers."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.cli.text import UNAVAILABLE, USAGE
from sidecar.core import layout
from sidecar.core.objects.trust import Mark
from tests import builders
from tests.cli.fleet import Fleet, make_fleet
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]


@pytest.fixture
def fleet(valkeys: Three, tmp_path: Path) -> Fleet:
    made = make_fleet(tmp_path, valkeys)
    spec = {
        "trust": {"file": "trust.json"}, "state": {"dir": "."}, "keys": {"beat": "beat-1.key"},
        "beat": {"ttl": "4s"},
        "peers": [{"id": f"p{at}", "url": f"redis://127.0.0.1:{one.port}/0"}
                  for at, one in enumerate(valkeys)],
    }  # fmt: skip
    document = {
        "apiVersion": "epochgate.io/v1alpha1", "kind": "AuthorityConfig",
        "metadata": {"name": "test"}, "spec": spec,
    }  # fmt: skip
    (tmp_path / "authority.yaml").write_text(yaml.safe_dump(document))
    return made


def put(server: ValkeyServer, number: int = 1, **changes: Any) -> str:
    """A report on one peer; the instance's name."""
    name = builders.report_body(number).instance
    server.do("HSET", layout.reports_key("test"), name, builders.report_bytes(number, **changes))
    return name


def test_every_instance_is_shown_with_what_it_says(fleet: Fleet) -> None:
    one = put(fleet.servers[0], 1, state="running", epoch=Mark(seq=7, sha256="a" * 64),
              lease_ms_left=1234)  # fmt: skip
    two = put(fleet.servers[2], 2, state="contained", reasons=("EG102", "EG801"))
    fleet.servers[1].do("HSET", layout.reports_key("test"), "forged", b"rubbish")
    config = fleet.folder / "authority.yaml"
    said = fleet.json("status", "--fleet", "--config", config)
    found = {row["instance"]: row for row in said["instances"]}
    assert found.keys() == {one, two}
    assert (found[one]["state"], found[one]["epoch"], found[one]["lease_ms_left"]) == (
        "running", 7, 1234,
    )  # fmt: skip
    shown = fleet.run("status", "--fleet", "--config", config)
    lines = {tuple(line.split()) for line in shown.stdout.splitlines()}
    assert (one, "model", "running", "7", "1", "1234", "ms", "0", "ms", "-") in lines
    assert (two, "model", "contained", "-", "1", "0", "ms", "0", "ms", "EG102", "EG801") in lines


def test_a_dead_peer_is_noted_and_without_any_peer_nothing_is_claimed(fleet: Fleet) -> None:
    config = fleet.folder / "authority.yaml"
    put(fleet.servers[1])
    fleet.servers[0].stop()
    shown = fleet.run("status", "--fleet", "--config", config)
    assert "note: peer p0" in shown.stderr
    assert json.loads(fleet.run("status", "--fleet", "--config", config, "-o", "json").stdout)[
        "failed"
    ].keys() == {"p0"}
    for server in fleet.servers[1:]:
        server.stop()
    assert fleet.run("status", "--fleet", "--config", config).exit_code == UNAVAILABLE


def test_the_configuration_has_to_be_named(fleet: Fleet) -> None:
    assert fleet.run("status", "--fleet").exit_code == USAGE
