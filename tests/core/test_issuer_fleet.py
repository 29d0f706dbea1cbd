"""Reports in, proofs and a fleet root out: what an authority does for its fleet with each beat."""

from typing import Any

import msgspec
import pytest

from sidecar.core import canonical, issuing, layout
from sidecar.core.events import PeerFailed, ReadPeer
from sidecar.core.fleet import KEEP_MIN_MS, KEEP_TTLS
from sidecar.core.issuer import REPORTS_MAX_BYTES
from sidecar.core.issuing import BeatEnded, Fact, Sign, WritePeer
from sidecar.core.log.merkle import EMPTY_ROOT
from sidecar.core.objects import beat, halt, report
from sidecar.core.objects.beat import Beat
from tests import builders
from tests.core.issuer_world import (
    DOMAIN,
    FIRST,
    HALTS,
    PEERS,
    PROOFS,
    REPORTS,
    SECOND,
    SETTING,
    TRUST,
    World,
    make_epoch,
)  # fmt: skip


def name(number: int) -> str:
    return builders.report_body(number).instance


def proven(world: World, made: Beat, number: int, **changes: Any) -> None:
    """Every peer holds a proof that this beat covers that report of an instance."""
    said = {"trust": builders.trust_ref(TRUST), "epoch": world.here, **changes}
    sha256 = builders.make_report(number, **said).sha256
    for peer in world.peers.values():
        proof = report.parse_proof(peer.hashes[PROOFS][name(number)])
        assert (proof.beat, proof.report) == (made.sha256, sha256)
        report.verify_proof(proof, made.says.fleet.size, made.says.fleet.root)


def test_a_beat_covers_every_report_that_any_peer_holds_and_proves_it() -> None:
    world = World()
    world.put_report(1, PEERS[0])
    world.put_report(2, PEERS[1])
    world.put_report(3)
    made = world.must_beat()
    assert (made.says.fleet.size, made.says.fleet.expected) == (3, 3)
    for number in (1, 2, 3):
        proven(world, made, number)
    world.put_report(1, seq=2)
    again = world.must_beat()
    assert again.says.fleet.root != made.says.fleet.root
    proven(world, again, 1, seq=2)
    proven(world, again, 2)
    (ended,) = [command for command in world.log[-9:] if isinstance(command, BeatEnded)]
    assert ended.fleet == again.says.fleet


def test_nobody_reports_and_beats_go_on() -> None:
    world = World()
    made = world.must_beat()
    assert (made.says.fleet.root, made.says.fleet.size) == (EMPTY_ROOT.hex(), 0)
    assert not any(peer.hashes.get(PROOFS) for peer in world.peers.values())


def test_reports_are_read_before_the_time_of_issue_is_sampled() -> None:
    """Else a beat could claim freshness for a nonce that did not exist yet."""
    world = World()
    world.put_report(1)
    reads: list[int] = []
    world.before = lambda command: (
        reads.append(world.ms)
        if isinstance(command, ReadPeer) and REPORTS in command.hashes
        else None
    )
    made = world.must_beat()
    assert len(reads) == len(PEERS)
    assert made.says.issued_at >= builders.NOW + max(reads)


def test_proofs_are_written_before_the_beat_in_the_same_batch() -> None:
    world = World()
    world.put_report(1)
    world.must_beat()
    batches = [c.commands for c in world.log if isinstance(c, WritePeer)][-len(PEERS) :]
    for commands in batches:
        assert [line[0] for line in commands] == ["HSET", "SET", "PUBLISH"]
        assert commands[0][1] == PROOFS


def test_who_diverged_is_counted_by_what_the_beat_names() -> None:
    world = World()
    world.put_report(1)
    world.put_report(2, epoch=None)
    assert world.must_beat().says.fleet.diverged == 1
    world.put_epoch(SECOND)
    assert world.must_beat().says.fleet.diverged == 2


def test_closed_roster_of_the_epoch_in_force_is_what_counts() -> None:
    scope = msgspec.structs.replace(
        FIRST.says.scope, instances=(builders.instance_key(1).key_id, "0" * 64)
    )
    world = World()
    world.put_report(1)
    world.put_report(2)
    assert world.must_beat().says.fleet.size == 2
    world.put_epoch(make_epoch(FIRST, scope=scope, reason="closed"))
    said = world.must_beat().says.fleet
    world.must_beat()
    assert (said.size, said.expected) == (1, 2)
    assert all(set(peer.hashes[PROOFS]) == {name(1)} for peer in world.peers.values())


