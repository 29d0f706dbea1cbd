"""`epochgate wait` against real peers."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.fleet import TIMED_OUT
from sidecar.core import layout
from sidecar.core.objects.trust import Mark, Role
from tests import builders
from tests.cli.fleet import Fleet, make_fleet
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]
KEYS = [builders.instance_key(number).key_id for number in (1, 2)]


@pytest.fixture
def fleet(valkeys: Three, tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, valkeys)


def put(fleet: Fleet, number: int, seq: int, state: str = "running", **changes: Any) -> str:
    name = builders.report_body(number).instance
    epoch = Mark(seq=seq, sha256="a" * 64)
    raw = builders.report_bytes(number, epoch=epoch, state=state, **changes)
    fleet.servers[0].do("HSET", layout.reports_key("test"), name, raw)
    return name


def issue(fleet: Fleet, *more: object) -> None:
    fleet.json(
        "epoch", "issue", *fleet.peers(), *fleet.keys(Role.EPOCH, 1, 2),
        "--policy", fleet.folder / "policy.json", "--routes", fleet.folder / "routes.json", *more,
    )  # fmt: skip


def test_fleet_that_is_there_is_not_waited_for(fleet: Fleet) -> None:
    names = {put(fleet, 1, 7), put(fleet, 2, 8)}
    assert set(fleet.json("wait", "--epoch", 7, *fleet.peers())["reached"]) == names


@pytest.mark.parametrize(("seq", "state"), [(6, "running"), (7, "contained"), (7, "starting")])
def test_who_lags_is_named_when_the_time_is_over(fleet: Fleet, seq: int, state: str) -> None:
    put(fleet, 1, 7)
    late = put(fleet, 2, seq, state, reasons=("EG102",))
    done = fleet.run("wait", "--epoch", 7, "--timeout", "300ms", *fleet.peers())
    assert done.exit_code == TIMED_OUT == 124
    assert f"1 of 2 after 300 ms; not there: {late} ({state}, epoch {seq} EG102)" in done.stderr


def test_nobody_at_all_is_not_everybody(fleet: Fleet) -> None:
    done = fleet.run("wait", "--epoch", 1, "--timeout", "200ms", *fleet.peers())
    assert done.exit_code == TIMED_OUT
    assert "nobody reports" in done.stderr


def test_closed_roster_counts_its_own_and_with_all_those_that_are_silent_too(fleet: Fleet) -> None:
    issue(fleet, "--instance", KEYS[0], "--instance", KEYS[1])
    name = put(fleet, 1, 1)
    put(fleet, 9, 0)
    assert fleet.json("wait", "--epoch", 1, *fleet.peers())["reached"] == [name]
    done = fleet.run("wait", "--epoch", 1, "--all", "--timeout", "300ms", *fleet.peers())
    assert done.exit_code == TIMED_OUT
    assert f"key {KEYS[1][:16]} (does not report)" in done.stderr


def test_it_ends_when_the_last_one_arrives_and_tells_how_many_are_there(fleet: Fleet) -> None:
    put(fleet, 1, 7)
    put(fleet, 2, 6)
    arguments = ["wait", "--epoch", "7", "--timeout", "60s", *fleet.peers()]
    command = [sys.executable, "-c", "import sys; from sidecar.cli import main; main(sys.argv[1:])"]
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        assert child.stderr.readline() == "epoch 7: 1 of 2\n"
        put_next(fleet)
        out, _ = child.communicate(timeout=30)
    assert (child.returncode, out) == (0, "epoch 7: 2 of 2\n")


def put_next(fleet: Fleet) -> None:
    """Instance 2 arrives: its next report."""
    body = {"epoch": Mark(seq=7, sha256="a" * 64), "state": "running", "seq": 2}
    name = builders.report_body(2).instance
    raw = builders.report_bytes(2, **body)
    fleet.servers[0].do("HSET", layout.reports_key("test"), name, raw)
