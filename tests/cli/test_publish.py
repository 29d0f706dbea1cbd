"""`epochgate policy publish` against real peers."""

from pathlib import Path

import pytest

from sidecar.cli.text import BAD_DATA, UNAVAILABLE
from sidecar.core import canonical, layout
from tests import builders
from tests.cli.fleet import Fleet, make_fleet
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]
POLICY, ROUTES = canonical.digest(builders.POLICY), canonical.digest(builders.ROUTES)


@pytest.fixture
def fleet(valkeys: Three, tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, valkeys)


def publish(fleet: Fleet, *names: str) -> list[object]:
    return ["policy", "publish", *(fleet.folder / name for name in names), *fleet.peers()]


def test_bytes_are_on_every_peer_and_nothing_else_is(fleet: Fleet) -> None:
    said = fleet.json(*publish(fleet, "policy.json", "routes.json"))
    assert [one["sha256"] for one in said["published"]] == [POLICY, ROUTES]
    assert (said["acks"], said["needed"]) == (3, 2)
    for server in fleet.servers:
        assert server.do("GET", layout.blob_key("test", POLICY)) == builders.POLICY
        assert server.do("GET", layout.blob_key("test", ROUTES)) == builders.ROUTES
        assert server.do("DBSIZE") == 2, "nothing names them"
    shown = fleet.run(*publish(fleet, "policy.json", "routes.json")).stdout
    assert shown.count("  ok\n") == 3
    assert f"epochgate epoch issue --policy sha256:{POLICY} --routes sha256:{ROUTES} " in shown


def test_too_few_peers_end_with_the_table_and_exit_69(fleet: Fleet) -> None:
    for server in fleet.servers[:2]:
        server.stop()
    done = fleet.run(*publish(fleet, "policy.json"))
    assert done.exit_code == UNAVAILABLE
    assert "1 of 2 needed peers took it; run this again" in done.output
    assert done.stdout.count("  ok\n") == 1
    assert "next:" not in done.stdout


def test_what_does_not_build_is_said_of_all_files_and_nothing_is_written(fleet: Fleet) -> None:
    for name in ("one.yaml", "two.yaml"):
        (fleet.folder / name).write_text("kind: GatePolicy\n")
    done = fleet.run(*publish(fleet, "policy.json", "one.yaml", "two.yaml"))
    assert done.exit_code == BAD_DATA
    assert "one.yaml" in done.output
    assert "two.yaml" in done.output
    assert fleet.servers[0].do("DBSIZE") == 0


def test_help_ends_with_an_example(fleet: Fleet) -> None:
    assert "Example:\n    epochgate policy publish" in fleet.run("policy", "publish", "-h").output
    assert "  publish " in fleet.run("policy", "--help").output
