"""`epochgate epoch rollback` against real peers."""

from pathlib import Path

import pytest

from sidecar.cli.text import BAD_DATA
from sidecar.core import canonical, layout
from sidecar.core.objects.trust import Role
from tests import builders
from tests.cli.fleet import Fleet, make_fleet
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]
NEWER = builders.POLICY.replace(b"/v1/**", b"/v2/**")
OTHER_ROUTES = builders.ROUTES.replace(b'"name":"api"', b'"name":"v1"')
TIMES = {"seq", "prev_sha256", "issued_at", "not_before", "not_after", "reason", "removes"}


@pytest.fixture
def fleet(valkeys: Three, tmp_path: Path) -> Fleet:
    """Peers that hold two epochs: 2 has another policy, other routes, and demands less."""
    made = make_fleet(tmp_path, valkeys)
    first = ("--service", "chat", "--max-unacked", "5s", "--not-after", "1h")
    issue(made, "policy.json", "routes.json", *first)
    (tmp_path / "newer.json").write_bytes(NEWER)
    (tmp_path / "other.json").write_bytes(OTHER_ROUTES)
    issue(made, "newer.json", "other.json", "--remove", "route:api")
    return made


def issue(fleet: Fleet, policy: str, routes: str, *more: str) -> None:
    fleet.json(
        "epoch", "issue", *fleet.peers(), *fleet.keys(Role.EPOCH, 1, 2), *more,
        "--policy", fleet.folder / policy, "--routes", fleet.folder / routes,
    )  # fmt: skip


def rollback(fleet: Fleet, *more: object, keys: tuple[int, ...] = (1, 2)) -> list[object]:
    return ["epoch", "rollback", *fleet.peers(), *fleet.keys(Role.EPOCH, *keys), *more]


def chain(fleet: Fleet) -> list[dict[str, object]]:
    found: list[dict[str, object]] = fleet.json("epoch", "history", *fleet.peers())
    return found[::-1]


def test_the_next_epoch_says_what_the_earlier_one_said(fleet: Fleet) -> None:
    said = fleet.json(*rollback(fleet))
    assert said["epoch"] == 3
    first, _, third = chain(fleet)
    assert {k: v for k, v in third.items() if k not in TIMES | {"sha256"}} == {
        k: v for k, v in first.items() if k not in TIMES | {"sha256"}
    }
    assert third["not_after"] - third["issued_at"] == 3_600_000  # type: ignore[operator]
    assert (third["removes"], third["reason"]) == (["route:v1"], "rollback to epoch 1")
    assert [one["what"] for one in said["changes"]] == [
        "policy", "routes", "services", "max unacked", "life", "takes away",
    ]  # fmt: skip
    # Once more goes back to what there was before: the newest that says something else.
    fleet.json(*rollback(fleet, "--reason", "no", "--not-after", "2h"))
    second, fourth = chain(fleet)[1::2]
    assert fourth["policy"] == second["policy"]
    assert fourth["reason"] == "no"
    assert fourth["not_after"] - fourth["issued_at"] == 7_200_000  # type: ignore[operator]


def test_an_epoch_that_only_says_the_same_for_longer_is_passed_over(fleet: Fleet) -> None:
    issue(fleet, "newer.json", "other.json", "--not-after", "48h")
    said = fleet.json(*rollback(fleet, "--dry-run", keys=()))
    assert "policy" in [one["what"] for one in said["changes"]]
    assert len(chain(fleet)) == 3, "a dry run"
    said = fleet.json(*rollback(fleet, "--to", 2))
    assert [one["what"] for one in said["changes"]] == ["life"]


def test_what_the_earlier_one_names_has_to_be_there(fleet: Fleet) -> None:
    gone = canonical.digest(builders.POLICY)
    for server in fleet.servers:
        server.do("DEL", layout.blob_key("test", gone))
    done = fleet.run(*rollback(fleet))
    assert done.exit_code == BAD_DATA
    assert f"no peer holds what epoch 1 names: policy sha256:{gone}; put it back" in done.output
    assert len(chain(fleet)) == 2
    fleet.json("policy", "publish", fleet.folder / "policy.json", *fleet.peers())
    assert fleet.json(*rollback(fleet))["epoch"] == 3


def test_an_epoch_that_no_peer_holds_is_said_with_how_far_back_they_go(fleet: Fleet) -> None:
    first = str(chain(fleet)[0]["sha256"])
    for server in fleet.servers:
        server.do("DEL", layout.epoch_key("test", first))
    done = fleet.run(*rollback(fleet, "--to", 1))
    assert done.exit_code == BAD_DATA
    assert "the peers hold the chain back to epoch 2 only" in done.output


@pytest.mark.parametrize("number", [2, 9])
def test_only_an_earlier_one_can_be_gone_back_to(fleet: Fleet, number: int) -> None:
    done = fleet.run(*rollback(fleet, "--to", number))
    assert done.exit_code == BAD_DATA
    assert f"--to {number}: must be an earlier one; the newest is 2" in done.output


def test_without_anything_to_go_back_to_nothing_is_signed(valkeys: Three, tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, valkeys)
    assert "nothing to go back to" in fleet.run(*rollback(fleet)).output
    issue(fleet, "policy.json", "routes.json")
    issue(fleet, "policy.json", "routes.json")
    done = fleet.run(*rollback(fleet))
    assert done.exit_code == BAD_DATA
    assert "no epoch before 2 says anything else" in done.output
    assert "Example:\n    epochgate epoch rollback" in fleet.run("epoch", "rollback", "-h").output
