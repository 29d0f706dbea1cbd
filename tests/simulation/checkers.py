"""What must hold: one function per invariant, asked after every event of a sidecar.

I and S are about one sidecar, R6 is rule 6 of the follower, A is about an authority that is about
to sign, L about what must come true in the end; N, W and I20 are in `fresh`, T in `succession`.
What a simulation of core cannot see is tested with real sockets, files and processes:

I1 I2 I3 I4 I5 S1 S4 S5 S8 S9 L1   here; S2 is I2 with I5, S3 is I3
I6  a record names the lease       tests/audit/test_recorder.py
I7  no request without its record  tests/late/test_late.py, tests/proxy/test_outcome_records.py
I8  records follow one another     tests/audit/test_chain.py
I9  checkpoints only go forward    tests/audit/test_checkpoints.py, test_recovery.py, test_reader.py
I10 nothing written once closed    tests/proxy/test_exchange.py, tests/late/test_late.py
I11 equivocation closes            S5 here
I12 what may open a closed gate    here, for halts and latches
I13 memory of a connection         tests/proxy/test_downstream.py, tests/hostile
I14 tasks end with a connection    tests/proxy/test_connections.py, test_shell.py
I15 one outcome for each request   tests/audit/test_outcomes.py, tests/proxy/test_outcome_records.py
I16 clean connections only         tests/proxy/test_upstream.py
I17 our headers reach the service  tests/http (hop-by-hop and reserved fields)
I18 counters agree with records    tests/roles/test_sidecar.py
I19 one signature for each number  A1 here
I20 incoherent clocks close        fresh.py; also I2 wants both clocks, S1 holds while one is sound
S6  each decision once             tests/audit/test_outcomes.py, tests/late/test_late.py
S7  checkpoints and proofs         tests/core/log, tests/audit/test_reader.py
S8  (journal, store)               also tests/core/test_marks.py, test_issued.py, tests/audit

False containment is no invariant but a rate: see promise.py.

Source: hardening 7; codebases 9.3.
"""

import msgspec

from sidecar.core import issued, marks
from sidecar.core.events import Conflict
from sidecar.core.gate import Decision, Permit
from sidecar.core.head import RequestHead
from sidecar.core.instant import NS_PER_MS
from sidecar.core.lease import Lease
from sidecar.core.log import merkle
from sidecar.core.objects import beat, halt, report
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import HoldKind
from tests.simulation import fresh, succession
from tests.simulation.look import Look, ViolationError, violated
from tests.simulation.machine import Machine
from tests.simulation.truth import WHOLE, Truth

__all__ = ["Look", "ViolationError"]

_MARKS = msgspec.json.Decoder(marks.Marks)


def check_decision(look: Look, decision: Decision, head: RequestHead, instance: str) -> None:
    """Everything that must hold when a request is judged."""
    fresh.w_scoped_orders(look, decision, head, instance)
    if isinstance(decision, Permit):
        lease = i1_no_permit_without_a_lease(look, decision)
        i2_both_deadlines_are_ahead(look, lease)
        i3_epochs_never_go_back(look, lease)
        i4_all_of_it_was_signed(look, lease)
        i4_policy_belongs_to_the_epoch(look, decision, lease)
        fresh.i20_a_step_ends_a_lease(look)
        succession.t2_signers_have_their_role(look, lease)
        s1_epoch_was_vouched_for_within_ttl(look, lease)
        s4_a_halt_stops(look, lease, instance)
        s5_a_contradiction_stops(look)
        r6_an_immediate_epoch_ends_the_one_before(look, lease)


def check_publish(look: Look) -> None:
    """Everything that must hold when a snapshot reaches the gate."""
    i4_orders_were_signed(look)
    succession.check_trust(look)
    i12_a_hold_ends_with_its_clear(look)
    lease = look.snapshot.lease
    if lease is not None and lease != look.seen.lease:
        look.seen.lease_sent = look.seen.sent[look.seen.storing_round]
        i3_epochs_never_go_back(look, lease)
        i4_all_of_it_was_signed(look, lease)
        i5_deadlines_in_true_time(look, lease)
        i5_a_lease_needs_a_new_beat(look, lease)
        s4_a_quorum_agreed(look, lease)
        s4_enough_issuers_agreed(look, lease)
        fresh.n2_a_report_of_ours_is_behind_it(look, lease)
        succession.check_lease(look, lease)
        r6_no_renewal_under_an_older_epoch(look, lease)
        s9_stored_before_published(look, lease)
        look.seen.fetched.clear()
        look.seen.used.add(lease.beat.sha256)
        look.seen.served.add(lease.epoch_sha256)
    look.seen.lease = lease
    look.seen.holds = look.snapshot.holds


