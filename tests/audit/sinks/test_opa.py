"""The shape of OPA's decision logs, and the exact record inside."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from sidecar import __version__
from sidecar.audit.sinks import opa
from sidecar.audit.sinks.feed import Entry
from sidecar.audit.sinks.opa import OpaPost
from sidecar.core import canonical
from sidecar.core.gate import Gate
from sidecar.roles.sinks import in_thread
from tests import builders
from tests.audit.journals import (
    HEAD,
    ORIGIN,
    make_permit,
    make_recorder,
    make_snapshot,
    open_journal,
)
from tests.audit.sinks.parts import Clock, Line, Receiver, entries, settings

TRACE = "0af7651916cd43dd8448eb211c80319c"


def records(folder: Path) -> list[Entry]:
    """A permit with its outcome, a denial, a change of state."""
    journal = open_journal(folder)
    recorder = make_recorder(journal, Gate())
    snapshot = make_snapshot()
    decision_id = recorder.decision(make_permit(snapshot), HEAD, TRACE, builders.now())
    assert decision_id is not None
    recorder.outcome(decision_id, "permit", None, builders.now(1), dur_ns=10, status=200, sent=True)
    recorder.state("transition", {"from": "a", "to": "b"}, builders.now(2))
    lines = list(journal.fresh)
    journal.close()
    return [Entry(seq, msgspec.json.decode(line)["ts"], line) for seq, line in enumerate(lines)]


def test_a_permit_is_a_decision_as_opa_logs_it(tmp_path: Path) -> None:
    permit, outcome, change = json.loads(opa.encode("chat", ORIGIN, records(tmp_path)))
    inside = permit.pop("epochgate")
    assert permit == {
        "labels": {
            "id": "pod-1", "instance": "pod-1", "app": "chat", "version": __version__,
            "origin": ORIGIN,
        },
        "decision_id": inside["decision_id"],
        "path": "epochgate/decision",
        "input": {
            "method": "POST", "path": "/v1/chat", "route": inside["route"],
            "upstream": inside["upstream"],
        },
        "result": {"allow": True, "reason": None, "rule": inside["rule"]},
        "bundles": {
            "policy": {"revision": inside["policy_sha"]},
            "epoch": {"revision": inside["epoch"]["sha"]},
        },
        "timestamp": permit["timestamp"],
        "trace_id": TRACE,
    }  # fmt: skip
    when = datetime.fromisoformat(permit["timestamp"])
    assert permit["timestamp"].endswith("Z")
    assert when == datetime.fromtimestamp(inside["ts"] / 1000, UTC)
    assert outcome["path"] == "epochgate/outcome"
    assert outcome["input"] == {"decision_id": permit["decision_id"]}
    assert outcome["decision_id"] != permit["decision_id"], "receivers drop repeated ids"
    assert change["path"] == "epochgate/transition"
    assert {"labels", "decision_id", "path", "timestamp", "epochgate"} == set(change)


def test_a_denial_says_why_and_names_no_policy_where_none_was_in_force(folder: Path) -> None:
    [event] = json.loads(opa.encode("chat", ORIGIN, entries(folder, 1)))
    assert event["result"] == {"allow": False, "reason": "EG905", "rule": None}
    assert event["bundles"] == {}
    assert "trace_id" not in event


def test_what_a_policy_wants_written_down_is_part_of_the_result(folder: Path) -> None:
    [entry] = entries(folder, 1)
    said = {**json.loads(entry.line), "annotations": {"agent": "a7"}, "clause": "small"}
    changed = replace(entry, line=canonical.encode(said))
    [event] = json.loads(opa.encode("chat", ORIGIN, [changed]))
    assert event["result"] == {
        "allow": False, "reason": "EG905", "rule": None, "annotations": {"agent": "a7"},
        "clause": "small",
    }  # fmt: skip


def test_the_record_inside_is_the_very_bytes_that_are_hashed(folder: Path) -> None:
    sent = entries(folder, 10)
    raw = opa.encode("chat", ORIGIN, sent)
    for entry in sent:
        assert b'"epochgate":' + entry.line + b"}" in raw
    # A receiver that parses and writes anew can still prove it: the form is canonical.
    first, second = (event["epochgate"] for event in json.loads(raw)[:2])
    assert hashlib.sha256(canonical.encode(first)).hexdigest() == second["prev"]


async def test_a_receiver_that_was_down_gets_every_record_once_it_is_up(
    whole: Path, receiver: Receiver, clock: Clock
) -> None:
    outlet = OpaPost(settings("http", receiver.url), "chat", in_thread("test"))
    await receiver.stop()
    line = Line(whole, outlet, clock)
    await line.run(lambda: line.pump.failures >= 1)
    assert "cannot be reached" in line.pump.why
    await receiver.start()
    receiver.always = lambda raw: 413 if len(json.loads(raw)) > 15 else 200
    await line.run()
    await outlet.close()
    seqs = [event["epochgate"]["seq"] for raw in receiver.bodies for event in json.loads(raw)]
    assert seqs == list(range(40))
    assert all(len(json.loads(raw)) <= 15 for raw in receiver.bodies)
