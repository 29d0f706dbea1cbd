"""What a peer holds and what it lacks."""

import pytest

from sidecar.core import canonical, layout, view
from sidecar.core.archive import Archive
from sidecar.core.issued import Issued
from sidecar.core.objects.trust import Role
from sidecar.core.view import CACHE_MAX, View, Viewer
from tests import builders
from tests.builders import NOW

TRUST = builders.make_trust()
KEY = builders.signer(Role.BEAT)
RAW = builders.epoch_bytes(TRUST)
EPOCH = builders.open_epoch(RAW, TRUST)
ORDER = builders.make_order(TRUST)
HEAD, BEAT = layout.head_key("test"), layout.beat_key("test", KEY.key_id)
HALTS = layout.halts_key("test")


def viewer() -> Viewer:
    return Viewer(TRUST, KEY.key_id, KEY.public)


def known(*, blobs: bool = True) -> tuple[Issued, Archive]:
    issued, archive = Issued(TRUST, KEY.key_id, None), Archive(TRUST)
    issued.adopt(EPOCH, RAW)
    if blobs:
        archive.add(layout.blob_key("test", EPOCH.says.policy.sha256), builders.POLICY)
        archive.add(layout.blob_key("test", EPOCH.says.routes.sha256), builders.ROUTES)
    return issued, archive


def test_only_what_verifies_is_seen() -> None:
    own = builders.beat_bytes(TRUST, EPOCH, seq=3)
    found = {HEAD: (b"a" * 64,), BEAT: (own,), HALTS: (ORDER.raw, b"", b"\xff", RAW)}
    seen = viewer().look(found, NOW)
    assert (seen.head_sha256, seen.orders) == ("a" * 64, (ORDER,))
    assert seen.own is not None
    assert seen.own.seq == 3
    assert viewer().look({}, NOW) == View(None, None, ())
    assert viewer().look({BEAT: (RAW,)}, NOW).own is None


@pytest.mark.parametrize("head", [b"", b"x", b"a" * 63, b"a" * 65, b"A" * 64, b"a" * 63 + b"\n"])
def test_head_that_is_no_digest_names_nothing(head: bytes) -> None:
    assert View(head, None, ()).head_sha256 is None


def test_rubbish_of_a_hostile_peer_is_remembered_within_bounds() -> None:
    looking = viewer()
    for number in range(CACHE_MAX + 100):
        looking.look({HALTS: (b"%d" % number,)}, NOW)
    assert looking.look({HALTS: (ORDER.raw,)}, NOW).orders == (ORDER,)
    assert len(looking._orders) <= CACHE_MAX


def test_forgeries_hide_an_order_for_some_looks_at_most() -> None:
    looks = 5
    forged = [b"%d" % number for number in range(looks * view.FORGERIES_MAX)]
    looking = viewer()
    seen = [looking.look({HALTS: (*forged, ORDER.raw)}, NOW).orders for _ in range(looks + 1)]
    assert seen == [()] * looks + [(ORDER,)]


def test_peer_that_lacks_nothing_is_written_nothing() -> None:
    issued, archive = known()
    issued.take([ORDER])
    held = View(EPOCH.sha256.encode(), None, (ORDER,))
    assert view.repairs("test", held, issued, archive, ()) == ()


def test_missing_orders_are_given_under_their_own_names() -> None:
    issued, archive = known()
    issued.take([ORDER])
    held = View(EPOCH.sha256.encode(), None, ())
    assert view.repairs("test", held, issued, archive, ()) == (
        ("HSET", HALTS, layout.order_field(ORDER.sha256), ORDER.raw),
    )


def test_name_of_the_epoch_is_written_last_after_all_that_it_leads_to() -> None:
    issued, archive = known()
    for held, older in ((View(None, None, ()), ()), (View(b"b" * 64, None, ()), ("b" * 64,))):
        lines = view.repairs("test", held, issued, archive, older)
        assert [line[1] for line in lines][2:] == [layout.epoch_key("test", EPOCH.sha256), HEAD]
        assert {line[2] for line in lines[:2]} == {builders.POLICY, builders.ROUTES}


def test_a_profile_is_given_with_the_epoch_that_names_it() -> None:
    raw = builders.profile_bytes()
    sealed = builders.epoch_bytes(TRUST, profile=builders.profile_ref(raw))
    current, issued = builders.open_epoch(sealed, TRUST), Issued(TRUST, KEY.key_id, None)
    issued.adopt(current, sealed)
    archive = Archive(TRUST)
    for blob in (builders.POLICY, builders.ROUTES):
        archive.add(layout.blob_key("test", canonical.digest(blob)), blob)
    assert view.repairs("test", View(None, None, ()), issued, archive, ()) == ()
    archive.add(layout.blob_key("test", canonical.digest(raw)), raw)
    lines = view.repairs("test", View(None, None, ()), issued, archive, ())
    assert [line[2] for line in lines[:3]] == [builders.POLICY, builders.ROUTES, raw]


def test_head_that_may_be_the_next_epoch_is_never_overwritten() -> None:
    issued, archive = known()
    for head in (b"c" * 64, b"rubbish", b""):
        assert view.repairs("test", View(head, None, ()), issued, archive, ("b" * 64,)) == ()


def test_epoch_without_its_blobs_is_not_named() -> None:
    issued, archive = known(blobs=False)
    assert view.repairs("test", View(None, None, ()), issued, archive, ()) == ()
