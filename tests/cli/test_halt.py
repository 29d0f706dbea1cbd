"""`epochgate halt` and `epochgate clear` against real peers."""

from pathlib import Path

import pytest

from sidecar import clock
from sidecar.cli.text import BAD_DATA, UNAVAILABLE, USAGE
from sidecar.core import layout
from sidecar.core.objects import halt
from sidecar.core.objects.halt import NO_HALTS, Halts
from sidecar.core.objects.trust import Revoked, Role
from tests import builders, rotation
from tests.cli.fleet import Fleet, make_fleet
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]


@pytest.fixture
def fleet(valkeys: Three, tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, valkeys)


def held(fleet: Fleet, server: ValkeyServer) -> Halts:
    """The orders on one peer, each of which must verify and lie under its own name."""
    found = server.do("HGETALL", layout.halts_key("test"))
    assert isinstance(found, dict)
    orders = [halt.open_order(raw, fleet.trust, clock.now().wall) for raw in found.values()]
    assert {name.decode() for name in found} == {layout.order_field(o.sha256) for o in orders}
    return NO_HALTS.union(orders)


def stop(fleet: Fleet, *more: object) -> list[object]:
    return ["halt", *fleet.peers(), *fleet.keys(Role.HALT, 1), "--reason", "why", *more]


def go(fleet: Fleet, halt_id: str, *numbers: int) -> list[object]:
    keys = fleet.keys(Role.RESUME, *numbers)
    return ["clear", halt_id, *fleet.peers(), *keys, "--reason", "done"]


def test_one_key_halts_and_a_threshold_clears(fleet: Fleet) -> None:
    said = fleet.json(*stop(fleet, "--by", "oncall"))
    assert (said["acks"], said["needed"]) == (3, 2)
    for server in fleet.servers:
        (order,) = held(fleet, server).active
        assert (order.says.halt_id, order.says.requested_by) == (said["halt_id"], "oncall")
    cleared = fleet.json(*go(fleet, said["halt_id"], 1, 2))
    assert cleared["clears"] == said["halt_id"]
    assert cleared["clear_id"] != said["halt_id"]
    assert all(not held(fleet, server).active for server in fleet.servers)


def test_every_halt_has_its_own_id(fleet: Fleet) -> None:
    assert fleet.json(*stop(fleet))["halt_id"] != fleet.json(*stop(fleet))["halt_id"]


def test_one_peer_is_enough_to_halt_with_a_warning(fleet: Fleet) -> None:
    fleet.servers[0].stop()
    fleet.servers[1].stop()
    result = fleet.run(*stop(fleet))
    assert result.exit_code == 0
    assert "warning: halt: 1 of 2 peers took it" in result.stderr
    assert held(fleet, fleet.servers[2]).active


def test_no_peer_is_a_failure_that_says_so(fleet: Fleet) -> None:
    for server in fleet.servers:
        server.stop()
    result = fleet.run(*stop(fleet))
    assert result.exit_code == UNAVAILABLE
    assert "no peer took it" in result.output


@pytest.mark.parametrize("number", [1, 2])
def test_a_halt_of_a_key_that_was_revoked_since_is_an_error(fleet: Fleet, number: int) -> None:
    """The file on this machine still names the key; sidecars have gone on."""
    key = builders.signer(Role.HALT, 1).key_id
    gone = Revoked(keyid=key, reason="stolen", at=clock.now().wall)
    raw = rotation.successor_bytes(fleet.trust, revoked=(gone,))
    fleet.servers[0].do("SET", layout.trust_key("test", 2), raw)
    result = fleet.run("halt", *fleet.peers(), *fleet.keys(Role.HALT, number), "--reason", "why")
    if number == 1:
        assert result.exit_code == BAD_DATA
        assert "halt: nobody believes it: trust version 2 is in force: EG604" in result.output
        assert "sign it again with a key that still has its role" in result.output
    else:
        assert result.exit_code == 0


def test_too_few_keys_clear_nothing(fleet: Fleet) -> None:
    said = fleet.json(*stop(fleet))
    for numbers in ((1,), (1, 1)):
        result = fleet.run(*go(fleet, said["halt_id"], *numbers))
        assert result.exit_code == BAD_DATA
        assert "needs 2 keys of role resume, 1 given: 1 more --key" in result.output
    assert held(fleet, fleet.servers[0]).active


def test_key_without_the_role_halts_nothing(fleet: Fleet) -> None:
    keys = fleet.keys(Role.BEAT, 1)
    result = fleet.run("halt", *fleet.peers(), *keys, "--reason", "why")
    assert result.exit_code == BAD_DATA
    assert f"key {builders.signer(Role.BEAT).key_id[:16]} has no such role" in result.output


