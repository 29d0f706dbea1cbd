"""What is written about a decision, and that no decision stands without it."""

import errno
import os
import resource
import signal
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from msgspec import UNSET

from sidecar.audit.journal import Journal
from sidecar.audit.recorder import Recorder
from sidecar.core import canonical, policy, policy_body, recording
from sidecar.core.clauses import Clause
from sidecar.core.facts import Workload
from sidecar.core.gate import Denial, Gate, Permit, decide
from sidecar.core.head import RequestHead
from sidecar.core.instant import Now, WallMs, ms_until
from sidecar.core.log import record
from sidecar.core.log.merkle import leaf_hash
from sidecar.core.log.record import Decision, Outcome, StateChange
from sidecar.core.parent import FALSE, NO_CLAIM, UNCHECKED, Claim
from sidecar.core.policy import Rule, Verdict
from sidecar.core.profile import BASELINE
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import CLOSED, HoldKind, State
from tests import builders, clauses
from tests.audit.journals import (
    BOOT,
    DENIAL,
    DIGEST_KEY,
    HEAD,
    INSTANCE,
    make_permit,
    make_snapshot,
)

SNAPSHOT = make_snapshot()
PERMIT = make_permit(SNAPSHOT)
NOW = builders.now(100)


def written(journal: Journal, index: int = -1) -> Decision:
    said = record.parse(journal.fresh[index])
    assert isinstance(said, Decision)
    return said


def on_disk(journal: Journal) -> list[bytes]:
    return (journal.folder / "00000000.jsonl").read_bytes().splitlines()


def test_a_permit_is_on_disk_when_its_id_is_known(journal: Journal, recorder: Recorder) -> None:
    decision_id = recorder.decision(PERMIT, HEAD, "f" * 32, NOW)
    assert decision_id == f"{BOOT}-0"
    assert [record.parse(line) for line in on_disk(journal)] == [written(journal)]


def test_a_permit_names_everything_that_it_rests_on(journal: Journal, recorder: Recorder) -> None:
    recorder.decision(PERMIT, HEAD, "f" * 32, NOW)
    said, lease = written(journal), SNAPSHOT.lease
    assert lease is not None
    assert said.beat == record.BeatRef(
        issuer=lease.beat.issuer, seq=lease.beat.seq, sha=lease.beat.sha256
    )
    assert said.epoch == record.EpochRef(seq=lease.epoch_seq, sha=lease.epoch_sha256)
    assert said.policy_sha == canonical.digest(builders.POLICY)
    assert (said.decision, said.reason, said.trust_v) == ("permit", None, 1)
    assert (said.route, said.rule, said.upstream) == ("api", "chat", "model")
    assert (said.method, said.path, said.trace_id) == ("POST", "/v1/chat", "f" * 32)
    assert (said.boot, said.inst, said.ts) == (BOOT, INSTANCE, NOW.wall)
    assert said.lease_ms_left == ms_until(lease.deadline, NOW.boot) > 3000


HEADERS = (
    (b"x-user", b"alice"), (b"x-request-id", b"r\xe9"), (b"x-tenant", b"acme"), (b"x-b", b"1"),
    (b"x-b", b"2"), (b"cookie", b"secret"),
)  # fmt: skip


def asking(**audit: Any) -> tuple[Permit, RequestHead]:
    """A permit under a policy that says this about records, and a request with `HEADERS`."""
    body = canonical.load(builders.POLICY, policy.Body, policy.MAX_BYTES)
    said = msgspec.structs.replace(body, audit=recording.Body(**audit))
    snapshot = replace(SNAPSHOT, policy=policy.parse(canonical.dump(said)))
    return make_permit(snapshot), replace(HEAD, headers=HEADERS)


def test_who_asked_and_for_whom_is_a_digest_and_only_listed_headers_are_told(
    journal: Journal, recorder: Recorder
) -> None:
    permit, head = asking(subject="x-user", tenant="x-tenant", headers=("x-request-id", "x-b"))
    recorder.decision(permit, head, None, NOW)
    said = written(journal)
    assert said.subject_h == recording.digest(DIGEST_KEY, b"subject", b"alice")
    assert said.tenant_h == recording.digest(DIGEST_KEY, b"tenant", b"acme")
    assert said.headers == {"x-b": "1", "x-request-id": "r\\xe9"}
    assert b"alice" not in journal.fresh[-1]
    assert b"acme" not in journal.fresh[-1]
    assert b"secret" not in journal.fresh[-1]


