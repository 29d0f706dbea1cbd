"""What must hold of a history: one function per invariant, each a list of what is wrong.

Pure functions; everything is compared on one wall clock, so no tolerance for clocks is needed
anywhere but where the sidecar itself promises one (skew, which only tightens).

* C1 what reached the service = permits on record that were not taken back.
* C2 no permit later than its lease permits; nothing late undetected or relayed.
* C3 epochs behind the permits of one sidecar never go down, restarts included.
* C4 a halt stops, until its clear.
* C5 each journal verifies; each permit has exactly one end.
* C6 after the calm everybody permits again, unless held by what people did.
* C7 without faults nothing is denied once the first request was permitted.
* C8 a reply of another request ends its connection.

Source: hardening 7 (I1 to I7); protocol b.3, b.6, b.10.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from tests.chaos import spans
from tests.chaos.history import History, Journal, Record
from tests.chaos.spans import FOREVER
from tests.late import verdict

SLACK_MS = 300  # for a process that waits for a core on a busy machine, once per claim about speed
SHOWN = 8  # of one invariant
STORED_MS = 500  # what a sidecar knows is on its disk by then, and outlives kill -9


def check(history: History) -> list[str]:
    """What is wrong, each with the name of its invariant; the first few of each."""
    found: list[str] = []
    for name, invariant in INVARIANTS.items():
        wrong = [f"{name}: {why}" for why in invariant(history)]
        more = [f"{name}: and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        found += wrong[:SHOWN] + more
    return found


def c1_service_and_journals_agree(history: History) -> Iterator[str]:
    """C1."""
    for name, journal in history.journals.items():
        seen = Counter(entry["id"] for entry in history.seen if entry["lane"] == name)
        ends = journal.outcomes()
        permits = {record["decision_id"] for record in journal.decisions("permit")}
        back = {known for known in permits if known in ends and not ends[known]["sent"]}
        whole = {known for known in permits if ends.get(known, {}).get("outcome") == "permit"}
        for known, times in seen.items():
            if known not in permits:
                yield f"{name}: the service got {known}, and no permit is on record"
            elif known in back:
                yield f"{name}: the service got {known}, which was taken back"
            elif times > 1:
                yield f"{name}: the service got {known} {times} times"
        for known in sorted(whole - seen.keys()):
            yield f"{name}: {known} was relayed to its end, and the service never got it"


def c2_nothing_is_late(history: History) -> Iterator[str]:
    """C2."""
    beats = {beat["sha"]: beat for beat in history.beats}
    vouched = sorted(history.beats, key=lambda beat: int(beat["issued_at"]))
    for name, journal in history.journals.items():
        for record in journal.decisions("permit"):
            why = _bound(record, beats, history) or _unvouched(record, vouched, history)
            if why is not None:
                yield f"{name}: permit {record['decision_id']} {why}"
        yield from _late_writes(name, journal, history)


def _bound(record: Record, beats: dict[str, Record], history: History) -> str | None:
    leaned, epoch = record["beat"], record["epoch"]
    if leaned is None or epoch is None or record["lease_ms_left"] is None:
        return "leans on nothing"
    beat = beats.get(leaned["sha"])
    if beat is None or (beat["issuer"], beat["seq"]) != (leaned["issuer"], leaned["seq"]):
        return f"leans on beat {leaned['seq']}, which no authority sent"
    if (beat["epoch_seq"], beat["epoch_sha"]) != (epoch["seq"], epoch["sha"]):
        return f"under epoch {epoch['seq']} leans on a beat for epoch {beat['epoch_seq']}"
    end = beat["issued_at"] + min(beat["ttl_ms"], history.ttl_ms) - history.skew_ms
    if record["ts"] >= end:
        return f"{record['ts'] - end} ms after its lease"
    if record["ts"] + record["lease_ms_left"] > end:
        return f"says its lease has {record['lease_ms_left']} ms left, not {end - record['ts']}"
    return None


def _unvouched(record: Record, vouched: list[Record], history: History) -> str | None:
    """The promise itself, whatever the record says it leaned on."""
    named = (record["epoch"]["seq"], record["epoch"]["sha"])
    times = [
        beat["issued_at"]
        for beat in vouched
        if (beat["epoch_seq"], beat["epoch_sha"]) == named and beat["issued_at"] <= record["ts"]
    ]
    if not times:
        return f"under epoch {named[0]} before anybody vouched for it"
    late_ms = record["ts"] - times[-1] - history.ttl_ms
    return f"{late_ms} ms after epoch {named[0]} was vouched for + ttl" if late_ms >= 0 else None


def _late_writes(name: str, journal: Journal, history: History) -> Iterator[str]:
    ends, permits = verdict.ends(journal.records), verdict.permits(journal.records)
    for entry in history.seen:
        if entry["lane"] != name or entry["written_wall_ns"] is None:
            continue
        known = entry["id"]
        # Of a permit that its process did not outlive nobody can say what became of it.
        if known not in ends:
            continue
        shown = verdict.judge(
            entry, ends[known], permitted=known in permits,
            relayed=entry["number"] in history.relayed.get(name, ()), fenced=False,
        )  # fmt: skip
        for promise in shown.broken:
            yield f"{name}: {known} arrived late and was {promise}"


def c3_epochs_never_go_back(history: History) -> Iterator[str]:
    """C3."""
    for name, journal in history.journals.items():
        highest = 0
        for record in journal.decisions("permit"):
            seq = record["epoch"]["seq"] if record["epoch"] else 0
            if seq < highest:
                yield f"{name}: {record['decision_id']} under epoch {seq} after {highest}"
            highest = max(highest, seq)


def c4_a_halt_stops(history: History) -> Iterator[str]:
    """C4."""
    for order in history.named("halt"):
        cleared = cleared_at(history, order)
        for name, journal in history.journals.items():
            known = known_at(history, name, journal, order)
            for record in journal.decisions("permit"):
                at = record["ts"]
                if at < cleared and (
                    _renewal_met_it(history, order, at)
                    or any(since <= at and _kept(history, name, since, at) for since in known)
                ):
                    late_ms = at - order["ended"]
                    yield f"{name}: permit {late_ms} ms after a halt, {record['decision_id']}"
                    break


def cleared_at(history: History, order: Record) -> int:
    """When somebody began to clear that halt."""
    began = (
        clear["began"]
        for clear in history.named("clear")
        if clear["json"]["clears"] == spans.halt_id(order)
    )
    return min(began, default=FOREVER)


def acked(order: Record) -> list[str]:
    """The peers that took it for certain."""
    return [peer for peer, said in order["json"]["peers"].items() if said == "ok"]


def _renewal_met_it(history: History, order: Record, at: int) -> bool:
    """Whether every lease of that time was renewed from peers of which one holds the halt: it is
    on w peers, and a renewal takes r; a lease from before is over after ttl."""
    kept = [peer for peer in acked(order) if not spans.lost_at(history, peer, order["began"], at)]
    return at >= order["ended"] + history.ttl_ms and len(kept) >= history.quorum


def known_at(history: History, name: str, journal: Journal, order: Record) -> list[int]:
    """Instants since which this sidecar must know of the halt: it has read a peer that holds it,
    or has written down that it is halted."""
    known = [at for peer in acked(order) for at in _reached(history, name, peer, order)]
    said = (
        record["ts"] + 1
        for record in journal.states()
        if record["detail"]["to"] == "halted" and record["ts"] >= order["began"]
    )
    return known + list(said)[:1]


def _reached(history: History, name: str, peer: str, order: Record) -> list[int]:
    """When at the latest the sidecar has read that peer, undisturbed, after the halt was there."""
    round_ms = history.poll_ms * 11 // 10 + 3 * history.timeout_ms + SLACK_MS
    bad = [
        *spans.peer_bad(history, peer),
        *spans.link_bad(history, name, peer),
        *spans.process_bad(history, name),
    ]
    for begin, end in spans.free(bad, order["ended"], FOREVER):
        if spans.lost_at(history, peer, order["began"], begin):
            return []
        if end - begin >= round_ms:
            return [begin + round_ms]
    return []


def _kept(history: History, name: str, since: int, at: int) -> bool:
    """Whether what a sidecar knew then it still knows: it was not killed before it was stored."""
    return not any(
        span.kind == "sidecar killed" and name in span.who and since <= span.begin
        and span.begin <= min(at, since + STORED_MS)
        for span in history.spans
    )  # fmt: skip


def c5_journals_verify(history: History) -> Iterator[str]:
    """C5."""
    for name, journal in history.journals.items():
        if journal.fault is not None:
            yield f"{name}: {journal.fault}"
        elif not journal.verified:
            yield f"{name}: no checkpoint vouches for the journal"
        if journal.running:
            yield f"{name}: {journal.running} permits without an end, though it stopped in peace"
        killed = any(s.kind == "sidecar killed" and name in s.who for s in history.spans)
        if journal.interrupted and not killed:
            yield f"{name}: {journal.interrupted} permits interrupted, and nobody killed it"


def c6_everybody_recovers(history: History) -> Iterator[str]:
    """C6."""
    genuine = contradictions(history)
    for name, journal in history.journals.items():
        latched = [r for r in journal.states() if r["detail"]["to"] == "quarantined"]
        if latched and not genuine:
            why = latched[0]["detail"]["reason"]
            yield f"{name}: quarantined ({why}), and nobody signed two versions of anything"
        if latched:
            continue
        after = reopened_ms(history, journal)
        stalled_ms = sum(end - begin for begin, end in history.stalls if end > history.calm_from)
        if after is None or after > history.calm_limit_ms + stalled_ms:
            took = "never" if after is None else f"only after {after} ms"
            states = [record["detail"] for record in journal.states()]
            yield f"{name}: permitted {took} after the calm began; last state {states[-1:]}"


def reopened_ms(history: History, journal: Journal) -> int | None:
    """From the beginning of the calm to the first permit in it."""
    later = (r["ts"] for r in journal.decisions("permit") if r["ts"] >= history.calm_from)
    first = next(later, None)
    return None if first is None else first - history.calm_from


def contradictions(history: History) -> bool:
    """Whether two epochs with one number were signed, or two beats."""
    epochs = {(c["json"]["epoch"], c["json"]["sha256"]) for c in history.named("epoch")}
    epochs |= {(beat["epoch_seq"], beat["epoch_sha"]) for beat in history.beats}
    beats = {(beat["issuer"], beat["seq"], beat["sha"]) for beat in history.beats}
    numbers = {(issuer, seq) for issuer, seq, _ in beats}
    return len({seq for seq, _ in epochs}) < len(epochs) or len(numbers) < len(beats)


def c7_no_denial_without_a_fault(history: History) -> Iterator[str]:
    """C7."""
    if history.spans or any(c["began"] >= history.chaos_from for c in history.commands):
        return
    for name, journal in history.journals.items():
        opened = next((r["ts"] for r in journal.decisions("permit")), None)
        if opened is None:
            yield f"{name}: never permitted"
            continue
        denied = [
            record
            for record in journal.decisions("deny")
            if record["ts"] > opened and not _stalled(history, record["ts"])
        ]
        if denied:
            yield f"{name}: {len(denied)} denied, the first with {denied[0]['reason']}"


def _stalled(history: History, at: int) -> bool:
    """Whether all links stood still not long ago: then that run was not without faults."""
    return any(begin <= at < end + history.ttl_ms for begin, end in history.stalls)


def c8_a_wrong_reply_ends_its_connection(history: History) -> Iterator[str]:
    """C8."""
    for wrong in history.tampered:
        if wrong["later"] > wrong["limit"]:
            yield (
                f"{wrong['process']} took a reply of another request ({wrong['how']}, peer "
                f"{wrong['peer']}) and went on for {wrong['later']} more"
            )


INVARIANTS: dict[str, Callable[[History], Iterator[str]]] = {
    "C1": c1_service_and_journals_agree,
    "C2": c2_nothing_is_late,
    "C3": c3_epochs_never_go_back,
    "C4": c4_a_halt_stops,
    "C5": c5_journals_verify,
    "C6": c6_everybody_recovers,
    "C7": c7_no_denial_without_a_fault,
    "C8": c8_a_wrong_reply_ends_its_connection,
}
