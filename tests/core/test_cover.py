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


def test_a_beat_is_preceded_by_the_proofs_of_whom_it_covers() -> None:
    cover, here = Cover("test", KEY_ID), census(1, 2)
    flat = [part for proof in here.proofs(BEAT) for part in proof]
    assert cover.lines(here, BEAT) == (("HSET", PROOFS, *flat),)
    assert cover.lines(census(), BEAT) == ()


def test_what_an_earlier_process_left_is_cleared_before_the_first_beat_and_only_then() -> None:
    cover = Cover("test", KEY_ID)
    assert cover.tidy(()) == (("DEL", PROOFS),)
    cover.lines(census(1), BEAT)
    assert cover.tidy(()) == ()


def test_proofs_of_who_left_are_taken_away_once() -> None:
    cover = Cover("test", KEY_ID)
    cover.lines(census(1, 2, 3), BEAT)
    cover.lines(census(2), BEAT)
    gone = sorted(builders.report_body(number).instance for number in (1, 3))
    assert cover.tidy(()) == (("HDEL", PROOFS, *gone),)
    assert cover.tidy(()) == ()


def test_who_came_back_meanwhile_keeps_its_proof() -> None:
    cover = Cover("test", KEY_ID)
    for numbers in ((1, 2), (2,), (1, 2)):
        cover.lines(census(*numbers), BEAT)
    assert cover.tidy(()) == ()


def test_reports_that_nobody_has_to_hold_are_taken_away() -> None:
    cover = Cover("test", KEY_ID)
    cover.lines(census(), BEAT)
    assert cover.tidy(("a", "b")) == (("HDEL", REPORTS, "a", "b"),)