def test_what_no_header_says_for_certain_is_not_told(journal: Journal, recorder: Recorder) -> None:
    permit, head = asking(subject="x-b", tenant="x-nobody", headers=("x-nothing",))
    recorder.decision(permit, head, None, NOW)
    said = written(journal)
    assert (said.subject_h, said.tenant_h, said.headers) == (None, UNSET, {})


def test_a_record_names_the_parent_where_the_policy_asks_for_one(
    journal: Journal, recorder: Recorder
) -> None:
    child = replace(HEAD, parent=Claim("permit", "fedcba9876543210-7", 5))
    recorder.decision(PERMIT, child, None, NOW)
    assert written(journal).parent_id is None, "the policy does not ask"
    body = canonical.load(builders.POLICY, policy.Body, policy.MAX_BYTES)
    asks = policy_body.ParentBody(max_age_ms=1000, required=False)
    asking = policy.parse(canonical.dump(msgspec.structs.replace(body, parent=asks)))
    snapshot = replace(SNAPSHOT, policy=asking)
    permit = replace(PERMIT, snapshot=snapshot)
    recorder.decision(permit, child, None, NOW)
    assert written(journal).parent_id == "fedcba9876543210-7"
    denied = Denial(Reason.PARENT_DENIED, snapshot)
    recorder.decision(
        denied, replace(HEAD, parent=Claim("deny", "fedcba9876543210-8", 5)), None, NOW
    )
    assert written(journal).parent_id == "fedcba9876543210-8"
    for claim in (NO_CLAIM, FALSE, UNCHECKED):
        recorder.decision(permit, replace(HEAD, parent=claim), None, NOW)
        assert written(journal).parent_id is None
    recorder.decision(denied, None, None, NOW)
    assert written(journal).parent_id is None


def test_a_policy_can_keep_paths_out_of_the_log(journal: Journal, recorder: Recorder) -> None:
    permit, head = asking(paths="none")
    recorder.decision(permit, head, None, NOW)
    assert written(journal).path == ""
    recorder.decision(replace(DENIAL, snapshot=permit.snapshot), head, None, NOW)
    assert written(journal).path == ""


def test_a_profile_keeps_paths_out_of_the_log_whatever_the_policy_says(
    journal: Journal, recorder: Recorder
) -> None:
    permit, head = asking(paths="full")
    pathless = replace(permit.snapshot, profile=replace(BASELINE, pathless=True))
    recorder.decision(replace(permit, snapshot=pathless), head, None, NOW)
    assert written(journal).path == ""


def test_a_receipt_is_the_leaf_of_the_record_and_is_given_once(
    journal: Journal, recorder: Recorder
) -> None:
    permit, head = asking(receipts=True)
    recorder.decision(DENIAL, HEAD, None, NOW)
    decision_id = recorder.decision(permit, head, None, NOW)
    assert decision_id is not None
    leaf = b64encode(leaf_hash(journal.fresh[-1])).decode()
    assert recorder.receipt(decision_id) == f"{INSTANCE} 1 {leaf}".encode()
    assert recorder.receipt(decision_id) == b""
    assert recorder.receipt(f"{BOOT}-0") == b"", "the policy then granted none"


def test_a_receipt_that_nobody_took_ends_with_its_request(recorder: Recorder) -> None:
    permit, head = asking(receipts=True)
    decision_id = recorder.decision(permit, head, None, NOW)
    assert decision_id is not None
    recorder.outcome(decision_id, "abort", None, NOW, dur_ns=1, sent=False, status=0)
    assert recorder.receipt(decision_id) == b""


@pytest.mark.parametrize("rule", [None, PERMIT.rule])
def test_a_permit_that_was_only_observed_says_what_it_would_be_denied_for(
    journal: Journal, recorder: Recorder, rule: Rule | None
) -> None:
    made = replace(PERMIT, rule=rule, observed=Reason.POLICY_DENY)
    recorder.decision(made, HEAD, None, NOW)
    said = written(journal)
    assert (said.decision, said.reason) == ("permit", "EG204")
    assert (said.rule, said.route) == (rule and rule.name, "api")


