"""Every reason of governance, produced through the real sidecar.

Each test shows the peers something, and reads the reason where an operator would: in the answer to
a request, or among the causes on the status port. The world fixture checks after each of them that
nothing reached the service without a permit record.
"""

import asyncio
import os
import resource
import signal
from typing import Any

import pytest

from sidecar import clock
from sidecar.core import canonical, layout, policy
from sidecar.core import lifecycle as steps
from sidecar.core.objects import beat, halt
from sidecar.core.objects.epoch import Activation, Scope
from sidecar.core.objects.trust import Revoked, Role, TrustRef
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import sign
from tests import builders
from tests.integration.harness import LIMIT_S, TTL_MS, World
from tests.integration.reasons import produces

ALL = (0, 1, 2)


async def denied_because(world: World, reason: Reason) -> None:
    """The sidecar never permits, and names the cause."""
    await world.sidecar.start()
    state = await world.until_cause(reason.code)
    assert state["state"] != "running"
    status, _, body = await world.ask()
    assert status == 503
    assert body["error"]["code"] == body["reason"]
    assert not world.service.seen


def vouched(world: World, **changes: Any) -> None:
    """An epoch with these fields, and beats for it."""
    world.hand.put_epoch(routes=world.routes, **changes)
    world.hand.pulse()
    world.hand.start()


@produces(Reason.STARTING)
@pytest.mark.sidecar(sync__timeout="375ms")
async def test_denies_before_the_first_round_has_ended(world: World) -> None:
    vouched(world)
    for valkey in world.hand.valkeys:
        valkey.pause()
    try:
        await world.hand.stop()
        await world.sidecar.start()
        assert (await world.ask())[:2] == (503, "EG905")
    finally:
        for valkey in world.hand.valkeys:
            valkey.resume()


@produces(Reason.NOT_SYNCED)
async def test_denies_while_the_peers_are_empty(world: World) -> None:
    await denied_because(world, Reason.NOT_SYNCED)
    assert (await world.ask())[1] == "EG101"


@produces(Reason.LEASE_EXPIRED)
async def test_denies_at_the_deadline_when_the_authority_falls_silent(world: World) -> None:
    await world.open()
    await world.hand.stop()
    last_issued_at = clock.now().wall
    await world.until(503, "EG102")
    permitted = [line["ts"] for line in world.sidecar.records() if line.get("decision") == "permit"]
    assert max(permitted) < last_issued_at + TTL_MS


@produces(Reason.BEAT_STALE)
async def test_a_beat_past_its_life_gives_no_lease(world: World) -> None:
    world.hand.changes = {"issued_at": clock.now().wall - TTL_MS}
    vouched(world)
    await denied_because(world, Reason.BEAT_STALE)


@produces(Reason.BEAT_FROM_FUTURE)
async def test_a_beat_from_the_future_gives_no_lease(world: World) -> None:
    world.hand.changes = {"issued_at": clock.now().wall + 60_000}
    vouched(world)
    await denied_because(world, Reason.BEAT_FROM_FUTURE)


@produces(Reason.EPOCH_EXPIRED)
async def test_an_expired_epoch_gives_no_lease(world: World) -> None:
    vouched(world, not_after=clock.now().wall - 1)
    await denied_because(world, Reason.EPOCH_EXPIRED)