def test_halted_instance_is_fenced_at_the_next_beat() -> None:
    world = World()
    world.put_report(1)
    world.put_report(2)
    world.must_beat()
    scope = halt.Scope(kind="instance", value=name(1))
    world.put_order(PEERS[0], builders.order_bytes(TRUST, scope=scope))
    made = world.must_beat()
    assert made.says.fleet.size == 1
    for peer in world.peers.values():
        left = report.parse_proof(peer.hashes[PROOFS][name(1)])
        assert left.beat != made.sha256, "it proves nothing about this beat"
    world.must_beat()
    assert all(set(peer.hashes[PROOFS]) == {name(2)} for peer in world.peers.values())
    assert all(peer.hashes[HALTS] for peer in world.peers.values())


def test_silent_instance_is_dropped_and_the_peers_need_not_hold_its_report() -> None:
    world = World()
    world.put_report(1)
    world.put_report(2)
    world.must_beat()
    keep_ms = max(KEEP_MIN_MS, KEEP_TTLS * SETTING.ttl_ms)
    world.ms += keep_ms - 2 * SETTING.interval_ms
    world.put_report(2, seq=2)
    assert world.must_beat().says.fleet.size == 2, "not yet"
    world.ms += 2 * SETTING.interval_ms
    assert world.must_beat().says.fleet.size == 1
    world.must_beat()
    for peer in world.peers.values():
        assert set(peer.hashes[PROOFS]) == {name(2)}
        assert set(peer.hashes[REPORTS]) == {name(2)}


@pytest.mark.parametrize("kind", ["oversize", "timeout"])
def test_peer_whose_reports_cannot_be_read_still_counts_for_everything_else(kind: str) -> None:
    """Whoever floods the reports must not be able to stop the beats, nor to hide a halt."""
    world = World()
    world.put_report(1, PEERS[2])
    honest = world.answer

    def flooded(command: issuing.Command) -> issuing.Event | None:
        if isinstance(command, ReadPeer) and REPORTS in command.hashes:
            assert command.max_bytes == REPORTS_MAX_BYTES
            if command.peer != PEERS[2]:
                return PeerFailed(command.peer, command.round, kind)
        return honest(command)

    world.answer = flooded  # type: ignore[method-assign]
    world.put_order(PEERS[0], builders.order_bytes(TRUST))
    said = world.must_beat().says
    assert (said.fleet.size, said.state) == (1, "halt")
    assert Fact.REPORTS_UNREAD in world.told()


def test_log_that_lost_records_is_told_once_and_stays_told() -> None:
    world = World()
    for seq, size in ((1, 9), (2, 4), (3, 20)):
        head = report.AuditHead(origin="epochgate/test/pod", size=size, root="a" * 64)
        world.put_report(1, seq=seq, audit=head)
        world.must_beat()
    assert world.told().count(Fact.LOG_SHRUNK) == 1


def test_peer_that_lets_nobody_delete_takes_beats_all_the_same() -> None:
    """Its ACL is from before there was a fleet."""
    world = World()
    world.put_report(1)
    for peer in world.peers.values():
        peer.run = lambda commands, run=peer.run: run(  # type: ignore[method-assign, misc]
            line for line in commands if line[0] not in ("DEL", "HDEL")
        )
    world.must_beat()
    writes = [line for c in world.log if isinstance(c, WritePeer) for line in c.commands]
    assert {line[0] for line in writes} <= {"SET", "HSET", "PUBLISH"}


def test_restart_begins_with_an_empty_hash_of_proofs() -> None:
    world = World()
    world.put_report(1)
    world.must_beat()
    for peer in world.peers.values():
        peer.hashes[PROOFS]["left-0123456789abcdef"] = b"{}"
    world.restart()
    world.must_beat()
    assert all(set(peer.hashes[PROOFS]) == {name(1)} for peer in world.peers.values())


def test_what_is_signed_is_what_the_proofs_lead_to() -> None:
    world = World()
    world.put_report(1)
    world.must_beat()
    (signed,) = [command for command in world.log if isinstance(command, Sign)]
    body = canonical.load(signed.payload, beat.Body, beat.MAX_BYTES)
    proof = report.parse_proof(world.peers[PEERS[0]].hashes[PROOFS][name(1)])
    assert proof.beat == canonical.digest(signed.payload)
    report.verify_proof(proof, body.fleet.size, body.fleet.root)
    assert layout.proofs_key(DOMAIN, body.issuer) == PROOFS
