"""Who is in the fleet, as one authority sees it, and what proves that a beat covers them."""

from typing import Any

import msgspec
import pytest

from sidecar.core import canonical, fleet
from sidecar.core.fleet import FORGERIES_MAX, GONE_KEEPS, Census, Fleet
from sidecar.core.instant import NS_PER_MS, BootNs, Now
from sidecar.core.log import merkle
from sidecar.core.objects import epoch, halt, report
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS, Halts
from sidecar.core.objects.trust import Mark
from sidecar.signer import sign
from tests import builders
from tests.builders import NOW

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
UNDER = builders.trust_ref(TRUST)
HERE = Mark(seq=1, sha256=EPOCH.sha256)
KEEP_MS = 10_000


def name(number: int) -> str:
    return builders.report_body(number).instance


def raw(number: int = 1, **changes: Any) -> bytes:
    """The report of an instance that is where it should be."""
    return builders.report_bytes(number, **{"trust": UNDER, "epoch": HERE, **changes})


def seen(made: Fleet) -> dict[str, int]:
    """Name -> number of the report that counts."""
    return {member.name: member.report.says.seq for member in made.members}


def census(made: Fleet, current: Epoch = EPOCH, halts: Halts = NO_HALTS) -> Census:
    return made.census(current, UNDER, halts)


@pytest.fixture
def empty() -> Fleet:
    return Fleet("test", KEEP_MS)


# --- their logs


def head(size: int, root: str = "a", origin: str = "epochgate/test/pod") -> report.AuditHead:
    return report.AuditHead(origin=origin, size=size, root=root * 64)


def reported(made: Fleet, *heads: report.AuditHead | None) -> str:
    """What is said of the logs after one process has reported these heads, one after the other."""
    for number, one in enumerate(heads, start=1):
        made.look([[raw(seq=number, audit=one)]], builders.now())
    return made.shrunk


def test_a_log_that_grows_or_stands_still_is_as_it_should_be(empty: Fleet) -> None:
    assert reported(empty, None, head(3), head(3), None, head(9, "b"), None) == ""


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (head(2), "2 records, had 3"),
        (head(0), "0 records, had 3"),
        (head(3, "b"), "other records under number 3"),
    ],
)
def test_a_log_that_lost_records_or_has_others_is_told_with_its_instance(
    empty: Fleet, after: report.AuditHead, says: str
) -> None:
    assert reported(empty, head(3), after) == f"{name(1)}: {says}"


def test_more_records_do_not_bring_back_any(empty: Fleet) -> None:
    assert reported(empty, head(5), head(1), head(4), head(9)) == f"{name(1)}: 4 records, had 5"


def test_an_older_report_that_is_served_again_says_nothing_of_a_log(empty: Fleet) -> None:
    empty.look([[raw(seq=2, audit=head(5))]], builders.now())
    empty.look([[raw(seq=1, audit=head(3))]], builders.now())
    assert empty.shrunk == ""


def test_the_log_of_a_new_key_begins_anew(empty: Fleet) -> None:
    assert reported(empty, head(5), head(1, origin="epochgate/test/other")) == ""


def test_a_restart_between_two_reports_does_not_hide_a_loss(empty: Fleet) -> None:
    """Who puts an older folder back has to restart the sidecar for it."""
    empty.look([[raw(boot_id="a" * 32, sent_at=NOW, audit=head(5))]], builders.now())
    empty.look([[raw(boot_id="b" * 32, sent_at=NOW + 1, audit=head(2))]], builders.now(1))
    assert empty.shrunk == f"{name(1)}: 2 records, had 5"


# --- what counts


def test_every_instance_counts_once_whatever_peers_hold_it(empty: Fleet) -> None:
    empty.look([[raw(1), raw(2)], [raw(2), raw(3)], []], builders.now())
    assert sorted(seen(empty)) == sorted(name(number) for number in (1, 2, 3))
    assert empty.verified == 3