def judged(half: str | None = None) -> Permit:
    """A permit under a policy with an annotation, and with halves when one is named."""
    plain = canonical.parse(builders.POLICY, policy.MAX_BYTES)
    assert isinstance(plain, dict)
    noted = [{"key": "agent", "value_expression": clauses.header_value("x-agent")}]
    body = {**plain, "annotations": noted}
    if half is not None:
        percent = 100 if half == "within" else 0
        body = body | {"rollout": {"otherwise": body, "percent": percent}}
    made = policy.parse(canonical.encode(body), Workload(key_id="ab" * 32))
    head = replace(HEAD, headers=((b"x-agent", b"a7\x1b"),))
    decision = decide(replace(SNAPSHOT, policy=made), head, NOW)
    assert isinstance(decision, Permit)
    return decision


@pytest.mark.parametrize("half", [None, "within", "otherwise"])
def test_what_a_policy_wants_written_down_and_its_half_are_recorded(
    journal: Journal, recorder: Recorder, half: str | None
) -> None:
    recorder.decision(judged(half), HEAD, None, NOW)
    said = written(journal)
    assert (said.annotations, said.rollout) == ({"agent": "a7\\x1b"}, half or UNSET)
    assert said.clause is UNSET
    recorder.decision(replace(DENIAL, snapshot=judged(half).snapshot), HEAD, None, NOW)
    assert (written(journal).annotations, written(journal).rollout) == (UNSET, half or UNSET)


def test_the_clause_that_denied_is_recorded(journal: Journal, recorder: Recorder) -> None:
    clause = Clause("region", lambda facts: False)
    verdict = Verdict(Reason.POLICY_DENY, PERMIT.rule, clause, "said to the client", {})
    recorder.decision(Denial(Reason.POLICY_DENY, SNAPSHOT, PERMIT.rule, verdict), HEAD, None, NOW)
    said = written(journal)
    assert (said.reason, said.rule, said.clause) == ("EG204", "chat", "region")
    assert said.annotations is UNSET
    assert b"said to the client" not in journal.fresh[-1]
    observed = replace(PERMIT, observed=Reason.POLICY_DENY, verdict=verdict)
    recorder.decision(observed, HEAD, None, NOW)
    assert (written(journal).decision, written(journal).clause) == ("permit", "region")


def test_a_record_has_the_bytes_that_it_always_had_where_nothing_was_asked(
    journal: Journal, recorder: Recorder
) -> None:
    recorder.decision(PERMIT, HEAD, None, NOW)
    for key in (b"annotations", b"clause", b"rollout"):
        assert key not in journal.fresh[-1]


def test_query_and_headers_are_never_recorded(journal: Journal, recorder: Recorder) -> None:
    recorder.decision(PERMIT, HEAD, None, NOW)
    assert b"secret" not in journal.fresh[-1]


def test_a_denial_without_anything_verified_is_recorded_with_nulls(
    journal: Journal, recorder: Recorder
) -> None:
    recorder.decision(Denial(Reason.STARTING, CLOSED), None, None, NOW)
    said = written(journal)
    assert (said.decision, said.reason) == ("deny", "EG905")
    assert (said.beat, said.epoch, said.policy_sha, said.trust_v) == (None, None, None, None)
    assert (said.lease_ms_left, said.method, said.path) == (None, "", "")


def test_a_denial_after_the_lease_says_by_how_much_it_lapsed(
    journal: Journal, recorder: Recorder
) -> None:
    lease = SNAPSHOT.lease
    assert lease is not None
    late = builders.now(4000)
    recorder.decision(Denial(Reason.LEASE_EXPIRED, SNAPSHOT), HEAD, None, late)
    said = written(journal)
    assert said.lease_ms_left == ms_until(lease.deadline, late.boot) < 0
    assert said.epoch is not None


def test_what_is_left_of_a_lease_is_what_is_left_by_the_nearer_clock(
    journal: Journal, recorder: Recorder
) -> None:
    lease = SNAPSHOT.lease
    assert lease is not None
    stepped = Now(NOW.boot, WallMs(lease.wall_deadline - 7))
    recorder.decision(PERMIT, HEAD, None, stepped)
    assert written(journal).lease_ms_left == 7


def test_a_new_snapshot_is_seen_at_once(journal: Journal, recorder: Recorder) -> None:
    """What is put together once per snapshot must not outlive it."""
    recorder.decision(PERMIT, HEAD, None, NOW)
    recorder.decision(DENIAL, HEAD, None, NOW)
    recorder.decision(PERMIT, HEAD, None, NOW)
    assert [written(journal, i).epoch is None for i in range(3)] == [False, True, False]