def i1_no_permit_without_a_lease(look: Look, permit: Permit) -> Lease:
    """I1: no lease, no permit; and a permit is made under what the gate holds."""
    lease = permit.snapshot.lease
    if lease is None or permit.snapshot.holds:
        violated("I1", f"{look.name} permits with lease {lease}, holds {permit.snapshot.holds}")
    return lease


def i2_both_deadlines_are_ahead(look: Look, lease: Lease) -> None:
    """I2: the instant of the check is before both deadlines."""
    if look.now.boot >= lease.deadline or look.now.wall >= lease.wall_deadline:
        violated("I2", f"{look.name} permits at {look.now}, lease {lease.deadline}")


def i3_epochs_never_go_back(look: Look, lease: Lease) -> None:
    """I3: the epoch behind successive leases and permits never goes down, restarts included."""
    if lease.epoch_seq < look.seen.best_seq:
        violated("I3", f"{look.name} serves epoch {lease.epoch_seq} after {look.seen.best_seq}")
    look.seen.best_seq = lease.epoch_seq


def i4_all_of_it_was_signed(look: Look, lease: Lease) -> None:
    """I4: the beat and the epoch behind a lease were signed by those who may."""
    signed = look.truth.beats.get(lease.beat.sha256)
    if signed is None:
        violated("I4", f"{look.name} leans on a beat that no authority signed")
    epoch = look.truth.by_sha.get(lease.epoch_sha256)
    named = (lease.epoch_seq, lease.epoch_sha256)
    if epoch is None or epoch.seq != lease.epoch_seq or signed.named != named:
        violated("I4", f"{look.name} serves epoch {lease.epoch_seq}, which is not what was signed")


def i4_orders_were_signed(look: Look) -> None:
    """I4: every order in force was signed by those who may."""
    for order in look.snapshot.halts.orders:
        if order.raw not in look.truth.orders:
            violated("I4", f"{look.name} obeys an order that nobody signed")


def i4_policy_belongs_to_the_epoch(look: Look, permit: Permit, lease: Lease) -> None:
    """I4: the rule that permits is the one of the epoch behind the lease."""
    rule = permit.rule
    if rule is None or rule.name != look.truth.rules[lease.epoch_sha256]:
        violated("I4", f"rule {rule and rule.name} under epoch {lease.epoch_seq}")


def i5_deadlines_in_true_time(look: Look, lease: Lease) -> None:
    """I5: each deadline on its own is at most send + ttl, and at most signing + ttl in true time.

    A permit needs both clocks; but each of them must keep the bound alone, or it is no second line.
    """
    sent = look.seen.lease_sent
    assert sent is not None
    ttl_ns = look.scenario.ttl_ms * NS_PER_MS
    if lease.deadline > sent.now.boot + ttl_ns:
        over_ns = lease.deadline - sent.now.boot - ttl_ns
        violated("I5", f"{look.name}: deadline {over_ns} ns too far")
    end_ns = look.truth.beats[lease.beat.sha256].dated_ns + ttl_ns
    for clock, there_ns, sound in (
        ("boot", look.clocks.true_of_boot(lease.deadline), look.boot_sound),
        ("wall", look.clocks.true_of_wall(lease.wall_deadline), look.wall_deadline_sound),
    ):
        if sound and there_ns > end_ns:
            late_ms = (there_ns - end_ns) / NS_PER_MS
            violated("I5", f"{look.name}: {clock} deadline {late_ms:.6f} ms after signing + ttl")


def i5_a_lease_needs_a_new_beat(look: Look, lease: Lease) -> None:
    """I5: no beat is behind two leases of one sidecar, restarts included."""
    if lease.beat.sha256 in look.seen.used:
        violated("I5", f"{look.name} extends its lease with a beat it has used before")


def i12_a_hold_ends_with_its_clear(look: Look) -> None:
    """I12: nothing ends a halt or a latch but a clear that names it."""
    for hold in look.seen.holds:
        if hold.kind is HoldKind.PASSING or hold in look.snapshot.holds:
            continue
        if hold.evidence not in look.seen.cleared:
            violated("I12", f"{look.name} lifts {hold}")