def test_the_same_bytes_are_verified_once(empty: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    real = report.open_report

    def counting(held: bytes, domain: str) -> report.Report:
        calls.append(held)
        return real(held, domain)

    monkeypatch.setattr(report, "open_report", counting)
    for ms in range(3):
        empty.look([[raw(1), b"rubbish"]] * 3, builders.now(ms))
    assert calls == [raw(1), b"rubbish"]


def test_a_newer_report_replaces_and_a_replayed_older_one_does_not(empty: Fleet) -> None:
    for number, held in ((1, 1), (3, 3), (2, 3)):
        empty.look([[raw(seq=number)]], builders.now())
        assert seen(empty) == {name(1): held}


def test_one_process_is_judged_by_its_own_numbers_although_its_clock_went_back(
    empty: Fleet,
) -> None:
    empty.look([[raw(seq=1, sent_at=NOW + 10**9)]], builders.now())
    empty.look([[raw(seq=2, sent_at=NOW)]], builders.now())
    assert seen(empty) == {name(1): 2}


def test_between_two_processes_the_later_one_counts(empty: Fleet) -> None:
    old, new = raw(boot_id="1" * 32, seq=900), raw(boot_id="2" * 32, sent_at=NOW + 1)
    empty.look([[old], [new]], builders.now())
    assert seen(empty) == {name(1): 1}
    empty.look([[new], [old]], builders.now())
    assert seen(empty) == {name(1): 1}


def test_a_process_that_began_with_its_clock_set_back_counts_once_the_one_before_is_silent(
    empty: Fleet,
) -> None:
    """Where only nonces count its clock may show anything, and it must not be shut out for that."""
    before = raw(boot_id="1" * 32, seq=900, sent_at=NOW + 1_000_000)
    empty.look([[before]], builders.now())
    for ms, counts in ((1000, 900), (2000, 900), (2001, 3)):
        after = raw(boot_id="2" * 32, seq=ms // 1000 + ms % 2, sent_at=NOW)
        empty.look([[before], [after]], builders.now(ms))
        assert seen(empty) == {name(1): counts}


def test_an_instance_under_a_new_label_is_still_one_and_its_old_field_may_go(
    empty: Fleet,
) -> None:
    key = builders.instance_key()
    body = builders.report_body(instance=report.instance_name("other", key.key_id), seq=2)
    renamed = sign(report.PAYLOAD_TYPE, canonical.dump(body), key)
    empty.look([[raw(1)], [renamed]], builders.now())
    assert list(seen(empty)) == [body.instance]
    assert empty.unlisted() == (name(1),)


def test_what_is_no_report_of_this_domain_counts_for_nothing(empty: Fleet) -> None:
    foreign = raw(2, domain="other")
    empty.look([[foreign, b"", b"\xff", builders.order_bytes(TRUST)]], builders.now())
    assert seen(empty) == {}
    assert empty.verified == 0


def test_one_peers_forgeries_delay_a_look_within_bounds(empty: Fleet) -> None:
    rubbish = [b"%d" % number for number in range(3 * FORGERIES_MAX)]
    looks = 0
    while not seen(empty):
        empty.look([[*rubbish, raw(1)]], builders.now())
        looks += 1
    assert 1 < looks <= 4
    other = Fleet("test", KEEP_MS)
    other.look([rubbish, [raw(1)]], builders.now())
    assert seen(other) == {name(1): 1}, "another peer is not delayed at all"


def test_a_flood_of_new_reports_is_taken_in_turns_and_everybody_has_one(
    empty: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write to a peer can make reports; each costs a verification."""
    monkeypatch.setattr(fleet, "NEW_MAX", 4)
    flood = [raw(number) for number in range(100, 120)]
    empty.look([flood, [raw(1)]], builders.now())
    assert empty.verified == 3, "two for each peer, and the second had one"
    served: set[str] = set()
    for look in range(20):
        fresh = [raw(number, seq=look + 2) for number in range(10)]
        before = seen(empty)
        empty.look([fresh], builders.now())
        after = seen(empty)
        served |= {one for one in after if after[one] != before.get(one)}
    assert served >= {name(number) for number in range(10)}, "although all renew in every look"


def test_no_more_instances_than_a_reply_can_hold(
    empty: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "INSTANCES_MAX", 2)
    empty.look([[raw(1), raw(2), raw(3)]], builders.now())
    empty.look([[raw(1, seq=2)]], builders.now())
    assert sorted(seen(empty).values()) == [1, 2], "those that are in are still renewed"


# --- who went silent


def test_an_instance_that_does_not_renew_is_dropped_by_our_own_clock(empty: Fleet) -> None:
    empty.look([[raw(1), raw(2, sent_at=NOW + 10**9)]], builders.now())
    empty.look([[raw(1, seq=2), raw(2, sent_at=NOW + 10**9)]], builders.now(KEEP_MS))
    assert len(seen(empty)) == 2
    empty.look([[raw(1, seq=2), raw(2, sent_at=NOW + 10**9)]], builders.now(KEEP_MS + 1))
    assert seen(empty) == {name(1): 2}
    assert empty.unlisted() == (name(2),)
    assert empty.unlisted() == (), "said once"


def test_a_wall_clock_that_is_stepped_drops_nobody(empty: Fleet) -> None:
    empty.look([[raw(1)]], builders.now())
    empty.look([[raw(1)]], Now(builders.now(1).boot, builders.now(10**9).wall))
    assert seen(empty) == {name(1): 1}


def test_old_copies_on_other_peers_do_not_bring_back_who_was_dropped(empty: Fleet) -> None:
    newest, older = raw(seq=9), raw(seq=8)
    empty.look([[newest], [older]], builders.now())
    empty.look([], builders.now(KEEP_MS + 1))
    for ms in range(KEEP_MS + 2, KEEP_MS + 6):
        empty.look([[older]] if ms % 2 else [[newest]], builders.now(ms))
        assert seen(empty) == {}
    empty.look([[raw(seq=10)]], builders.now(KEEP_MS + 6))
    assert seen(empty) == {name(1): 10}, "but it may come back"


def test_who_was_dropped_is_not_remembered_for_ever(empty: Fleet) -> None:
    """A sidecar whose clock was far ahead restarts with the right one: its turn comes."""
    empty.look([[raw(sent_at=NOW + 10**9)]], builders.now())
    right = raw(boot_id="1" * 32)
    ms = 0
    while not any(member.report.says.boot_id == "1" * 32 for member in empty.members):
        ms += KEEP_MS // 2
        empty.look([[right]] if ms % KEEP_MS else [], builders.now(ms))
    assert ms <= (GONE_KEEPS + 2) * KEEP_MS


# --- the tree


def test_an_empty_fleet_has_the_empty_root(empty: Fleet) -> None:
    found = census(empty)
    assert (found.said.root, found.said.size) == (merkle.EMPTY_ROOT.hex(), 0)
    assert (found.said.expected, found.said.diverged) == (0, 0)
    assert found.proofs("0" * 64) == []


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 33])
def test_every_proof_leads_to_the_root_that_the_beat_names(empty: Fleet, count: int) -> None:
    empty.look([[raw(number) for number in range(count)]], builders.now())
    found = census(empty)
    assert (found.said.size, found.said.expected, found.said.diverged) == (count, count, 0)
    proofs = found.proofs("ab" * 32)
    assert [who for who, _ in proofs] == sorted(name(number) for number in range(count))
    for member, (who, written) in zip(found.members, proofs, strict=True):
        assert member.name == who
        proof = report.parse_proof(written)
        assert canonical.dump(proof) == written
        assert (proof.beat, proof.report) == ("ab" * 32, member.report.sha256)
        report.verify_proof(proof, found.said.size, found.said.root)


def test_who_holds_another_epoch_or_trust_has_diverged(empty: Fleet) -> None:
    other = msgspec.structs.replace(UNDER, version=2)
    empty.look([[
        raw(1), raw(2, epoch=None), raw(3, trust=other),
        raw(4, epoch=Mark(seq=1, sha256="0" * 64)), raw(5, epoch=Mark(seq=2, sha256=EPOCH.sha256)),
    ]], builders.now())  # fmt: skip
    assert census(empty).said.diverged == 4


def closed(*numbers: int) -> Epoch:
    ids = tuple(builders.instance_key(number).key_id for number in numbers)
    scope = epoch.Scope(services=(), regions=(), tenants=(), instances=ids)
    return builders.make_epoch(TRUST, scope=scope)


def test_a_closed_roster_counts_its_own_and_expects_all_of_them(empty: Fleet) -> None:
    empty.look([[raw(1), raw(2), raw(9, epoch=None)]], builders.now())
    found = empty.census(closed(1, 2, 3), UNDER, NO_HALTS)
    assert [member.name for member in found.members] == sorted([name(1), name(2)])
    assert (found.said.size, found.said.expected) == (2, 3)
    assert len(empty.members) == 3, "people see who else reports"


def halted(value: str, kind: str = "instance", number: int = 1) -> halt.Order:
    scope = msgspec.convert({"kind": kind, "value": value}, halt.Scope)
    return builders.make_order(TRUST, scope=scope, number=number)


def test_a_halted_instance_is_left_out_and_nobody_else(empty: Fleet) -> None:
    empty.look([[raw(1), raw(2)]], builders.now())
    order = halted(name(1))
    for orders in ([order], [order, halted(name(2), "service", 2)], [order, halted("x", number=3)]):
        found = census(empty, halts=NO_HALTS.union(orders))
        assert [member.name for member in found.members] == [name(2)]
    clear = builders.make_order(TRUST, clears=order.says.halt_id, number=4)
    assert census(empty, halts=NO_HALTS.union([order, clear])).said.size == 2


def test_the_age_of_a_report_is_counted_here(empty: Fleet) -> None:
    empty.look([[raw(1, sent_at=0)]], builders.now())
    (member,) = empty.members
    assert member.age_ms(BootNs(builders.now(250).boot + NS_PER_MS // 2)) == 250
