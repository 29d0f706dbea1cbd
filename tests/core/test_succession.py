"""Which epoch comes next. The issuer's tests show it at work; these, what it asks for and keeps."""

from collections.abc import Mapping
from typing import Any

from sidecar.core import canonical, layout
from sidecar.core.archive import Archive
from sidecar.core.issued import Issued
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import Role
from sidecar.core.succession import Succession
from tests import builders
from tests.builders import NOW

TRUST = builders.make_trust()
KEY = builders.signer(Role.BEAT)


def made(prev: Epoch | None = None, **changes: Any) -> tuple[Epoch, bytes]:
    raw = builders.epoch_bytes(TRUST, prev, **changes)
    return builders.open_epoch(raw, TRUST), raw


FIRST, FIRST_RAW = made()
SECOND, SECOND_RAW = made(FIRST)
THIRD, THIRD_RAW = made(SECOND)
BLOBS = {
    layout.blob_key("test", FIRST.says.policy.sha256): (builders.POLICY,),
    layout.blob_key("test", FIRST.says.routes.sha256): (builders.ROUTES,),
}
EPOCHS = {
    layout.epoch_key("test", one.sha256): (raw,)
    for one, raw in ((FIRST, FIRST_RAW), (SECOND, SECOND_RAW), (THIRD, THIRD_RAW))
}
EVERYTHING: Mapping[str, tuple[bytes, ...]] = {**BLOBS, **EPOCHS}


def succession(*heads: Epoch, current: bool = True, complete: bool = False) -> Succession:
    issued = Issued(TRUST, KEY.key_id, None)
    if current:
        issued.adopt(FIRST, FIRST_RAW)
    named = [one.sha256 for one in heads]
    return Succession("test", Archive(TRUST), issued, named, complete=complete)


def settle(one: Succession, store: Mapping[str, tuple[bytes, ...]]) -> list[tuple[str, ...]]:
    """Answer every step from the store until it asks for nothing new; what it asked for."""
    asked: list[tuple[str, ...]] = []
    wanted = one.step({}, NOW)
    while wanted and wanted not in asked:
        asked.append(wanted)
        wanted = one.step({key: store.get(key, ()) for key in wanted}, NOW)
    return asked


def test_nothing_named_nothing_asked() -> None:
    one = succession()
    assert settle(one, EVERYTHING) == []
    assert one.chosen is None


def test_epoch_links_and_blobs_are_asked_for_by_digest_one_after_the_other() -> None:
    one = succession(THIRD)
    asked = settle(one, EVERYTHING)
    assert asked == [
        (layout.epoch_key("test", THIRD.sha256),),
        (layout.epoch_key("test", SECOND.sha256),),
        (layout.blob_key("test", FIRST.says.policy.sha256),),
        (layout.blob_key("test", FIRST.says.routes.sha256),),
    ]
    assert one.chosen == THIRD


def test_what_no_peer_serves_is_waited_for_not_denied() -> None:
    one = succession(SECOND)
    settle(one, {})
    assert one.chosen is None
    assert one.denied == {}
    assert SECOND.sha256 in one.waiting


def test_other_bytes_under_the_digest_are_as_good_as_none() -> None:
    one = succession(SECOND)
    settle(one, {**EVERYTHING, layout.epoch_key("test", SECOND.sha256): (THIRD_RAW, b"x")})
    assert one.chosen is None
    assert SECOND.sha256 in one.waiting


def test_an_epoch_waits_for_its_profile_and_one_that_is_none_is_denied() -> None:
    """Vouching for it would contain every sidecar."""
    good, bad = builders.profile_bytes(), b"{}"
    for raw, chosen in ((good, True), (bad, False)):
        named, sealed = made(FIRST, profile=builders.profile_ref(raw))
        store = {**EVERYTHING, layout.epoch_key("test", named.sha256): (sealed,)}
        one = succession(named)
        settle(one, store)
        key = layout.blob_key("test", canonical.digest(raw))
        assert one.waiting == {named.sha256: f"no peer serves {key}"}
        settle(one, {**store, key: (raw,)})
        assert (one.chosen == named) == chosen
        assert (named.sha256 in one.denied) != chosen


def test_older_name_is_known_as_older_and_nothing_is_chosen() -> None:
    issued = Issued(TRUST, KEY.key_id, None)
    issued.adopt(SECOND, SECOND_RAW)
    one = Succession("test", Archive(TRUST), issued, [FIRST.sha256], complete=False)
    settle(one, EVERYTHING)
    assert one.older == {FIRST.sha256}
    assert one.chosen is None


def test_without_a_current_epoch_the_highest_is_chosen() -> None:
    one = succession(FIRST, THIRD, SECOND, current=False)
    settle(one, EVERYTHING)
    assert one.chosen == THIRD


def test_blobs_of_the_current_epoch_are_fetched_when_a_peer_needs_them() -> None:
    one = succession(complete=True)
    asked = settle(one, EVERYTHING)
    assert {key for step in asked for key in step} == set(BLOBS)
    assert one.lacking() == []
