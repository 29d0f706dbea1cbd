"""What goes to the peers beside a beat."""

from sidecar.core import layout
from sidecar.core.cover import Cover
from sidecar.core.fleet import Census, Fleet
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.objects.trust import Role
from tests import builders

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
KEY_ID = builders.signer(Role.BEAT).key_id
PROOFS, REPORTS = layout.proofs_key("test", KEY_ID), layout.reports_key("test")
BEAT = "ab" * 32


def census(*numbers: int) -> Census:
    fleet = Fleet("test", 1000)
    fleet.look([[builders.report_bytes(number) for number in numbers]], builders.now())
    return fleet.census(EPOCH, builders.trust_ref(TRUST), NO_HALTS)


def test_first_beat_of_a_process_clears_what_an_earlier_one_left() -> None:
    cover, here = Cover("test", KEY_ID), census(1, 2)
    flat = [part for proof in here.proofs(BEAT) for part in proof]
    assert cover.lines(here, BEAT, ()) == [("DEL", PROOFS), ("HSET", PROOFS, *flat)]
    assert cover.lines(here, BEAT, ()) == [("HSET", PROOFS, *flat)]


def test_proofs_of_who_left_are_taken_away() -> None:
    cover = Cover("test", KEY_ID)
    cover.lines(census(1, 2, 3), BEAT, ())
    gone = sorted(builders.report_body(number).instance for number in (1, 3))
    assert cover.lines(census(2), BEAT, ())[0] == ("HDEL", PROOFS, *gone)
    assert cover.lines(census(), BEAT, ()) == [
        ("HDEL", PROOFS, builders.report_body(2).instance)
    ]  # fmt: skip
    assert cover.lines(census(), BEAT, ()) == []


def test_reports_that_nobody_has_to_hold_are_taken_away() -> None:
    cover = Cover("test", KEY_ID)
    cover.lines(census(), BEAT, ())
    assert cover.lines(census(), BEAT, ("a", "b")) == [("HDEL", REPORTS, "a", "b")]
