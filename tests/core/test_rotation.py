"""The trust document of an authority, and the one that follows it."""

from sidecar.core import layout
from sidecar.core.instant import WallMs
from sidecar.core.issued import Issued
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.rotation import CHECK_MS, Rotation
from tests import builders, rotation
from tests.builders import NOW

FIRST = builders.make_trust()
SECOND = rotation.successor(FIRST)
THIRD = rotation.successor(SECOND)
RIVAL = rotation.successor(FIRST, expires=FIRST.body.expires + 1)
KEY_ID = builders.signer(Role.BEAT).key_id


def key(version: int) -> str:
    return layout.trust_key("test", version)


def start() -> tuple[Rotation, Issued]:
    issued = Issued(FIRST, KEY_ID, None)
    return Rotation(FIRST, issued), issued


def shown(*documents: Trust) -> dict[str, tuple[bytes, ...]]:
    """What a peer answers."""
    return {key(one.version): (one.raw,) for one in documents}


def test_one_copy_on_one_peer_is_enough_and_is_to_be_stored_before_it_is_used() -> None:
    walk, issued = start()
    walk.take([{}, shown(SECOND, THIRD), {}], NOW)
    assert (walk.successor, walk.trust) == (SECOND, FIRST)
    assert issued.dirty
    assert walk.adopt() == SECOND == walk.trust
    walk.take([shown(SECOND, THIRD)], NOW)
    assert walk.successor == THIRD


def test_bytes_that_do_not_follow_are_as_good_as_none() -> None:
    walk, issued = start()
    stranger = rotation.successor_bytes(FIRST, signed_by=1)
    for raw in (b"", b"rubbish", FIRST.raw, THIRD.raw, stranger):
        walk.take([{key(2): (raw,)}], NOW)
    assert (walk.successor, walk.conflict, issued.dirty) == (None, None, False)
    walk.take([{key(2): (stranger,)}, shown(SECOND)], NOW)
    assert walk.successor == SECOND


def test_what_waits_to_be_stored_is_not_forgotten_when_no_peer_shows_it_any_more() -> None:
    walk, _ = start()
    walk.take([shown(SECOND)], NOW)
    walk.take([], NOW)
    assert walk.successor == SECOND


def test_two_successors_are_not_chosen_between_whoever_shows_them_and_when() -> None:
    walk, _ = start()
    walk.take([shown(SECOND), shown(RIVAL)], NOW)
    assert (walk.successor, walk.trust) == (None, FIRST)
    assert (
        str(walk.conflict)
        == f"version 2: {' and '.join(sorted(x.sha256[:16] for x in (SECOND, RIVAL)))}"
    )
    walk.take([shown(SECOND)], NOW)
    assert walk.successor is None, "one of them is hidden now, and that decides nothing"


def test_the_same_document_under_other_signatures_is_no_contradiction() -> None:
    walk, _ = start()
    more = {key(2): (rotation.successor_bytes(FIRST, signed_by=3),)}
    walk.take([shown(SECOND), more], NOW)
    assert (walk.successor, walk.conflict) == (SECOND, None)


def test_next_version_is_asked_for_in_every_look_and_the_others_now_and_then() -> None:
    walk, _ = start()
    walk.take([shown(SECOND)], NOW)
    walk.adopt()
    every = (key(3), key(1), key(2))
    assert walk.keys(NOW, check=False) == every
    assert walk.keys(WallMs(NOW + 1), check=False) == (key(3),)
    assert walk.keys(WallMs(NOW + 2), check=True) == every
    assert walk.keys(WallMs(NOW + CHECK_MS + 1), check=False) == (key(3),)
    assert walk.keys(WallMs(NOW + CHECK_MS + 2), check=False) == every
    assert walk.keys(WallMs(NOW - 10**9), check=False) == every, "the clock was set back"


def test_a_peer_is_given_the_documents_that_it_lacks() -> None:
    walk, _ = start()
    walk.take([shown(SECOND)], NOW)
    walk.adopt()
    walk.keys(NOW, check=False)
    all_of_them = (("SET", key(1), FIRST.raw), ("SET", key(2), SECOND.raw))
    assert walk.lacking({}, empty=False) == all_of_them
    assert walk.lacking(shown(FIRST, SECOND), empty=False) == ()
    assert walk.lacking({**shown(FIRST), key(2): (b"rubbish",)}, empty=False) == all_of_them[1:]
    walk.keys(WallMs(NOW + 1), check=False)
    assert walk.lacking({}, empty=False) == (), "it was not asked"
    assert walk.lacking({}, empty=True) == all_of_them