def s1_epoch_was_vouched_for_within_ttl(look: Look, lease: Lease) -> None:
    """S1, the promise: no permit later than ttl after an authority last vouched for the epoch.

    One sound clock is enough: each deadline keeps the promise alone. Where several issuers are
    needed, it is that many of them who have vouched.
    """
    scenario, clocks = look.scenario, look.clocks
    made = None if scenario.freshness == "clock" else look.report_behind(lease)
    proved = made is not None and (
        clocks.stood_still_ns < made.true_ns or (look.wall_sound and clocks.set_ns < made.true_ns)
    )
    if not (proved or look.boot_sound or look.wall_deadline_sound):
        return
    named, need = (lease.epoch_seq, lease.epoch_sha256), scenario.beat_threshold
    last_ns = look.truth.vouched_ns(named, need, dated=not proved)
    late_ns = look.true_ns - last_ns - scenario.ttl_ms * NS_PER_MS
    if last_ns < 0 or late_ns >= 0:
        violated("S1", f"{look.name} permits {late_ns / NS_PER_MS:.6f} ms after vouching + ttl")


def s4_a_quorum_agreed(look: Look, lease: Lease) -> None:
    """S4: in its round enough distinct peers served a signed beat for the epoch of the lease."""
    named = (lease.epoch_seq, lease.epoch_sha256)
    answers = look.seen.rounds.get(look.seen.storing_round, {})  # none at all, for one
    most = sum(named in served for served in answers.values())
    if most < look.scenario.quorum or len(set(lease.peers)) < look.scenario.quorum:
        violated("S4", f"{look.name} has {most} peers behind its lease, not {look.scenario.quorum}")


def s4_enough_issuers_agreed(look: Look, lease: Lease) -> None:
    """S4: as many issuers as the threshold of role beat says are behind a lease."""
    need, issuers = look.scenario.beat_threshold, set(lease.issuers)
    vouched = look.truth.vouched.get((lease.epoch_seq, lease.epoch_sha256), {})
    if len(issuers) < need or not issuers <= vouched.keys():
        violated("S4", f"{look.name} has {len(issuers)} issuers behind its lease, not {need}")


def s4_a_halt_stops(look: Look, lease: Lease, instance: str) -> None:
    """S4: nothing passes after a halt was shown by any peer, or pinned by the beat, until clear."""
    pinned = look.truth.active.get(lease.beat.says.halts.sha256, ())
    if not look.seen.active and not pinned:
        return
    unknown = [order for order in pinned if order.says.halt_id not in look.seen.cleared]
    for order in (*look.seen.active, *unknown):
        scope = order.says.scope
        if scope.kind in WHOLE and scope.value in ("", "model", instance):
            violated("S4", f"{look.name} permits under a halt: {scope}")


def s5_a_contradiction_stops(look: Look) -> None:
    """S5: nothing passes after two objects contradicted each other, until a clear names them."""
    seen = look.seen
    held = [pair for pair in seen.conflicts if seen.told.get(pair) not in seen.cleared]
    if held:
        violated("S5", f"{look.name} permits after {len(held)} contradictions")


def r6_no_renewal_under_an_older_epoch(look: Look, lease: Lease) -> None:
    """R6: no new lease under an epoch while a live beat is known that vouches for a higher one."""
    seq = _newest_vouched(look)
    if seq > lease.epoch_seq:
        violated("R6", f"{look.name} renews epoch {lease.epoch_seq}, a live beat names {seq}")


def r6_an_immediate_epoch_ends_the_one_before(look: Look, lease: Lease) -> None:
    """R6: no permit under an epoch once its immediate successor is vouched for and was read."""
    seq = lease.epoch_seq + 1
    if look.seen.fetched and seq in look.seen.ahead and seq == _newest_vouched(look):
        named = look.seen.ahead[seq].says.epoch.sha256  # a twin may name one that nobody signed
        epoch = look.truth.by_sha.get(named)
        if (
            epoch is not None
            and named in look.seen.fetched
            and epoch.says.activation.mode == "immediate"
            and epoch.says.prev_sha256 == lease.epoch_sha256
            and succession.may_enter(look, epoch)
        ):
            violated("R6", f"{look.name} serves epoch {lease.epoch_seq} after reading {seq}")


def _newest_vouched(look: Look) -> int:
    if not look.wall_sound:
        return 0  # which beat is live is judged by it
    for seq in sorted(look.seen.ahead, reverse=True):
        if look.seen.is_live(look.seen.ahead[seq], look.scenario, look.now):
            return seq
    return 0


def s5_evidence_is_genuine(look: Look, conflict: Conflict) -> None:
    """S5: what is told as a contradiction is two different objects that were really signed."""
    truth, pair = look.truth, conflict.envelopes
    known = {raw for _, raw in truth.epochs_by_key.values()}
    known |= {trust.raw for trust in truth.trusts.values()}
    forged = [raw for raw in pair if raw not in truth.beats_by_raw and raw not in known]
    if forged or len(set(pair)) == 1:
        violated("S5", f"{look.name} tells of a contradiction that is none")
    look.seen.told.setdefault(frozenset(pair), conflict.evidence)
    look.seen.evidence.add(conflict.evidence)