@pytest.mark.parametrize("raw", [b'/\xff\x1b[2J\r\n\x00"\\', bytes(range(256)) * 40, "/é".encode()])
def test_any_bytes_of_a_request_make_a_readable_record(
    journal: Journal, recorder: Recorder, raw: bytes
) -> None:
    head = RequestHead(raw, raw, raw, ())
    recorder.decision(Denial(Reason.REQUEST_MALFORMED, CLOSED), head, "\ud800" + "x" * 999, NOW)
    said = written(journal)
    assert said.path.isascii()
    assert len(journal.fresh[-1]) < record.MAX_BYTES
    assert (said.trace_id, len(on_disk(journal))) == (None, 1)


def test_a_long_path_is_cut_in_the_record(journal: Journal, recorder: Recorder) -> None:
    head = RequestHead(b"GET", b"/", b"/" * 9000, ())
    recorder.decision(DENIAL, head, "x" * 999, NOW)
    said = written(journal)
    assert len(said.path) == record.PATH_MAX_BYTES
    assert said.trace_id == "x" * 64


def test_records_are_chained_across_kinds(journal: Journal, recorder: Recorder) -> None:
    recorder.state("start", {"version": "1"}, NOW)
    decision_id = recorder.decision(PERMIT, HEAD, None, NOW)
    assert decision_id is not None
    recorder.outcome(
        decision_id, "late", Reason.LEASE_EXPIRED, NOW, dur_ns=1, sent=True, status=503
    )
    recorder.outcome(decision_id, "permit", None, NOW, dur_ns=1, sent=True, status=200)
    lines = list(journal.fresh)
    said = [record.parse(line) for line in lines]
    assert [one.seq for one in said] == [0, 1, 2, 3]
    assert [one.prev for one in said] == [record.FIRST_PREV, *map(canonical.digest, lines[:-1])]
    assert on_disk(journal) == lines


def test_an_outcome_carries_the_id_of_its_permit(journal: Journal, recorder: Recorder) -> None:
    decision_id = recorder.decision(PERMIT, HEAD, None, NOW)
    assert decision_id is not None
    recorder.outcome(
        decision_id, "abort", Reason.LEASE_EXPIRED, NOW, dur_ns=2_000_000, sent=False, status=503
    )
    said = record.parse(journal.fresh[-1])
    assert isinstance(said, Outcome)
    assert (said.outcome, said.decision_id, said.reason) == ("abort", decision_id, "EG102")
    assert (said.dur_us, said.sent, said.status) == (2000, False, 503)


@pytest.mark.parametrize(("kind", "sent"), [("late", True), ("abort", False)])
def test_a_permit_that_nobody_profited_from_is_closed_at_once(
    journal: Journal, gate: Gate, kind: Literal["late", "abort"], *, sent: bool
) -> None:
    turns: list[Callable[[], None]] = []
    recorder = Recorder(journal, BOOT, INSTANCE, gate.place, turns.append, DIGEST_KEY)
    recorder.outcome(f"{BOOT}-0", kind, None, NOW, dur_ns=1, sent=sent, status=503)
    assert on_disk(journal) == list(journal.fresh)
    assert not turns


def test_outcomes_wait_for_the_end_of_the_turn_together(journal: Journal, gate: Gate) -> None:
    turns: list[Callable[[], None]] = []
    recorder = Recorder(journal, BOOT, INSTANCE, gate.place, turns.append, DIGEST_KEY)
    for seq in range(3):
        finish(recorder, seq)
    assert on_disk(journal) == []
    [settle] = turns
    settle()
    assert on_disk(journal) == list(journal.fresh)
    finish(recorder, 3)
    assert len(turns) == 2


def test_a_decision_takes_the_outcomes_before_it_along(journal: Journal, gate: Gate) -> None:
    recorder = Recorder(journal, BOOT, INSTANCE, gate.place, lambda _: None, DIGEST_KEY)
    finish(recorder, 0)
    assert recorder.decision(PERMIT, HEAD, None, NOW) == f"{BOOT}-1"
    assert on_disk(journal) == list(journal.fresh)


