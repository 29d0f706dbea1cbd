"""A scope is read strictly, said in words, and doubted when the newest epoch has no such part."""

from collections.abc import AsyncIterator
from typing import get_args

import pytest

from sidecar import clock
from sidecar.authority import rollout
from sidecar.authority.ceremony import ScopeKind
from sidecar.cli import scope
from sidecar.cli.text import USAGE, CliError
from sidecar.core import layout
from sidecar.sync.peer import Peer
from tests import builders
from tests.valkey import ValkeyServer

TRUST = builders.make_trust()
INSTANCE = "chat-0123456789abcdef"


@pytest.mark.parametrize(
    ("said", "kind", "value"),
    [
        ("global", "global", ""),
        ("drill", "drill", ""),
        ("drill:evening", "drill", "evening"),
        ("service:chat", "service", "chat"),
        (f"instance:{INSTANCE}", "instance", INSTANCE),
        ("route:chat.v1", "route", "chat.v1"),
        ("model:meta-llama/Llama-3:8b", "model", "meta-llama/Llama-3:8b"),
        ("model:" + "m" * 256, "model", "m" * 256),
        ("tenant:Acme Inc.", "tenant", "Acme Inc."),
    ],
)
def test_a_scope_is_a_kind_and_a_name(said: str, kind: str, value: str) -> None:
    assert scope.parse(said) == (kind, value)


@pytest.mark.parametrize(
    "said",
    [
        "", "everything", "service", "service:", "route:", "model:", "tenant:", "instance:",
        "global:", "global:x", "service:Chat", "service:a b", "service:" + "a" * 64, "route:Chat",
        "route:/v1/chat", "instance:chat", "instance:chat-0123", f"instance:{INSTANCE.upper()}",
        "model:a,b", "model: a", "model:a ", "model:\xe4", "model:a\n", "model:" + "m" * 257,
        "tenant:a,b", " global", "Global",
    ],
)  # fmt: skip
def test_a_scope_that_could_name_nothing_is_refused(said: str) -> None:
    """A halt that stops nothing is found out when it is too late."""
    with pytest.raises(CliError) as caught:
        scope.parse(said)
    assert caught.value.exit_code == USAGE


@pytest.mark.parametrize("kind", get_args(ScopeKind))
def test_every_kind_says_what_it_stops(kind: ScopeKind) -> None:
    said = scope.stops(kind, "x1")
    assert ("x1" in said) == (kind not in ("global", "drill"))
    assert (said == "nothing") == (kind == "drill")


# -- against what the peers hold

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]


@pytest.fixture
async def peers(valkeys: Three) -> AsyncIterator[list[Peer]]:
    made = [Peer(server.address(f"p{index}"), 500) for index, server in enumerate(valkeys)]
    yield made
    for peer in made:
        peer.close()


async def put(peers: list[Peer], table: bytes) -> None:
    now = clock.now().wall
    raw = builders.epoch_bytes(TRUST, routes_blob=table, issued_at=now)
    lines = rollout.epoch_commands(
        TRUST, builders.open_epoch(raw, TRUST), raw, (builders.POLICY, table)
    )
    assert set((await rollout.publish(peers, lines)).values()) == {"ok"}


async def doubt(peers: list[Peer], kind: ScopeKind, value: str) -> str:
    return await scope.doubt(peers, TRUST, kind, value, clock.now().wall) or ""


@pytest.mark.redis
async def test_a_route_that_there_is_not_is_doubted(peers: list[Peer]) -> None:
    await put(peers, builders.ROUTES)
    assert await doubt(peers, "route", "api") == ""
    assert "epoch 1 has no route apl" in await doubt(peers, "route", "apl")
    assert "it has api" in await doubt(peers, "route", "apl")


@pytest.mark.redis
async def test_a_table_that_cannot_tell_models_apart_is_said(peers: list[Peer]) -> None:
    await put(peers, builders.routes_bytes(attributes={"model": "x-model"}))
    assert await doubt(peers, "model", "any") == ""
    assert "every request is stopped there" in await doubt(peers, "tenant", "any")


@pytest.mark.redis
async def test_what_cannot_be_looked_up_is_said_and_is_no_failure(
    peers: list[Peer], valkeys: Three
) -> None:
    assert "nobody looked" in await doubt(peers, "route", "api"), "there is no epoch"
    await put(peers, builders.ROUTES)
    key = layout.blob_key("test", builders.canonical.digest(builders.ROUTES))
    for server in valkeys:
        server.do("SET", key, b"other bytes")
    assert "nobody looked" in await doubt(peers, "route", "api"), "there is no route table"
    for server in valkeys:
        server.stop()
    assert "nobody looked" in await doubt(peers, "route", "api"), "there is no peer"
    assert await doubt(peers, "service", "chat") == "", "nothing to look up"
