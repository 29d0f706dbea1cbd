"""`epochgate status` against a real status port."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from sidecar.authority.publisher import Counts
from sidecar.cli.status import status
from sidecar.config.sections import Address
from sidecar.telemetry import admin, vouching
from sidecar.telemetry.state import describe
from tests import builders
from tests.telemetry.test_metrics import half_observed, running


class Port:
    """A status port on its own event loop, because the command blocks."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._started.wait(10)

    def _run(self) -> None:
        app = admin.build(
            not_ready=lambda: None, state=lambda: self.state, metrics=lambda _: (b"", "text/plain")
        )
        runner, self.port = self._loop.run_until_complete(admin.start(app, Address("127.0.0.1", 0)))
        self._loop.call_soon(self._started.set)
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def ask(self, *options: str) -> Result:
        return CliRunner().invoke(status, ["--url", f"http://127.0.0.1:{self.port}", *options])


@pytest.fixture
def port() -> Iterator[Port]:
    started = Port()
    yield started
    started.stop()


def test_what_was_measured_is_shown_with_its_problems_and_progress(port: Port) -> None:
    port.state = {
        **describe(running(), builders.now()),
        "runtime": {
            "code_sha256": "1" * 64, "config_sha256": None, "models": {"weights": None},
            "measured_at": builders.NOW, "problems": {"adapter": "is no plain file"},
            "progress": {"name": "weights", "done_bytes": 10, "total_bytes": 1000},
        },
    }  # fmt: skip
    shown = [" ".join(line.split()) for line in port.ask().output.splitlines()]
    for line in (f"code {'1' * 64}", "file weights -", "no digest of adapter is no plain file",
                 "reading weights 10 of 1000 bytes"):  # fmt: skip
        assert line in shown


def test_a_running_sidecar_is_shown_as_a_table(port: Port) -> None:
    port.state = {
        **describe(running(), builders.now()),
        "peers": {"r1": {"result": "ok", "last_success": builders.NOW}, "r2": {"result": "EG601"}},
        "audit": {"records": 12},
        "guarantee": {"superseded_epoch_honoured_ms_max": 4000, "ttl_ms": 4000},
    }
    done = port.ask()
    assert done.exit_code == 0
    lines = {tuple(line.split()) for line in done.output.splitlines()}
    assert ("state", "running") in lines
    assert ("lease", "left", "3499", "ms") in lines
    assert ("r1", "ok", "2027-01-15T08:00:00+00:00") in lines
    assert ("r2", "EG601", "-") in lines
    assert ("audit", "records", "12") in lines
    assert ("superseded_epoch_honoured_ms_max", "4000") in lines


def test_a_contained_sidecar_names_reason_and_causes(port: Port) -> None:
    port.state = {**describe(running(), builders.now(9000)), "causes": ["EG103", "EG801"]}
    out = port.ask().output
    assert "EG102 Lease has expired" in out
    assert "EG103 EG801" in out


def test_halts_epoch_and_name_are_shown(port: Port) -> None:
    said = describe(running(), builders.now())
    halt = {"id": "ab", "reason": "why"}
    port.state = {
        **said,
        "instance": "chat-0123",
        "epoch": {**cast("dict[str, object]", said["epoch"]), "enforcement": "observe",
                  "tenants": ["acme", "globex"]},
        "halts": [
            {**halt, "scope": "global", "value": "", "stops": "all"},
            {**halt, "scope": "route", "value": "chat", "stops": "matching"},
            {**halt, "scope": "service", "value": "other", "stops": "nothing"},
        ],
    }  # fmt: skip
    lines = [" ".join(line.split()) for line in port.ask().output.splitlines()]
    assert "instance chat-0123" in lines
    assert "policy is only observed: what it does not permit is let through" in lines
    assert "tenants acme, globex" in lines
    assert "halt ab global (stops everything here): why" in lines
    assert "halt ab route:chat (stops matching requests): why" in lines
    assert "halt ab service:other (stops nothing here): why" in lines


def test_a_policy_that_is_only_observed_and_its_half_are_shown(port: Port) -> None:
    port.state = describe(replace(running(), policy=half_observed()), builders.now())
    lines = [" ".join(line.split()) for line in port.ask().output.splitlines()]
    assert "policy is only observed: what it does not permit is let through" in lines
    assert "rollout what it has for the other pods" in lines


def test_an_enforced_epoch_for_everybody_needs_no_words(port: Port) -> None:
    port.state = describe(running(), builders.now())
    assert "policy is" not in port.ask().output
    assert "rollout" not in port.ask().output
    assert "tenants" not in port.ask().output


def test_each_sink_is_shown_with_its_lag_and_what_is_wrong(port: Port) -> None:
    known = {"kind": "http", "lag_ms": 0, "records": 7, "failures": 0, "dropped": 0, "why": None}
    port.state = {
        **describe(running(), builders.now()),
        "sinks": {
            "opa": {**known, "behind": False},
            "stream": {**known, "lag_ms": 31_000, "behind": True, "why": "answered 503"},
        },
    }
    shown = port.ask()
    assert shown.exit_code == 0
    rows = [" ".join(line.split()) for line in shown.output.splitlines()]
    assert "SINK KIND LAG RECORDS FAILURES DROPPED STATE" in rows
    assert "opa http 0 ms 7 0 0 sending" in rows
    assert "stream http 31000 ms 7 0 0 holds the gate: answered 503" in rows


def test_workers_are_shown_and_a_silent_one_is_called_so(port: Port) -> None:
    said = {"pid": 7, "restarts": 1, "reason": "EG702", "in_flight": 2, "state": "quarantined"}
    port.state = {
        **describe(running(), builders.now()),
        "workers": [
            {**said, "worker": 0, "up": True},
            {**said, "worker": 1, "up": False},
            {"worker": 2, "pid": None, "up": False, "restarts": 3},
        ],
    }
    lines = {tuple(line.split()) for line in port.ask().output.splitlines()}
    assert ("0", "7", "quarantined", "EG702", "2", "1") in lines
    assert ("1", "7", "silent", "EG702", "2", "1") in lines
    assert ("2", "-", "silent", "-", "-", "3") in lines


def test_json_is_what_the_port_said(port: Port) -> None:
    port.state = describe(running(), builders.now())
    assert json.loads(port.ask("-o", "json").output) == port.state


def test_an_authority_is_shown_by_its_figures(port: Port) -> None:
    port.state = dict(vouching.state(Counts(beats=3, seq=9, issued_at=builders.NOW), []))
    lines = {tuple(line.split()) for line in port.ask().output.splitlines()}
    assert ("beats", "3") in lines
    assert ("beat", "seq", "9") in lines
    assert ("beat", "issued_at", "2027-01-15T08:00:00+00:00") in lines


def test_a_form_from_the_future_is_bad_data_and_no_internal_error(port: Port) -> None:
    port.state = {"state": "running", "lease": [1], "epoch": 5}
    done = port.ask()
    assert done.exit_code == 65
    assert "-o json" in done.stderr


def test_nobody_there_is_unavailable_with_a_hint() -> None:
    done = CliRunner().invoke(status, ["--url", "http://127.0.0.1:1"])
    assert done.exit_code == 69
    assert "listen.status" in done.stderr


def test_something_else_there_is_bad_data(port: Port) -> None:
    done = CliRunner().invoke(status, ["--url", f"http://127.0.0.1:{port.port}/other"])
    assert done.exit_code == 65
    assert "404" in done.stderr


def test_another_scheme_is_not_opened() -> None:
    done = CliRunner().invoke(status, ["--url", "file:///etc/hostname"])
    assert done.exit_code == 64