def s9_stored_before_published(look: Look, lease: Lease) -> None:
    """S9: the marks behind a lease are durable when the gate learns of it."""
    # A restart reads the file the long way; here it is known to be ours.
    stored = None if look.disk is None else _MARKS.decode(look.disk[marks.DIGEST_LINE :])
    mark = None if stored is None else stored.beats.get(lease.beat.issuer)
    if stored is None or stored.epoch is None or mark is None:
        violated("S9", f"{look.name} publishes a lease before anything is stored")
    if stored.epoch.seq < lease.epoch_seq or mark.seq < lease.beat.seq:
        violated("S9", f"{look.name} publishes a lease above its stored marks")


def stored_version(disk: bytes) -> int:
    """The version of the trust document in stored marks."""
    return _MARKS.decode(disk[marks.DIGEST_LINE :]).trust.version


def check_signing(truth: Truth, name: str, body: beat.Body, state: issued.State | None) -> None:
    """Everything that must hold when an authority is about to sign."""
    succession.check_signing(truth, name, body, state)
    # Restored from an older file it still reads the beats that peers have committed.
    numbers = truth.committed if body.issuer in truth.restored else truth.numbers
    if (body.issuer, body.seq) in numbers:
        violated("A1", f"{name} signs number {body.seq} a second time")
    if state is None or state.epoch is None or body.seq > state.reserved:
        violated("A2", f"{name} signs number {body.seq}, which it has not stored")
    kept = NO_HALTS.union(halt.reread(raw.encode()) for raw in state.halts)
    if (state.epoch.seq, kept.sha256) != (body.epoch.seq, body.halts.sha256):
        violated("A2", f"{name} signs for an epoch or halts that it has not stored")
    truth.note_set(kept)
    if body.epoch.sha256 not in truth.by_sha:
        violated("A4", f"{name} vouches for an epoch that nobody signed")
    if body.issuer in truth.restored:
        return  # it knows what its older file and the peers know; sidecars hold the rest
    latest = succession.lowest(truth, body)
    if body.epoch.seq < latest:
        violated("A3", f"{name} vouches for epoch {body.epoch.seq} after {latest}")
    truth.named_by[body.issuer] = body.epoch.seq


def a5_the_root_covers_its_members(body: beat.Body, covered: list[str]) -> None:
    """A5: what a beat says of the fleet is the tree over the reports that it is about."""
    tree = merkle.levels([report.leaf(sha256) for sha256 in covered])
    root = tree[-1][0] if covered else merkle.EMPTY_ROOT
    if (body.fleet.size, body.fleet.root) != (len(covered), root.hex()):
        violated("A5", f"{body.issuer[:16]} signs a root that is not over its reports")


def s8_torn_is_never_whole(machine: Machine) -> None:
    """S8: a process that starts has read a whole file, or there is none."""
    if machine.torn:
        violated("S8", f"{machine.name} starts from a torn file")


def s8_refused_as_corrupt(machine: Machine, error: ProtocolError) -> None:
    """S8: only a damaged file is refused, and as corrupt."""
    if not machine.torn or error.reason is not Reason.STATE_CORRUPT:
        violated("S8", f"{machine.name} refuses a file that is whole: {error}")


def _cannot_read_all(look: Look) -> bool:
    """Whether beats name an order that this process cannot read.

    The key behind it was replaced, and the process began under a later document: only who has
    walked past a key knows that it once had the role. People have to order again.
    """
    seen, known = look.seen, {order.sha256 for order in look.seen.orders.orders}
    return any(
        order.sha256 not in known and not look.truth.readable(order, seen.since, seen.version)
        for order in look.truth.pinned.orders
    )


def l1_recovered(look: Look) -> None:
    """L1: long after the last fault, a sidecar that nothing holds has a live lease.

    Excused are halts in force, contradictions that no clear names, and orders that cannot be read.
    """
    holds = look.snapshot.holds
    if holds:
        known = look.truth.halts
        excused = {order.says.halt_id for order in known.active}
        excused |= look.seen.evidence
        stray = [item for item in holds if item.evidence not in excused]
        if _cannot_read_all(look):
            stray = [item for item in stray if item.reason is not Reason.HALT_WITHHELD]
        if stray:
            violated("L1", f"{look.name} is still held by {stray[0]}")
    elif look.snapshot.lease is None or not look.snapshot.lease.live(look.now):
        codes = [reason.code for reason in look.snapshot.faults]
        absent = look.snapshot.absent if look.snapshot.lease is None else Reason.LEASE_EXPIRED
        violated("L1", f"{look.name} has no lease after the calm ({absent.code}, faults {codes})")
