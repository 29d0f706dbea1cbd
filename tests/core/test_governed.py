"""What is on record of what governs: each object once, and who truly signed it."""

import pytest

from sidecar.core import canonical, envelope, governed
from sidecar.core.governed import Governed
from sidecar.core.issued import Issued
from sidecar.core.issuing import Contradiction, Fact, Recorded, RecordFailed
from sidecar.core.log import record
from sidecar.core.objects import halt
from sidecar.core.objects.trust import LogHead, Role
from tests import builders, rotation
from tests.core.issuer_world import GOVERNANCE, KEY, LOG_KEY

TRUST = builders.make_trust()
SECOND = rotation.successor(TRUST)
EPOCH_RAW = builders.epoch_bytes(TRUST)
EPOCH = builders.open_epoch(EPOCH_RAW, TRUST)


def fresh(*recorded: str) -> Governed:
    return Governed(GOVERNANCE, LOG_KEY.key_id, recorded)


def issued_with(*orders: halt.Order, raw: bytes = EPOCH_RAW) -> Issued:
    issued = Issued(TRUST, KEY.key_id, None)
    issued.adopt(EPOCH, raw)
    issued.take(list(orders))
    return issued


def ids(role: Role, *numbers: int) -> list[str]:
    return sorted(builders.signer(role, number).key_id for number in numbers)


def head(size: int, root: str = "0" * 64, origin: str = GOVERNANCE) -> LogHead:
    return LogHead(origin=origin, size=size, root=root)


def test_trust_and_epoch_are_named_by_number_digest_and_who_signed() -> None:
    one, two = fresh().news(issued_with(), ())
    assert (one.kind, one.detail["number"], one.detail["sha256"]) == ("trust", 1, TRUST.sha256)
    assert one.detail["by"] == ids(Role.ROOT, 1, 2)
    assert (two.kind, two.detail["number"], two.detail["sha256"]) == ("epoch", 1, EPOCH.sha256)
    assert two.detail["by"] == ids(Role.EPOCH, 1, 2)


def test_an_order_tells_what_it_stops_and_why() -> None:
    order = builders.make_order(TRUST, reason="a leak", reason_code="security")
    *_, found = fresh().news(issued_with(order), ())
    said = order.says
    assert found.kind == "halt"
    assert found.detail == {
        "number": said.seq, "sha256": order.sha256, "id": said.halt_id, "clears": None,
        "scope": {"kind": said.scope.kind, "value": said.scope.value}, "code": "security",
        "reason": "a leak", "requested_by": said.requested_by, "by": ids(Role.HALT, 1),
    }  # fmt: skip


def test_each_object_is_handed_over_once() -> None:
    book, issued = fresh(), issued_with(builders.make_order(TRUST))
    clash = Contradiction("epoch", 3, ("b" * 64, "a" * 64))
    assert [entry.kind for entry in book.news(issued, (clash, None))] == [
        "trust", "epoch", "halt", "conflict",
    ]  # fmt: skip
    assert book.news(issued, (clash,)) == ()


def test_what_a_log_holds_is_not_entered_again_after_a_restart() -> None:
    issued = issued_with(builders.make_order(TRUST))
    clash = Contradiction("trust", 2, ("b" * 64, "a" * 64))
    first = fresh().news(issued, (clash,))
    # As it is read back: through the bytes of a record, where a tuple has become a list.
    read = [canonical.parse(canonical.encode(entry.detail), record.MAX_BYTES) for entry in first]
    names = [
        governed.name(entry.kind, detail)
        for entry, detail in zip(first, read, strict=True)
        if isinstance(detail, dict)
    ]
    assert len(set(names)) == 4
    assert fresh(*names).news(issued, (clash,)) == ()


def test_the_order_of_two_contradicting_digests_makes_no_second_entry() -> None:
    book, issued = fresh(), issued_with()
    book.news(issued, (Contradiction("epoch", 3, ("b" * 64, "a" * 64)),))
    assert book.news(issued, (Contradiction("epoch", 3, ("a" * 64, "b" * 64)),)) == ()


def test_every_document_that_was_walked_is_entered_and_none_twice() -> None:
    book, issued = fresh(), issued_with()
    issued.rotate(TRUST, SECOND)
    kinds = [(entry.kind, entry.detail["number"]) for entry in book.news(issued, ())]
    assert kinds == [("trust", 1), ("trust", 2), ("epoch", 1)]
    third = rotation.successor(SECOND)
    issued.rotate(SECOND, third)
    (found,) = book.news(issued, ())
    assert (found.kind, found.detail["sha256"]) == ("trust", third.sha256)


def test_a_key_id_that_merely_stands_in_an_envelope_signed_nothing() -> None:
    sealed = envelope.parse(EPOCH_RAW, 2**20)
    (key, signature), *rest = sealed.signatures
    other = builders.signer(Role.EPOCH, 3).key_id
    forged = envelope.seal(
        sealed.payload_type,
        sealed.unverified_payload,
        {**dict(rest), key: signature, other: signature},
    )
    _, found = fresh().news(issued_with(raw=forged), ())
    assert found.detail["by"] == ids(Role.EPOCH, 1, 2)


def test_the_largest_order_there_can_be_fits_a_record() -> None:
    order = builders.make_order(TRUST, reason="\u20ac" * 512, reason_code="\u20ac" * 512)
    assert len(order.raw) > halt.MAX_BYTES
    *_, found = fresh().news(issued_with(order), ())
    assert len(canonical.encode(found.detail)) < record.MAX_BYTES // 8


def test_nothing_leans_on_a_log_that_has_not_answered_yet() -> None:
    assert fresh().fails


def test_facts_say_why_there_is_no_beat() -> None:
    book = fresh()
    book.take(RecordFailed("disk full"))
    assert (book.fails, book.facts(TRUST)[Fact.GOVERNANCE_UNWRITTEN]) == (True, "disk full")
    book.take(Recorded(head(3)))
    assert (book.fails, any(book.facts(TRUST).values())) == (False, False)


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        (head(3), False), (head(2), False), (head(4), True), (head(3, "1" * 64), True),
        (head(9, origin=GOVERNANCE[:-1] + "0"), False),
    ],
)  # fmt: skip
def test_a_log_that_holds_less_or_other_than_our_own_beats_said_carries_no_beat(
    said: LogHead,
    lost: bool,  # noqa: FBT001
) -> None:
    book = fresh()
    book.heard(said)
    book.take(Recorded(head(3)))
    assert book.fails is lost
    assert bool(book.facts(TRUST)[Fact.GOVERNANCE_LOST]) is lost


def test_a_log_under_another_key_hides_no_loss_of_this_one() -> None:
    book = fresh()
    book.heard(head(9, origin=GOVERNANCE[:-1] + "0"))
    book.heard(head(4))
    book.take(Recorded(head(3)))
    assert book.fails


def test_a_key_that_lost_its_role_is_told_and_goes_on() -> None:
    book = fresh()
    book.take(Recorded(head(3)))
    without = rotation.successor(TRUST, {Role.LOG: rotation.others(Role.LOG, 1)})
    assert book.facts(without)[Fact.GOVERNANCE_RETIRED]
    assert not book.fails
