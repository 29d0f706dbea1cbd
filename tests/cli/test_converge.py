"""`--watch`: who is counted, what is shown, and how it ends, against real peers."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar import clock
from sidecar.cli import converge
from sidecar.cli.fleet import TIMED_OUT
from sidecar.core import canonical, layout
from sidecar.core.fleet import Fleet as Known
from sidecar.core.objects.epoch import Epoch, Scope
from sidecar.core.objects.trust import Mark, Role
from tests import builders
from tests.cli.fleet import Fleet, make_fleet
from tests.valkey import ValkeyServer

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]
POLICY, ROUTES = canonical.digest(builders.POLICY), canonical.digest(builders.ROUTES)
NAMES = [builders.report_body(number).instance for number in (1, 2)]
KEYS = [builders.instance_key(number).key_id for number in (1, 2)]


def epoch(**scope: tuple[str, ...]) -> Epoch:
    open_to_all: dict[str, tuple[str, ...]] = {
        "services": (), "regions": (), "tenants": (), "instances": (),
    }  # fmt: skip
    return builders.make_epoch(builders.make_trust(), scope=Scope(**(open_to_all | scope)))


def said(made: Epoch, **changes: Any) -> dict[str, Any]:
    """What an instance says that serves under an epoch."""
    return {
        "state": "running", "epoch": Mark(seq=made.seq, sha256=made.sha256),
        "policy_sha256": made.says.policy.sha256, "routes_sha256": made.says.routes.sha256,
        **changes,
    }  # fmt: skip


def view(made: Epoch, *reports: bytes) -> converge.View:
    known = Known("test", 10_000)
    known.look([reports], clock.now())
    return converge.judged(known.members, made, 0)


def test_all_that_hold_it_is_the_end() -> None:
    made = epoch()
    found = view(
        made, builders.report_bytes(1, **said(made)), builders.report_bytes(2, **said(made))
    )
    assert (found.there, found.missing, found.line) == (2, [], "epoch 1: 2 of 2")


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "contained", "reasons": ("EG206",)},
        {"epoch": None},
        {"epoch": Mark(seq=1, sha256="a" * 64)},
        {"policy_sha256": "a" * 64},
        {"routes_sha256": "a" * 64},
    ],
)
def test_one_that_says_anything_else_does_not_hold_it(changes: dict[str, Any]) -> None:
    made = epoch()
    reports = [
        builders.report_bytes(1, **said(made)),
        builders.report_bytes(2, **said(made, **changes)),
    ]
    found = view(made, *reports)
    assert (found.there, len(found.missing), found.line) == (1, 1, "epoch 1: 1 of 2")
    assert found.missing[0].startswith(f"{NAMES[1]} ({changes.get('state', 'running')}, epoch ")


def test_a_later_epoch_is_not_waited_for_back() -> None:
    made = epoch()
    later = builders.report_bytes(1, **said(made, epoch=Mark(seq=2, sha256="a" * 64)))
    assert view(made, later).there == 1


@pytest.mark.parametrize("scope", [{"services": ("vision",)}, {"regions": ("eu",)}])
def test_whom_the_epoch_is_not_for_is_shown_and_not_counted(scope: dict[str, Any]) -> None:
    made = epoch(**scope)
    mine = {"service": "vision", "region": "eu"}
    reports = [
        builders.report_bytes(1, **said(made, **mine)),
        builders.report_bytes(2, state="contained"),
    ]
    found = view(made, *reports)
    assert (found.there, found.missing) == (1, [])
    assert {row["instance"]: row["holds"] for row in found.rows} == {NAMES[0]: True, NAMES[1]: None}


def test_a_closed_roster_counts_its_own_also_those_that_are_silent() -> None:
    made = epoch(instances=tuple(KEYS))
    found = view(made, builders.report_bytes(1, **said(made)), builders.report_bytes(9))
    assert found.missing == [f"key {KEYS[1][:16]} (does not report)"]
    assert [row["holds"] for row in found.rows].count(None) == 1


def test_nobody_at_all_is_not_everybody() -> None:
    assert view(epoch()).missing == ["nobody reports"]


# --- the commands


@pytest.fixture
def fleet(valkeys: Three, tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, valkeys)


def issue(fleet: Fleet, *more: object) -> list[str]:
    arguments = [
        "epoch", "issue", *fleet.peers(), *fleet.keys(Role.EPOCH, 1, 2),
        "--policy", fleet.folder / "policy.json", "--routes", fleet.folder / "routes.json",
        "--watch", *more,
    ]  # fmt: skip
    return [str(part) for part in arguments]


def put(fleet: Fleet, number: int, **changes: Any) -> None:
    raw = builders.report_bytes(number, **changes)
    fleet.servers[0].do("HSET", layout.reports_key("test"), NAMES[number - 1], raw)


def arrived(seq: int) -> dict[str, Any]:
    """What one says that serves under a later epoch, which counts as well."""
    return {"state": "running", "epoch": Mark(seq=9, sha256="a" * 64), "seq": seq}


@pytest.mark.redis
def test_who_does_not_come_in_time_is_named_and_the_exit_code_says_so(fleet: Fleet) -> None:
    put(fleet, 1, **arrived(1))
    put(fleet, 2, state="contained", reasons=("EG102",))
    done = fleet.run(*issue(fleet, "--timeout", "300ms"))
    assert done.exit_code == TIMED_OUT
    assert "epoch 1: 1 of 2\n" in done.stderr
    assert (
        f"1 of 2 after 300 ms; not there: {NAMES[1]} (contained, epoch none EG102)" in done.stderr
    )
    assert fleet.json("epoch", "show", *fleet.peers())["seq"] == 1, "it stays issued"
    lines = fleet.run(*issue(fleet, "--timeout", "300ms", "-o", "json")).stdout.splitlines()
    issued, first, *_, last = [json.loads(line) for line in lines]
    assert (issued["epoch"], issued["acks"]) == (2, 3)
    assert (first["event"], first["there"], last["event"]) == ("fleet", 1, "timeout")
    assert {row["instance"]: row["holds"] for row in last["instances"]} == dict(
        zip(NAMES, (True, False), strict=True)
    )


@pytest.mark.redis
def test_a_terminal_sees_the_table_change_until_all_are_there(fleet: Fleet) -> None:
    put(fleet, 1, **arrived(1))
    put(fleet, 2, state="starting")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sidecar", *issue(fleet)]
    with subprocess.Popen(command, stdout=theirs, env=os.environ | {"COLUMNS": "120"}) as child:
        os.close(theirs)
        seen = b""
        while b"1 of 2" not in seen:
            seen += os.read(ours, 65536)
        put(fleet, 2, **arrived(2))
        while b"2 of 2" not in seen:
            seen += os.read(ours, 65536)
        assert child.wait(timeout=30) == 0
    os.close(ours)
    assert b"not yet" in seen
    assert seen.count(NAMES[1].encode()) >= 2, "drawn anew"