def test_an_outcome_that_cannot_be_written_holds_the_gate(journal: Journal, gate: Gate) -> None:
    turns: list[Callable[[], None]] = []
    recorder = Recorder(journal, BOOT, INSTANCE, gate.place, turns.append, DIGEST_KEY)
    finish(recorder, 0)
    journal.fail(OSError(errno.EIO, "broken"))
    assert not gate.snapshot.holds
    turns[0]()
    assert quarantined(gate)
    finish(recorder, 1)
    assert len(journal.fresh) == 1


def finish(recorder: Recorder, seq: int) -> None:
    decision_id = f"{BOOT}-{seq}"
    recorder.outcome(decision_id, "permit", None, NOW, dur_ns=1, sent=True, status=200)


def test_a_change_of_state_carries_its_detail(journal: Journal, recorder: Recorder) -> None:
    assert recorder.state("transition", {"from": "running", "causes": ["EG102"]}, NOW)
    said = record.parse(journal.fresh[-1])
    assert isinstance(said, StateChange)
    assert (said.type, said.detail) == ("transition", {"from": "running", "causes": ["EG102"]})


@pytest.mark.parametrize(
    ("detail", "reason"),
    [({"x": 2**53}, Reason.NONCANONICAL), ({"x": "a" * record.MAX_BYTES}, Reason.OVERSIZE)],
)
def test_a_detail_that_could_not_be_read_back_is_not_written(
    journal: Journal, recorder: Recorder, detail: dict[str, str | int], reason: Reason
) -> None:
    with pytest.raises(ProtocolError) as caught:
        recorder.state("transition", detail, NOW)
    assert caught.value.reason is reason
    assert on_disk(journal) == []


@pytest.mark.parametrize(
    ("boot", "instance"), [("short", "pod"), ("G" * 16, "pod"), (BOOT, "\ud800")]
)
def test_names_that_no_reader_would_accept_are_refused_at_start(
    journal: Journal, gate: Gate, boot: str, instance: str
) -> None:
    with pytest.raises(ProtocolError):
        Recorder(journal, boot, instance, gate.place, lambda settle: settle(), DIGEST_KEY)


def quarantined(gate: Gate) -> bool:
    hold = gate.snapshot.holds[0]
    return (hold.reason, hold.kind) == (Reason.AUDIT_UNWRITABLE, HoldKind.LATCHED)


def test_a_failed_write_holds_the_gate_for_good_and_nothing_is_written_again(
    journal: Journal, recorder: Recorder, gate: Gate
) -> None:
    """A bad descriptor stands for any error that the kernel reports."""
    good, journal._current = journal._current, os.open("/dev/null", os.O_RDONLY)
    gate.publish(SNAPSHOT)
    assert gate.snapshot.state(NOW) is State.RUNNING
    assert recorder.decision(PERMIT, HEAD, None, NOW) is None
    assert quarantined(gate)
    os.close(journal._current)
    journal._current = good  # the disk works again, and nobody may rely on it
    assert recorder.decision(PERMIT, HEAD, None, NOW) is None
    assert not recorder.state("stop", {}, NOW)
    gate.lift(Reason.AUDIT_UNWRITABLE)
    assert quarantined(gate)
    assert on_disk(journal) == []


@contextmanager
def full_disk() -> Iterator[None]:
    """Room for one record and a bit: the second is short, as on a disk that fills up.

    The limit is the whole process's, so it stands no longer than the write that it is for: the test
    runner may be writing its own output to a file.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)


def test_a_disk_that_fills_up_within_a_record_holds_the_gate(
    journal: Journal, recorder: Recorder, gate: Gate
) -> None:
    assert recorder.decision(DENIAL, HEAD, None, NOW) is not None
    assert not gate.snapshot.holds
    with full_disk():
        assert recorder.decision(DENIAL, HEAD, None, NOW) is None
    assert quarantined(gate)
    assert journal.seq == 1
    size = (journal.folder / "00000000.jsonl").stat().st_size
    assert size == 600, "the short write must have happened for this test to mean something"
    assert recorder.decision(DENIAL, HEAD, None, NOW) is None
    assert (journal.folder / "00000000.jsonl").stat().st_size == size


def test_a_journal_that_was_not_recovered_takes_nothing(folder: Path, gate: Gate) -> None:
    journal = Journal(folder, 1000)
    try:
        blocked = Recorder(journal, BOOT, INSTANCE, gate.place, lambda settle: settle(), DIGEST_KEY)
        assert blocked.decision(DENIAL, HEAD, None, NOW) is None
        assert quarantined(gate)
    finally:
        journal.close()
