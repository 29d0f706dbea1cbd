"""`epochgate halt-check` against real peers; the sidecar's part is played here."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sidecar import clock
from sidecar.cli.fleet import TIMED_OUT
from sidecar.cli.text import BAD_DATA, UNAVAILABLE
from sidecar.core import layout
from sidecar.core.objects import halt
from sidecar.core.objects.trust import Role
from tests import builders
from tests.cli.fleet import Fleet, make_fleet
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]
LIMIT_S = 30


@pytest.fixture
def fleet(valkeys: Three, tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, valkeys)


def put(fleet: Fleet, number: int, seq: int = 1, drills: tuple[str, ...] = (), **more: str) -> str:
    name = builders.report_body(number).instance
    raw = builders.report_bytes(number, seq=seq, drills=drills, **more)
    fleet.servers[1].do("HSET", layout.reports_key("test"), name, raw)
    return name


def check(fleet: Fleet, *more: object, key: Role = Role.HALT) -> list[object]:
    return ["halt-check", *fleet.peers(), *fleet.keys(key, 1), *more]


def drill(fleet: Fleet) -> halt.Order:
    """The order on the peers, once it is there."""
    ends = time.monotonic() + LIMIT_S
    while time.monotonic() < ends:
        raws = fleet.servers[2].do("HVALS", layout.halts_key("test"))
        assert isinstance(raws, list)
        if raws:
            return halt.open_order(raws[0], fleet.trust, clock.now().wall)
    raise AssertionError("no drill on the peers")


def test_all_quote_the_challenge_and_the_drill_stops_nothing(fleet: Fleet) -> None:
    names = {put(fleet, 1), put(fleet, 2)}
    arguments = [str(part) for part in check(fleet, "--timeout", "60s", "-o", "json")]
    command = [sys.executable, "-c", "import sys; from sidecar.cli import main; main(sys.argv[1:])"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as child:
        order = drill(fleet)
        assert order.says.challenge is not None
        for number in (1, 2):
            put(fleet, number, 2, ("another", order.says.challenge))
        out, _ = child.communicate(timeout=LIMIT_S)
    said = json.loads(out)
    assert (child.returncode, said["ok"], said["quoted"].keys()) == (0, True, names)
    assert halt.NO_HALTS.union([order]).active == ()


def test_who_did_not_quote_is_unknown_and_never_fine(fleet: Fleet) -> None:
    name = put(fleet, 1, drills=("stale",))
    done = fleet.run(*check(fleet, "--timeout", "300ms"))
    assert done.exit_code == TIMED_OUT
    assert [name, "unknown"] in [line.split() for line in done.stdout.splitlines()]
    assert f"unknown after 300 ms: {name}" in done.stderr


def test_only_the_service_that_was_asked_for_counts_and_nobody_is_no_proof(fleet: Fleet) -> None:
    put(fleet, 1, service="chat")
    name = put(fleet, 2, service="vision")
    done = fleet.run(*check(fleet, "--timeout", "300ms", "--service", "vision"))
    assert f"unknown after 300 ms: {name}\n" in done.stderr
    done = fleet.run(*check(fleet, "--timeout", "200ms", "--service", "other"))
    assert (done.exit_code, "no instance reports" in done.stderr) == (TIMED_OUT, True)


def test_a_key_that_could_not_halt_shows_nothing(fleet: Fleet) -> None:
    put(fleet, 1)
    assert fleet.run(*check(fleet, key=Role.BEAT)).exit_code == BAD_DATA
    assert fleet.servers[2].do("EXISTS", layout.halts_key("test")) == 0


def test_peers_that_do_not_take_it_show_nothing(fleet: Fleet) -> None:
    for server in fleet.servers:
        server.stop()
    assert fleet.run(*check(fleet)).exit_code == UNAVAILABLE
