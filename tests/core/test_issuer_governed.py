"""The governance log of an authority: what is recorded, when, and what follows if it is not."""

from sidecar.core import canonical
from sidecar.core.issuing import Command, Fact, Sign, Tell
from sidecar.core.objects import beat
from tests import builders, rotation
from tests.core.issuer_world import (
    BEAT,
    FIRST,
    HALTS,
    PEERS,
    RIVAL,
    SECOND,
    TRUST,
    World,
)  # fmt: skip


def test_each_thing_that_governs_is_recorded_once_and_before_a_beat_names_it() -> None:
    world = World(governed=True)
    assert world.book is not None
    seen: list[tuple[int, int, int]] = []  # epoch, orders, entries on record: when a beat is signed

    def watch(command: Command) -> None:
        if isinstance(command, Sign):
            assert world.book is not None
            said = canonical.load(command.payload, beat.Body, beat.MAX_BYTES)
            seen.append((said.epoch.seq, said.halts.seq, said.gov_log.size))
            assert said.gov_log == world.book.head

    world.before = watch
    world.must_beat()
    world.must_beat()
    world.put_epoch(SECOND)
    world.must_beat()
    world.put_order(PEERS[0], builders.order_bytes(TRUST))
    world.must_beat()
    world.must_beat()
    assert seen == [(1, 0, 2), (1, 0, 2), (2, 0, 3), (2, 1, 4), (2, 1, 4)]
    number = builders.order_body(TRUST).seq
    assert world.book.told() == [("trust", 1), ("epoch", 1), ("epoch", 2), ("halt", number)]


def test_a_restart_records_nothing_again() -> None:
    world = World(governed=True)
    world.put_order(PEERS[0], builders.order_bytes(TRUST))
    world.must_beat()
    assert world.book is not None
    before = world.book.told()
    world.restart()
    world.must_beat()
    assert world.book.told() == before


def test_without_a_log_that_is_kept_there_is_no_beat_and_peers_get_their_orders_all_the_same() -> (
    None
):
    world = World(governed=True)
    assert world.book is not None
    world.book.broken = "disk full"
    world.put_order(PEERS[0], builders.order_bytes(TRUST))
    assert world.beat() is None
    assert Tell(Fact.GOVERNANCE_UNWRITTEN, "disk full") in world.log
    assert all(world.peers[peer].hashes.get(HALTS) for peer in PEERS)
    world.book.broken = ""
    assert world.must_beat().says.halts.seq == 1
    assert Tell(Fact.GOVERNANCE_UNWRITTEN, "disk full", over=True) in world.log


def test_contradictions_are_recorded_although_no_beat_follows() -> None:
    world = World(governed=True)
    world.put_epoch(SECOND)
    world.must_beat()
    world.put_epoch(RIVAL, (PEERS[0],))
    assert world.beat() is None
    assert world.beat() is None
    assert world.book is not None
    found = world.book.entries[-1]
    assert (found.kind, found.detail["what"], found.detail["number"]) == ("conflict", "epoch", 2)
    assert found.detail["sha256"] == sorted((SECOND.sha256, RIVAL.sha256))
    assert [kind for kind, _ in world.book.told()].count("conflict") == 1


def test_a_forked_stream_is_recorded() -> None:
    world = World(governed=True)
    mine = world.must_beat()
    twin = builders.beat_bytes(TRUST, FIRST, seq=mine.seq, ttl_ms=1)
    world.peers[PEERS[1]].strings[BEAT] = twin
    world.must_beat()
    assert world.book is not None
    found = world.book.entries[-1]
    assert (found.kind, found.detail["what"]) == ("conflict", "beat")
    assert mine.sha256 in str(found.detail["sha256"])


def test_a_log_that_was_put_back_to_an_older_state_carries_no_beat() -> None:
    world = World(governed=True)
    for number in range(4):
        world.put_order(PEERS[0], builders.order_bytes(TRUST, number=number + 1), str(number))
    world.must_beat()
    assert world.book is not None
    del world.book.entries[:]
    for peer in PEERS:
        world.peers[peer].hashes[HALTS].clear()
    world.disk = None
    world.restart()
    assert world.beat() is None
    assert Fact.GOVERNANCE_LOST in world.told()


def test_a_clear_and_a_rotation_appear_once_each_also_of_documents_that_were_walked_through() -> (
    None
):
    world = World(governed=True)
    world.put_order(PEERS[0], builders.order_bytes(TRUST))
    world.must_beat()
    clear = builders.order_bytes(TRUST, number=2, clears=builders.halt_id("1"))
    world.put_order(PEERS[0], clear, "clear")
    world.must_beat()
    second = rotation.successor(TRUST)
    world.put_trust(rotation.successor(second), PEERS[0])
    world.put_trust(second, PEERS[1])
    world.must_beat()
    world.must_beat()
    assert world.book is not None
    assert world.book.told() == [
        ("trust", 1), ("epoch", 1), ("halt", 1), ("clear", 2), ("trust", 2), ("trust", 3),
    ]  # fmt: skip