@pytest.mark.parametrize("halt_id", ["", "abc", "Z" * 32, "0" * 31, "0" * 64, "--"])
def test_id_of_the_wrong_form_is_refused(fleet: Fleet, halt_id: str) -> None:
    assert fleet.run(*go(fleet, halt_id, 1, 2)).exit_code in (USAGE, 2)


@pytest.mark.parametrize(
    ("scope", "kind", "value"),
    [("global", "global", ""), ("service:chat", "service", "chat"), ("drill", "drill", "")],
)
def test_scope_reaches_the_order(fleet: Fleet, scope: str, kind: str, value: str) -> None:
    fleet.json(*stop(fleet, "--scope", scope))
    (order,) = held(fleet, fleet.servers[0]).orders
    assert (order.says.scope.kind, order.says.scope.value) == (kind, value)


def test_what_will_stop_is_said(fleet: Fleet) -> None:
    assert fleet.json(*stop(fleet))["stops"] == "every sidecar"
    assert (
        "stops: every sidecar of service chat"
        in fleet.run(*stop(fleet, "--scope", "service:chat")).stdout
    )
    assert fleet.json(*stop(fleet, "--scope", "drill"))["stops"] == "nothing"


def test_a_route_that_the_newest_epoch_does_not_have_is_halted_with_a_warning(fleet: Fleet) -> None:
    """The halt goes out all the same: the next epoch may have it."""
    fleet.json(
        "epoch", "issue", *fleet.peers(), *fleet.keys(Role.EPOCH, 1, 2),
        "--policy", fleet.folder / "policy.json", "--routes", fleet.folder / "routes.json",
    )  # fmt: skip
    assert "warning" not in fleet.run(*stop(fleet, "--scope", "route:api")).stderr
    result = fleet.run(*stop(fleet, "--scope", "route:apl"))
    assert result.exit_code == 0
    assert "warning: halt: epoch 1 has no route apl" in result.stderr
    assert len(held(fleet, fleet.servers[0]).active) == 2


# -- the list


def test_every_halt_is_listed_with_what_became_of_it(fleet: Fleet) -> None:
    first = fleet.json(*stop(fleet, "--by", "oncall"))["halt_id"]
    second = fleet.json(*stop(fleet, "--scope", "service:chat"))["halt_id"]
    third = fleet.json(*stop(fleet, "--scope", "drill"))["halt_id"]
    fleet.json(*go(fleet, first, 1, 2))
    listed = fleet.json("halts", *fleet.peers())
    assert [(one["id"], one["scope"], one["value"], one["state"]) for one in listed] == [
        (first, "global", "", "cleared"),
        (second, "service", "chat", "in force"),
        (third, "drill", "", "drill"),
    ]
    assert (listed[0]["requested_by"], listed[0]["reason"]) == ("oncall", "why")
    lines = fleet.run("halts", *fleet.peers()).stdout.splitlines()
    assert lines[0].split() == ["ID", "SCOPE", "STATE", "WHEN", "BY", "REASON"]
    assert lines[2].split()[:4] == [second, "service:chat", "in", "force"]


def test_a_halt_on_one_peer_is_listed_and_missing_peers_are_said(fleet: Fleet) -> None:
    fleet.servers[0].stop()
    fleet.servers[1].stop()
    fleet.run(*stop(fleet))
    result = fleet.run("halts", *fleet.peers())
    assert result.exit_code == 0
    assert "warning: halts: 1 of 2 needed peers answered" in result.stderr
    assert "in force" in result.stdout


def test_no_peer_to_list_from_is_a_failure(fleet: Fleet) -> None:
    for server in fleet.servers:
        server.stop()
    result = fleet.run("halts", *fleet.peers())
    assert result.exit_code == UNAVAILABLE
    assert "no peer answered" in result.output


def test_an_order_that_nobody_signed_is_not_listed(fleet: Fleet) -> None:
    fleet.servers[0].do("HSET", layout.halts_key("test"), "f" * 64, b"{}")
    assert fleet.json("halts", *fleet.peers()) == []


@pytest.mark.parametrize("scope", ["everything", "service", "global:x", ""])
def test_scope_that_is_none_is_refused(fleet: Fleet, scope: str) -> None:
    assert fleet.run(*stop(fleet, "--scope", scope)).exit_code == USAGE


@pytest.mark.parametrize("command", ["halt", "clear", "halts"])
def test_help_ends_with_an_example(fleet: Fleet, command: str) -> None:
    assert f"Example:\n    epochgate {command} " in fleet.run(command, "--help").output