@produces(Reason.EPOCH_NOT_YET_VALID)
async def test_an_epoch_of_tomorrow_gives_no_lease(world: World) -> None:
    vouched(world, not_before=clock.now().wall + builders.DAY_MS // 2)
    await denied_because(world, Reason.EPOCH_NOT_YET_VALID)


@produces(Reason.POLICY_MISSING)
async def test_denies_while_no_peer_has_the_policy(world: World) -> None:
    vouched(world)
    blob = layout.blob_key(world.hand.trust.domain, canonical.digest(builders.POLICY))
    for client in world.hand.clients:
        client.delete(blob)
    await denied_because(world, Reason.POLICY_MISSING)


@produces(Reason.POLICY_DIGEST_MISMATCH)
async def test_a_swapped_policy_is_refused_by_its_digest(world: World) -> None:
    vouched(world)
    blob = layout.blob_key(world.hand.trust.domain, canonical.digest(builders.POLICY))
    world.hand.put(blob, builders.POLICY.replace(b"/v1/**", b"/v2/**"))
    await denied_because(world, Reason.POLICY_DIGEST_MISMATCH)


@produces(Reason.POLICY_INVALID)
async def test_bytes_that_hash_right_and_are_no_policy_are_refused(world: World) -> None:
    vouched(world, policy=canonical.encode({"_type": policy.TYPE, "name": "x", "rules": "all"}))
    await denied_because(world, Reason.POLICY_INVALID)


@produces(Reason.POLICY_DENY)
async def test_a_request_that_no_rule_permits_gets_403(world: World) -> None:
    await world.open()
    async with world.session.get(world.sidecar.url + "/v1/models") as response:
        assert (response.status, response.headers["x-epochgate-reason"]) == (403, "EG204")


@produces(Reason.PROFILE_UNSUPPORTED)
async def test_an_epoch_that_asks_for_more_than_this_build_does_is_refused(world: World) -> None:
    # Its route table does not say where the tenant of a request stands.
    vouched(world, scope=Scope(services=(), regions=(), tenants=("acme",), instances=()))
    await denied_because(world, Reason.PROFILE_UNSUPPORTED)


@produces(Reason.EPOCH_SUPERSEDED)
async def test_one_peer_with_an_immediate_epoch_ends_the_old_lease(world: World) -> None:
    await world.open()
    old = world.hand.epoch
    assert old is not None
    await world.hand.stop()
    world.hand.put_epoch(
        routes=world.routes, activation=Activation(mode="immediate", supersedes=True)
    )
    world.hand.put(world.hand.beat_key, world.hand.beat(), 2)
    await world.until(503, "EG206")


@produces(Reason.ROUTE_DIGEST_MISMATCH)
async def test_a_swapped_route_table_is_refused_by_its_digest(world: World) -> None:
    vouched(world)
    blob = layout.blob_key(world.hand.trust.domain, canonical.digest(world.routes))
    world.hand.put(blob, world.routes.replace(b"127.0.0.1", b"127.0.0.2"))
    await denied_because(world, Reason.ROUTE_DIGEST_MISMATCH)


@produces(Reason.ROUTE_UNKNOWN)
async def test_a_path_without_a_route_gets_403(world: World) -> None:
    await world.open()
    assert (await world.ask("/admin"))[:2] == (403, "EG302")


@produces(Reason.REGION_NOT_AUTHORIZED)
async def test_an_epoch_for_another_region_gives_no_lease(world: World) -> None:
    vouched(world, scope=Scope(services=(), regions=("elsewhere",), tenants=(), instances=()))
    await denied_because(world, Reason.REGION_NOT_AUTHORIZED)


@produces(Reason.SERVICE_NOT_AUTHORIZED)
async def test_an_epoch_for_another_service_gives_no_lease(world: World) -> None:
    vouched(world, scope=Scope(services=("other",), regions=(), tenants=(), instances=()))
    await denied_because(world, Reason.SERVICE_NOT_AUTHORIZED)


@produces(Reason.STATE_CORRUPT)
async def test_damaged_marks_are_never_taken_for_a_first_boot(world: World) -> None:
    await world.open()
    world.sidecar.end()
    path = world.sidecar.folder / "state" / "marks.json"
    raw = bytearray(path.read_bytes())
    raw[-10] ^= 1
    path.write_bytes(raw)
    await world.sidecar.start()
    assert (await world.ask())[:2] == (503, "EG405")
    assert path.read_bytes() == raw, "evidence must not be overwritten"


@produces(Reason.STATE_UNWRITABLE)
async def test_no_lease_is_published_that_was_not_stored(world: World) -> None:
    vouched(world)
    (world.sidecar.folder / "state" / "marks.new").mkdir()
    await denied_because(world, Reason.STATE_UNWRITABLE)
    wanted = (steps.APPROVAL, False, {"reasons": ["EG406"]})
    async with asyncio.timeout(LIMIT_S):
        while wanted not in [
            (said["step"], said["ok"], said["evidence"])
            for line in world.sidecar.records()
            if line["type"] == "lifecycle" and (said := line["detail"])
        ]:
            await asyncio.sleep(0.01)


@produces(Reason.SIG_INVALID)
async def test_a_flipped_signature_bit_gives_no_vote(world: World) -> None:
    def flip(_: int, raw: bytes) -> bytes:
        at = raw.index(b'"sig":"') + 20
        return raw[:at] + (b"A" if raw[at : at + 1] != b"A" else b"B") + raw[at + 1 :]

    world.hand.mutate = flip
    vouched(world)
    await denied_because(world, Reason.SIG_INVALID)


@produces(Reason.THRESHOLD_NOT_MET)
async def test_an_epoch_with_one_signature_of_two_is_refused(world: World) -> None:
    with pytest.raises(ProtocolError):
        world.hand.put_epoch(routes=world.routes, signed_by=1)
    epoch = world.hand.put_epoch(routes=world.routes)
    key = layout.epoch_key(world.hand.trust.domain, epoch.sha256)
    body = builders.epoch.statement(epoch.says)
    one = sign(builders.epoch.PAYLOAD_TYPE, body, *builders.signers(Role.EPOCH, 1))
    world.hand.put(key, one)
    world.hand.start()
    await denied_because(world, Reason.THRESHOLD_NOT_MET)


@produces(Reason.KEY_UNKNOWN)
async def test_a_beat_signed_by_a_halt_key_gives_no_vote(world: World) -> None:
    epoch = world.hand.put_epoch(routes=world.routes)
    body = builders.beat_body(world.hand.trust, epoch, issued_at=clock.now().wall)
    raw = sign(beat.PAYLOAD_TYPE, canonical.dump(body), builders.signer(Role.HALT, 1))
    world.hand.put(world.hand.beat_key, raw)
    await denied_because(world, Reason.KEY_UNKNOWN)


@produces(Reason.KEY_REVOKED)
@pytest.mark.trust(
    revoked=(Revoked(keyid=builders.signer(Role.BEAT, 1).key_id, reason="stolen", at=1),)
)
async def test_a_beat_signed_by_a_revoked_key_gives_no_vote(world: World) -> None:
    vouched(world)
    key = layout.beat_key(world.hand.trust.domain, builders.signer(Role.BEAT, 2).key_id)
    # The revoked key's own place is not even read; a thief would use the other replica's.
    world.hand.put(key, world.hand.beat())
    await denied_because(world, Reason.KEY_REVOKED)


@produces(Reason.TRUST_EXPIRED)
async def test_no_lease_outlives_the_trust_document(world: World) -> None:
    world.hand.put_epoch(routes=world.routes)
    ends = clock.now().wall + 8_000
    raw = builders.trust_bytes(
        issued_at=ends - 10_000, expires=ends, limits=world.hand.trust.body.limits
    )
    world.hand.trust = builders.trust.parse(raw, clock.now().wall)
    (world.sidecar.folder / "trust.json").write_bytes(raw)
    world.hand.epoch = None
    await world.open()
    await world.until_cause("EG606")
    await world.until(503, "EG102")
    permitted = [line["ts"] for line in world.sidecar.records() if line.get("decision") == "permit"]
    assert max(permitted) < ends


@produces(Reason.TRUST_WITHHELD)
async def test_a_beat_under_a_newer_trust_document_gives_no_vote(world: World) -> None:
    world.hand.changes = {"trust": TrustRef(version=2, sha256="0" * 64)}
    vouched(world)
    await denied_because(world, Reason.TRUST_WITHHELD)


@produces(Reason.NONCANONICAL)
async def test_a_beat_with_a_space_too_many_gives_no_vote(world: World) -> None:
    world.hand.mutate = lambda _, raw: raw.replace(b"{", b"{ ", 1)
    vouched(world)
    await denied_because(world, Reason.NONCANONICAL)


@produces(Reason.TYPE_CONFUSION)
async def test_an_epoch_in_the_place_of_a_beat_gives_no_vote(world: World) -> None:
    epoch = world.hand.put_epoch(routes=world.routes)
    raw = world.hand.clients[0].get(layout.epoch_key(world.hand.trust.domain, epoch.sha256))
    assert isinstance(raw, bytes)
    world.hand.put(world.hand.beat_key, raw)
    await denied_because(world, Reason.TYPE_CONFUSION)


@produces(Reason.OVERSIZE)
async def test_a_beat_of_a_hundred_kilobytes_gives_no_vote(world: World) -> None:
    world.hand.mutate = lambda _, raw: raw + b" " * 100_000
    vouched(world)
    await denied_because(world, Reason.OVERSIZE)


@produces(Reason.AUDIT_CHAIN_BREAK)
async def test_a_damaged_journal_holds_the_gate(world: World) -> None:
    await world.open()
    world.sidecar.end()
    path = min(world.sidecar.journal.glob("*.jsonl"))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"permit"', b'"Permit"', 1))
    await world.sidecar.start()
    assert (await world.ask())[:2] == (503, "EG701")
    world.sidecar.end()
    path.write_bytes(whole)


@produces(Reason.AUDIT_UNWRITABLE)
async def test_a_full_journal_denies_before_anything_is_forwarded(world: World) -> None:
    """The limit on file size strikes the journal only: log and marks are far below it."""
    await world.open()
    for _ in range(120):
        await world.ask()
    size = max(path.stat().st_size for path in world.sidecar.journal.glob("*.jsonl"))
    await world.hand.stop()
    resource.prlimit(world.sidecar.pid, resource.RLIMIT_FSIZE, (size, size))
    await world.until(503, "EG702")
    before = len(world.service.seen)
    assert (await world.ask())[:2] == (503, "EG702")
    assert len(world.service.seen) == before


@produces(Reason.QUORUM_LOST)
async def test_a_minority_of_peers_gives_no_lease(world: World) -> None:
    await world.open()
    world.hand.mutate = lambda index, raw: raw if index == 2 else None
    await world.until(503, "EG102")
    assert "EG801" in (await world.state())["causes"]


@produces(Reason.ROLLBACK)
async def test_an_older_epoch_is_never_accepted_again(world: World) -> None:
    await world.open()
    old = world.hand.epoch
    world.hand.put_epoch(routes=world.routes)
    async with asyncio.timeout(10):
        while (await world.state())["epoch"]["seq"] != 2:
            await asyncio.sleep(0.01)
    world.hand.epoch = old
    await world.until(503, "EG102")
    assert "EG802" in (await world.state())["causes"]


@produces(Reason.EQUIVOCATION)
async def test_two_beats_with_one_number_latch_and_survive_a_restart(world: World) -> None:
    await world.open()
    await world.hand.stop()
    number = world.hand.seq + 1
    one = world.hand.beat(seq=number)
    other = world.hand.beat(seq=number, interval_ms=99)
    world.hand.put(world.hand.beat_key, one, 0)
    world.hand.put(world.hand.beat_key, other, 1)
    await world.until(503, "EG803")
    assert (await world.state())["state"] == "quarantined"
    world.sidecar.end()
    world.hand.seq = number + 1
    world.hand.start()
    await world.sidecar.start()
    await world.until(503, "EG803")
    evidence = (await world.state())["holds"][0]["evidence"]
    world.hand.put_order(world.hand.order(clears=evidence))
    await world.until(200)


@produces(Reason.EPOCH_CHAIN_BREAK)
async def test_an_epoch_that_does_not_follow_ours_is_refused(world: World) -> None:
    await world.open()
    world.hand.put_epoch(routes=world.routes, prev_sha256="0" * 64)
    await world.until(503, "EG102")
    assert "EG804" in (await world.state())["causes"]


@produces(Reason.AUTHORITY_CONFLICT)
async def test_two_authorities_with_two_epochs_of_one_number_latch(world: World) -> None:
    await world.open()
    first = world.hand.epoch
    assert first is not None
    second = world.hand.put_epoch(routes=world.routes)
    world.hand.epoch = first
    third = world.hand.put_epoch(routes=world.routes, reason="another")
    assert second.seq == third.seq
    other = builders.signer(Role.BEAT, 2).key_id
    raw = world.hand.beat(second, number=2, issuer=other)
    world.hand.put(layout.beat_key(world.hand.trust.domain, other), raw)
    await world.until(503, "EG808")


@produces(Reason.HALT_GLOBAL)
async def test_one_halt_on_one_peer_stops_and_two_keys_resume(world: World) -> None:
    await world.open()
    raw = world.hand.order()
    world.hand.put_order(raw, 1)
    await world.until(503, "EG901")
    assert (await world.state())["state"] == "halted"
    halt_id = halt.open_order(raw, world.hand.trust, clock.now().wall).says.halt_id
    with pytest.raises(ProtocolError):
        world.hand.put_order(
            world.hand.order(clears=halt_id, keys=builders.signers(Role.RESUME, 1))
        )
    world.hand.put_order(world.hand.order(clears=halt_id))
    world.hand.put_order(raw)
    await world.until(200)


@produces(Reason.HALT_WITHHELD)
async def test_a_halt_that_every_peer_hides_still_contains(world: World) -> None:
    await world.open()
    world.hand.changes = {"halts": builders.NO_HALTS}
    hidden = builders.make_order(world.hand.trust, issued_at=clock.now().wall)
    world.hand.changes = {"halts": builders.NO_HALTS.union([hidden])}
    await world.until(503, "EG907")
    world.hand.changes = {}
    await world.until(200)


@produces(Reason.DRAINING)
@pytest.mark.sidecar(drain={"delay": "0ms", "timeout": "10s"})
async def test_draining_denies_new_work_and_finishes_what_runs(world: World) -> None:
    await world.open()
    body = {"model": "m", "stream": True, "max_tokens": 40}
    async with world.session.post(
        world.sidecar.url + "/v1/chat/completions", json=body
    ) as response:
        await response.content.readline()
        reader, writer = await asyncio.open_connection("127.0.0.1", world.sidecar.inbound)
        request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        writer.write(request)
        assert b" 200 " in await reader.readline()
        child = world.sidecar.pid
        os.kill(child, signal.SIGTERM)
        await world.until_cause("EG904")
        rest = await response.read()
        assert rest.endswith(b"data: [DONE]\n\n"), "a running stream was cut by draining"
        writer.close()
    assert world.sidecar.wait() == 0
