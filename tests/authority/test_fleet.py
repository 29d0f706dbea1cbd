"""The fleet as people see it: read from real peers, nothing that nobody signed."""

import pytest

from sidecar import clock
from sidecar.authority import fleet
from sidecar.authority.fleet import Watch
from sidecar.core import layout
from sidecar.core.fleet import Fleet
from sidecar.core.objects.epoch import Scope
from sidecar.core.objects.trust import Mark
from sidecar.sync.peer import Peer
from tests import builders
from tests.valkey import ValkeyServer

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]
NAME = builders.report_body(1).instance


def known() -> Fleet:
    made = Fleet("test", 10_000)
    epoch = Mark(seq=3, sha256="a" * 64)
    changes = {"state": "running", "epoch": epoch, "lease_ms_left": 900, "reasons": ("EG801",)}
    made.look([[builders.report_bytes(1, **changes)]], builders.now())
    return made


def test_a_row_says_what_the_instance_said_and_how_old_that_is_here() -> None:
    assert fleet.rows(known(), {NAME}, builders.now(250)) == [{
        "instance": NAME, "service": "model", "region": "here", "state": "running", "epoch": 3,
        "policy": None, "trust": 1, "reasons": ["EG801"], "age_ms": 250, "lease_ms_left": 900,
        "build": "test", "included": True,
    }]  # fmt: skip
    (row,) = fleet.rows(known(), (), builders.now(250))
    assert row["included"] is False


def test_a_closed_roster_admits_its_own() -> None:
    trust = builders.make_trust()
    members = known().members
    for keys, count in (((), 1), ((builders.instance_key(1).key_id,), 1), (("0" * 64,), 0)):
        scope = Scope(services=(), regions=(), tenants=(), instances=keys)
        made = builders.make_epoch(trust, scope=scope)
        assert len(fleet.admitted(members, made)) == count
    assert fleet.admitted(members, None) == members


@pytest.mark.redis
async def test_peers_are_read_again_and_again_and_one_that_is_gone_is_said(valkeys: Three) -> None:
    key = layout.reports_key("test")
    peers = [Peer(server.address(f"p{at}"), 2_000) for at, server in enumerate(valkeys)]
    watch = Watch(peers, "test")
    assert await watch.look(clock.now()) == []
    valkeys[0].do("HSET", key, NAME, builders.report_bytes(1))
    valkeys[1].do("HSET", key, NAME, b"rubbish")
    valkeys[2].stop()
    (member,) = await watch.look(clock.now())
    assert (member.name, set(watch.failed)) == (NAME, {"p2"})
    for peer in peers:
        peer.close()
