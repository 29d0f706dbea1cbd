"""Each invariant is seen to fail on a planted history, and to hold on the one beside it.

The plain history: beats every 100 ms from 10,000 on, one permit of each sidecar every 50 ms under
the newest beat, no faults, calm from 14,000. Each test plants one thing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import history as kept
from tests.chaos import spans
from tests.chaos.checker import check, known_at
from tests.chaos.figures import figures, head, total
from tests.chaos.history import History, Journal, Record, Span

NAMES = ("s1", "s2", "s3")
PEERS = ("p1", "p2", "p3", "p4", "p5")
TTL_MS, SKEW_MS = 1_000, 50
BEGIN, CALM, END = 10_000, 14_000, 16_000
OK3 = {"p1": "ok", "p2": "ok", "p3": "ok", "p4": "timeout", "p5": "timeout"}


def beat(seq: int, at: int, epoch: int = 1, **changes: Any) -> Record:
    said = {
        "by": "a1", "issuer": "i1", "seq": seq, "sha": f"b{seq}", "epoch_seq": epoch,
        "epoch_sha": f"e{epoch}", "issued_at": at, "ttl_ms": TTL_MS, "halts": 0,
    }  # fmt: skip
    return {**said, **changes}


def permit(known: str, at: int, leaned: Record, **changes: Any) -> Record:
    left = leaned["issued_at"] + TTL_MS - SKEW_MS - at
    said = {
        "type": "decision", "decision": "permit", "decision_id": known, "ts": at, "reason": None,
        "beat": {"issuer": leaned["issuer"], "seq": leaned["seq"], "sha": leaned["sha"]},
        "epoch": {"seq": leaned["epoch_seq"], "sha": leaned["epoch_sha"]},
        "lease_ms_left": left,
    }  # fmt: skip
    return {**said, **changes}


def deny(at: int, reason: str = "EG102") -> Record:
    known = f"d{at}"
    return {
        "type": "decision", "decision": "deny", "decision_id": known, "ts": at, "reason": reason,
    }  # fmt: skip


def outcome(known: str, kind: str = "permit", *, sent: bool = True) -> Record:
    return {"type": "outcome", "decision_id": known, "outcome": kind, "sent": sent}


def state(at: int, to: str, reason: str = "") -> Record:
    return {"type": "transition", "ts": at, "detail": {"to": to, "reason": reason}}


def arrival(lane: str, known: str, at: int) -> Record:
    return {
        "lane": lane, "id": known, "number": known, "not_after": f"{at + 500};boot={at + 500}",
        "arrived_boot_ns": at * 10**6, "arrived_wall_ns": at * 10**6,
        "written_wall_ns": at * 10**6, "executed": True, "status": 200,
    }  # fmt: skip


def plain() -> History:
    told = History(
        seed=1, peers=PEERS, quorum=3, ttl_ms=TTL_MS, skew_ms=SKEW_MS, poll_ms=100, timeout_ms=100,
        interval_ms=100, chaos_from=BEGIN, calm_from=CALM, calm_to=END, calm_limit_ms=1_000,
    )  # fmt: skip
    told.beats = [beat(n, at) for n, at in enumerate(range(BEGIN, END, 100))]
    for name in NAMES:
        journal = told.journals[name] = Journal()
        told.relayed[name] = []
        for at in range(BEGIN, END, 50):
            request(told, name, at)
        journal.records.sort(key=lambda record: record.get("ts", 0))
    return told


def request(told: History, name: str, at: int, leaned: Record | None = None) -> Record:
    """One permitted request that went well, at the end of the journal."""
    leaned = leaned or told.beats[(at - BEGIN) // 100]
    known = f"{name}-{at}-{len(told.seen)}"
    made = permit(known, at, leaned)
    told.journals[name].records += [made, {**outcome(known), "ts": at}]
    told.relayed[name].append(known)
    told.seen.append(arrival(name, known, at))
    return made


def without(told: History, begin: int, end: int, *names: str) -> None:
    """Nobody permits in [begin, end)."""
    for name in names or NAMES:
        journal = told.journals[name]
        gone = {r["decision_id"] for r in journal.decisions("permit") if begin <= r["ts"] < end}
        journal.records = [r for r in journal.records if r.get("decision_id") not in gone]
        told.seen = [entry for entry in told.seen if entry["id"] not in gone]


def order(word: str, at: int, took: int = 50, **said: Any) -> Record:
    return {
        "words": [word, "x"], "began": at, "ended": at + took, "status": 0,
        "json": {"peers": OK3, "acks": 3, **said},
    }  # fmt: skip


def halted(told: History, at: int, cleared: int, peers: dict[str, str] | None = None) -> Record:
    made = order("halt", at, halt_id="h", peers=peers or OK3)
    told.commands += [made, order("clear", cleared, clears="h")]
    return made


def first(told: History, name: str = "s1") -> Record:
    return next(told.journals[name].decisions("permit"))


def broken(told: History) -> set[str]:
    return {why[:2] for why in check(told)}


def test_the_plain_history_is_right() -> None:
    assert check(plain()) == []


# --- C1


def test_c1_a_request_without_a_permit() -> None:
    told = plain()
    told.seen.append(arrival("s1", "never-decided", BEGIN))
    assert broken(told) == {"C1"}


def test_c1_a_request_through_the_wrong_sidecar() -> None:
    told = plain()
    told.seen[0]["lane"] = "s2"
    assert broken(told) == {"C1"}


def test_c1_a_permit_that_was_taken_back_and_sent_all_the_same() -> None:
    told = plain()
    known = first(told)["decision_id"]
    told.journals["s1"].outcomes()[known].update(sent=False, outcome="abort")
    assert broken(told) == {"C1"}


def test_c1_one_permit_for_two_requests() -> None:
    told = plain()
    told.seen.append(dict(told.seen[0]))
    assert broken(told) == {"C1"}


def test_c1_an_answer_that_nobody_gave() -> None:
    told = plain()
    del told.seen[0]
    assert broken(told) == {"C1"}


def test_c1_a_permit_whose_process_was_killed_may_have_been_sent_or_not() -> None:
    told = plain()
    for index, entry in enumerate(list(told.seen[:2])):
        records = told.journals["s1"].records
        records.remove(told.journals["s1"].outcomes()[entry["id"]])
        if index:
            told.seen.remove(entry)
    assert broken(told) == set()


def test_of_many_faults_the_first_are_shown() -> None:
    told = plain()
    told.seen = []
    assert len(check(told)) == 9
    assert check(told)[-1].endswith("more")


# --- C2


def test_c2_a_permit_after_its_lease() -> None:
    told = plain()
    request(told, "s1", told.beats[0]["issued_at"] + TTL_MS - SKEW_MS, told.beats[0])
    assert broken(told) == {"C2"}


def test_c2_a_permit_in_the_last_millisecond_of_its_lease() -> None:
    told = plain()
    request(told, "s1", told.beats[0]["issued_at"] + TTL_MS - SKEW_MS - 1, told.beats[0])
    assert broken(told) == set()


@pytest.mark.parametrize(
    "change",
    [
        {"lease_ms_left": TTL_MS},
        {"lease_ms_left": None},
        {"beat": None},
        {"epoch": None},
        {"beat": {"issuer": "i1", "seq": 0, "sha": "forged"}},
        {"beat": {"issuer": "i2", "seq": 0, "sha": "b0"}},
        {"beat": {"issuer": "i1", "seq": 1, "sha": "b0"}},
        {"epoch": {"seq": 1, "sha": "other"}},
    ],
)
def test_c2_a_permit_that_leans_on_something_else(change: dict[str, Any]) -> None:
    told = plain()
    first(told).update(change)
    assert "C2" in broken(told)


def test_c2_a_permit_under_an_epoch_that_nobody_vouches_for_any_more() -> None:
    """Its record lies about the beat; the promise is checked apart from it."""
    told = plain()
    for said in told.beats[1:]:
        said.update(epoch_seq=2, epoch_sha="e2")
    without(told, BEGIN, END)
    forged = beat(0, BEGIN, issued_at=BEGIN + TTL_MS)
    request(told, "s1", BEGIN + TTL_MS, forged)
    why = [line for line in check(told) if "vouched for + ttl" in line or "after its lease" in line]
    assert why


def test_c2_a_late_write_that_nobody_noticed() -> None:
    told = plain()
    entry = told.seen[0]
    entry["written_wall_ns"] = entry["arrived_wall_ns"] = (BEGIN + 600) * 10**6
    assert broken(told) == {"C2"}
    told.journals["s1"].outcomes()[entry["id"]]["outcome"] = "late"
    assert broken(told) == {"C2"}, "noticed, but its answer was relayed"
    told.relayed["s1"].remove(entry["number"])
    assert broken(told) == set()


# --- C3


def test_c3_an_epoch_that_goes_back() -> None:
    told = plain()
    told.beats.append(beat(900, BEGIN, epoch=2))
    request(told, "s1", BEGIN + 1, told.beats[-1])
    request(told, "s1", BEGIN + 2, told.beats[0])
    assert broken(told) == {"C3"}


# --- C4


def test_c4_a_permit_later_than_ttl_after_a_halt_that_enough_peers_took() -> None:
    told = plain()
    halted(told, 11_000, 13_500)
    told.spans = [Span("link", NAMES, PEERS, "mute", BEGIN, END)]
    without(told, 11_050 + TTL_MS, 13_500)
    assert broken(told) == set()
    request(told, "s1", 11_050 + TTL_MS, told.beats[20])
    assert broken(told) == {"C4"}


def test_c4_a_permit_after_a_peer_that_holds_the_halt_could_be_read() -> None:
    told = plain()
    halted(told, 11_000, 13_500, {"p1": "ok", "p2": "timeout"})
    told.spans = [Span("link", NAMES, ("p1",), "cut", BEGIN, 11_500)]
    without(told, 11_500 + 710, 13_500)
    assert broken(told) == set()
    request(told, "s2", 11_500 + 800, told.beats[22])
    assert broken(told) == {"C4"}


def test_c4_a_permit_after_the_sidecar_itself_said_that_it_is_halted() -> None:
    told = plain()
    halted(told, 11_000, 13_500)
    told.spans = [Span("link", NAMES, PEERS, "mute", BEGIN, END)]
    without(told, 11_100, 13_500)
    for journal in told.journals.values():
        journal.records.append(state(11_100, "halted"))
    assert broken(told) == set()
    request(told, "s3", 11_200)
    assert broken(told) == {"C4"}


def test_c4_what_a_killed_sidecar_may_have_forgotten_is_not_held_against_it() -> None:
    told = plain()
    made = halted(told, 11_000, 13_500, {"p1": "ok"})
    told.spans = [
        Span("link", NAMES, PEERS, "mute", BEGIN, END),
        Span("sidecar killed", ("s1",), begin=11_110, end=11_300),
    ]
    without(told, 11_100, 13_500)
    for journal in told.journals.values():
        journal.records.append(state(11_100, "halted"))
    request(told, "s1", 11_400)
    assert broken(told) == set()
    assert 11_101 in known_at(told, "s1", told.journals["s1"], made)
    told.spans[1].begin = 11_900
    assert broken(told) == {"C4"}, "stored long before it was killed"


def test_c4_a_halt_that_its_peers_lost_is_not_known() -> None:
    told = plain()
    halted(told, 11_000, 13_500)
    told.spans = [
        Span("link", NAMES, PEERS, "mute", BEGIN, 12_500),
        Span("peer flushed", ("p1", "p2", "p3"), begin=11_500, end=11_501),
    ]
    assert broken(told) == set()


def test_c4_after_the_clear_everything_goes_on() -> None:
    told = plain()
    halted(told, 11_000, 11_020)
    assert broken(told) == set()


# --- C5


@pytest.mark.parametrize(
    "change",
    [{"fault": "byte 7: torn"}, {"verified": False}, {"running": 1}, {"interrupted": 1}],
)
def test_c5_a_journal_that_does_not_verify(change: dict[str, Any]) -> None:
    told = plain()
    for name, value in change.items():
        setattr(told.journals["s2"], name, value)
    assert broken(told) == {"C5"}


def test_c5_kill_may_interrupt() -> None:
    told = plain()
    told.journals["s2"].interrupted = 1
    told.spans = [Span("sidecar killed", ("s2",), begin=BEGIN, end=BEGIN + 1)]
    assert broken(told) == set()


# --- C6


def test_c6_a_sidecar_that_never_permits_again() -> None:
    told = plain()
    without(told, CALM, END, "s3")
    assert broken(told) == {"C6"}


def test_c6_a_sidecar_that_takes_too_long() -> None:
    told = plain()
    without(told, CALM, CALM + 1_001, "s3")
    assert broken(told) == {"C6"}


def test_c6_a_quarantine_without_a_contradiction() -> None:
    told = plain()
    without(told, 12_000, END, "s1")
    told.journals["s1"].records.append(state(12_000, "quarantined", "EG803"))
    assert broken(told) == {"C6"}
    told.beats.append(beat(3, 10_300, sha="other"))
    assert broken(told) == set(), "two beats with one number: it is right"


# --- C7


def test_c7_a_denial_without_any_fault() -> None:
    told = plain()
    told.journals["s1"].records.append(deny(12_000))
    assert broken(told) == {"C7"}
    told.spans = [Span("peer stopped", ("p1",), begin=11_000, end=11_500)]
    assert broken(told) == set(), "that run had a fault; its rate is reported instead"


def test_c7_a_denial_while_the_links_themselves_stood_still() -> None:
    told = plain()
    told.journals["s1"].records.append(deny(12_000))
    told.stalls = [(11_500, 11_700)]
    assert broken(told) == set()
    told.stalls = [(10_500, 10_700)]
    assert broken(told) == {"C7"}, "long before"


def test_c7_denials_before_the_first_permit_are_the_start() -> None:
    told = plain()
    told.journals["s1"].records.insert(0, deny(9_000, "EG905"))
    assert broken(told) == set()


def test_c7_a_sidecar_that_never_permitted() -> None:
    told = plain()
    without(told, BEGIN, END, "s1")
    assert "C7" in broken(told)


# --- C8


def test_c8_a_reply_of_another_request_that_was_taken() -> None:
    told = plain()
    wrong = {"process": "s1", "peer": "p1", "how": "swap", "limit": 0, "later": 0}
    told.tampered = [wrong]
    assert broken(told) == set()
    wrong["later"] = 1
    assert broken(told) == {"C8"}


# --- spans and figures


def test_times_are_merged_and_subtracted() -> None:
    assert spans.merged([(5, 7), (1, 3), (2, 4), (9, 9)]) == [(1, 4), (5, 7)]
    assert spans.free([(2, 4), (3, 6), (9, 12)], 0, 10) == [(0, 2), (6, 9)]
    assert spans.free([(-5, 20)], 0, 10) == []
    assert spans.free([], 0, 10) == [(0, 10)]
    assert spans.free([(12, 14)], 0, 10) == [(0, 10)]


Planted = Callable[[History], None]


def _two_peers(told: History) -> None:
    told.spans = [Span("peer stopped", ("p1", "p2"), begin=12_000, end=13_000)]


def _three_peers(told: History) -> None:
    told.spans = [Span("majority stopped", ("p1", "p2", "p3"), begin=12_000, end=13_000)]


def _one_authority(told: History) -> None:
    told.spans = [Span("authority killed", ("a1",), begin=12_000, end=13_000)]


def _no_authority(told: History) -> None:
    told.spans = [Span("authorities silent", ("a1", "a2"), begin=12_000, end=13_000)]


def _no_common_peers(told: History) -> None:
    """Sidecar and authorities each reach three peers, but only one of them is the same."""
    told.spans = [
        Span("cut off", ("s1",), ("p1", "p2"), "cut", 12_000, 13_000),
        Span("cut off", ("a1",), ("p4", "p5"), "cut", 12_000, 13_000),
        Span("cut off", ("a2",), ("p4", "p5"), "cut", 12_000, 13_000),
    ]


def _stall(told: History) -> None:
    told.stalls = [(12_000, 13_000)]


def _halt(told: History) -> None:
    told.commands = [order("halt", 12_000, halt_id="h"), order("clear", 12_500, clears="h")]


@pytest.mark.parametrize(
    ("plant", "good"),
    [
        (_two_peers, [(BEGIN + TTL_MS, END)]),
        (_one_authority, [(BEGIN + TTL_MS, END)]),
        (_three_peers, [(BEGIN + TTL_MS, 12_000), (14_000, END)]),
        (_no_authority, [(BEGIN + TTL_MS, 12_000), (14_000, END)]),
        (_no_common_peers, [(BEGIN + TTL_MS, 12_000), (14_000, END)]),
        (_stall, [(BEGIN + TTL_MS, 12_000), (14_000, END)]),
        (_halt, [(BEGIN + TTL_MS, 12_000), (12_550 + 2 * TTL_MS, END)]),
    ],
)
def test_the_promise_holds_while_enough_is_there(
    plant: Planted, good: list[tuple[int, int]]
) -> None:
    told = plain()
    plant(told)
    assert spans.promised(told, "s1", ("a1", "a2")) == good


def test_a_false_containment_is_counted_only_within_the_promise() -> None:
    told = plain()
    _three_peers(told)
    told.journals["s1"].records += [deny(11_500), deny(12_500), deny(13_500), deny(15_000)]
    found = figures(told)
    assert (found.false_denials, found.denials) == ({"EG102": 2}, {"EG102": 4})
    assert found.promised_requests > 100


def test_the_longest_silence_and_halt_are_found() -> None:
    told = plain()
    told.beats = [said for said in told.beats if not 11_000 < said["issued_at"] < 12_500]
    without(told, 11_900, 12_500)
    assert figures(told).silent_ms == 850
    without(told, 13_000, 13_600)
    halted(told, 12_700, 13_500)
    assert figures(told).halted_ms == 200


def test_a_row_says_what_is_broken() -> None:
    found = figures(plain())
    assert "BROKEN" in found.line(["C1: x"])
    assert len(found.line([]).split("ok")[0]) <= len(head().split("verdict")[0])
    assert "3 runs" in total([found] * 3)[0]


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    told = plain()
    told.spans = [Span("link", ("s1",), ("p1",), "cut", 1, None)]
    told.stalls = [(1, 2)]
    told.save(tmp_path)
    (tmp_path / "seen").write_text("")
    found = kept.load(tmp_path)
    assert (found.spans, found.stalls, found.beats) == (told.spans, told.stalls, told.beats)
