"""What a peer's reply counts for, here and now."""

from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.core import layout
from sidecar.core.accepted import JUMP_MAX, Accepted
from sidecar.core.events import PeerReplied
from sidecar.core.granting import Granting
from sidecar.core.hearing import READ_MAX_BYTES, Hearing, Meaning
from sidecar.core.instant import WallMs
from sidecar.core.lease import Freshness, Terms
from sidecar.core.marks import ObjectMark
from sidecar.core.objects.trust import Floors, Mark, Role
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.setting import Setting
from tests import builders, covering
from tests.builders import now
from tests.core.test_follower import FIRST, HALT, NEXT, TRUST, beat, shown
from tests.core.test_follower_trust import after

A = PeerId("a")
WRITES = (("HSET", "k", "f", b"v"),)


class Ear:
    """A hearing, with the memory behind it."""

    def __init__(self, freshness: Freshness = "clock", **setting: Any) -> None:
        terms = Terms(4000, 500, 2000, freshness)
        given = {"identity": covering.identity(), **setting}
        told = Setting("model", "here", (A,), 1, terms, 250, **given)
        self.accepted = Accepted(TRUST, None)
        self.granting = Granting(TRUST, told, self.accepted, WallMs(0))
        self.hearing = Hearing(self.accepted, self.granting)

    def hear(self, *beats: bytes, more: Mapping[str, tuple[bytes, ...]] | None = None) -> Meaning:
        found = {**shown(*beats), **(more or {})}
        return self.hearing.hear(PeerReplied(A, 1, found), now())


@pytest.fixture
def ear() -> Ear:
    return Ear()


def test_a_round_reads_beats_halts_and_the_next_trust_document(ear: Ear) -> None:
    asked = ear.hearing.read(A, 7, ())
    issuers = sorted(builders.signer(Role.BEAT, number).key_id for number in (1, 2))
    beats = tuple(layout.beat_key("test", issuer) for issuer in issuers)
    assert asked.strings == (*beats, layout.trust_key("test", 2))
    assert (asked.hashes, asked.round) == ((layout.halts_key("test"),), 7)
    assert (asked.max_bytes, asked.fields, asked.writes) == (READ_MAX_BYTES, (), ())


def test_with_a_report_its_proofs_are_read_too(ear: Ear) -> None:
    asked = ear.hearing.read(A, 7, WRITES)
    assert asked.writes == WRITES
    assert len(asked.fields) == 2
    assert Ear(identity=None).hearing.read(A, 7, ()).fields == ()


def test_a_glance_reads_orders_and_nothing_else(ear: Ear) -> None:
    asked = ear.hearing.glance(A, 0)
    assert (asked.strings, asked.hashes) == ((), (layout.halts_key("test"),))
    assert (asked.writes, asked.fields) == ((), ())


def test_a_good_beat_is_usable_and_nothing_is_wrong(ear: Ear) -> None:
    found = ear.hear(beat(FIRST, 1))
    assert ([one.seq for one in found.beats], found.faults, found.result) == ([1], (), "ok")


def test_a_peer_without_anything_is_empty(ear: Ear) -> None:
    assert ear.hear().result == "empty"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (beat(FIRST, JUMP_MAX + 1), Reason.FAST_FORWARD),
        (beat(FIRST, 1, -4000), Reason.BEAT_STALE),
        (beat(FIRST, 1, 501), Reason.BEAT_FROM_FUTURE),
        (b"{}", Reason.TYPE_CONFUSION),
    ],
    ids=["jumps", "stale", "ahead", "junk"],
)
def test_a_beat_that_counts_for_nothing_says_why(ear: Ear, raw: bytes, reason: Reason) -> None:
    found = (
        ear.hear(raw)
        if raw != b"{}"
        else ear.hear(more={ear.hearing.read(A, 1, ()).strings[0]: (raw,)})
    )
    assert (found.beats, found.faults, found.result) == ((), (reason,), reason.code)


def test_a_beat_for_an_epoch_below_the_accepted_one_is_a_rollback(ear: Ear) -> None:
    ear.accepted.epoch = ObjectMark(seq=NEXT.seq, sha256=NEXT.sha256, envelope="")
    assert ear.hear(beat(FIRST, 1)).faults == (Reason.ROLLBACK,)


def test_an_old_beat_below_the_mark_is_a_rollback_and_not_only_stale(ear: Ear) -> None:
    issuer = builders.signer(Role.BEAT).key_id
    ear.accepted._beats[issuer] = ObjectMark(seq=5, sha256="5" * 64, envelope="")
    assert ear.hear(beat(FIRST, 4, -4000)).faults == (Reason.ROLLBACK,)


def test_a_bad_proof_is_told_and_does_not_take_a_beat_that_its_clock_proves(ear: Ear) -> None:
    key = layout.field_name(*ear.hearing.read(A, 1, WRITES).fields[0])
    other = layout.field_name(*ear.hearing.read(A, 1, WRITES).fields[1])
    lies = {key: (b"{}",), other: (b"{}",)}
    found = ear.hear(beat(FIRST, 1), more=lies)
    assert len(found.beats) == 1
    assert found.result == Reason.NONCE_PROOF_INVALID.code
    found = Ear("nonce").hear(beat(FIRST, 1), more=lies)
    assert (found.beats, found.faults) == ((), (Reason.NONCE_PROOF_INVALID,))


def test_a_beat_that_covers_nobody_here_is_not_usable_where_only_a_nonce_counts() -> None:
    found = Ear("nonce").hear(beat(FIRST, 1))
    assert (found.beats, found.faults) == ((), (Reason.NONCE_MISSING,))


def test_orders_count_whatever_else_is_wrong() -> None:
    more = shown(orders=[HALT])
    assert Ear("nonce").hear(beat(FIRST, 1), more=more).orders == (HALT,)


def test_a_contradiction_is_found_also_in_what_is_stale(ear: Ear) -> None:
    ear.hear(beat(FIRST, 1))
    (conflict,) = ear.hear(beat(FIRST, 1, -4000)).conflicts
    assert conflict.reason is Reason.EQUIVOCATION


def test_a_successor_is_handed_on_and_a_false_one_only_told(ear: Ear) -> None:
    second = after(TRUST)
    key = layout.trust_key("test", 2)
    found = ear.hear(more={key: (second.raw,)})
    assert found.successor is not None
    assert found.successor.sha256 == second.sha256
    found = ear.hear(more={key: (TRUST.raw,)})
    assert (found.successor, found.faults) == (None, (Reason.TRUST_CHAIN_BREAK,))


def test_under_the_next_document_the_one_after_it_is_looked_for(ear: Ear) -> None:
    second = after(TRUST, floors=Floors(epoch=Mark(seq=1, sha256="1" * 64), beat={}, halt=0))
    ear.granting.under(second)
    ear.hearing.under(second)
    assert ear.hearing.read(A, 1, ()).strings[-1] == layout.trust_key("test", 3)
    assert ear.hear(beat(FIRST, 1)).faults == (Reason.ROLLBACK,), "names the document before"
