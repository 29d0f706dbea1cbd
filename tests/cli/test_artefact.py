"""`FILE|sha256:DIGEST`: what is taken, and what is believed of what the peers hold."""

from pathlib import Path

import click
import pytest

from sidecar.authority import rollout
from sidecar.authority.ceremony import CeremonyError
from sidecar.cli import artefact
from sidecar.cli.artefact import ARTEFACT, POLICY, ROUTES
from sidecar.core import canonical, layout
from sidecar.sync.peer import Peer
from tests import builders
from tests.valkey import ValkeyServer

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]
DIGEST = canonical.digest(builders.POLICY)


def test_a_digest_is_told_from_a_file() -> None:
    assert ARTEFACT.convert(f"sha256:{DIGEST}", None, None) == DIGEST
    assert ARTEFACT.convert("policy.yaml", None, None) == Path("policy.yaml")


@pytest.mark.parametrize("said", ["sha256:", "sha256:12", f"sha256:{DIGEST.upper()}"])
def test_what_is_no_digest_is_refused(said: str) -> None:
    with pytest.raises(click.BadParameter, match="sha256: and 64 digits 0-9 a-f"):
        ARTEFACT.convert(said, None, None)


def test_a_file_is_built_and_what_is_none_stays_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_bytes(builders.POLICY)
    assert artefact.built(POLICY, file) == builders.POLICY
    assert artefact.built(POLICY, DIGEST) == DIGEST
    assert artefact.built(ROUTES, None) is None


@pytest.mark.redis
async def test_what_a_peer_holds_is_believed_for_its_digest_and_has_to_be_of_the_kind(
    valkeys: Three,
) -> None:
    under = builders.make_trust()
    peers = [Peer(server.address(f"p{index}"), 10_000) for index, server in enumerate(valkeys)]
    await rollout.publish(peers[2:], rollout.blob_commands(under, [builders.POLICY]))
    valkeys[0].do("SET", layout.blob_key("test", DIGEST), b"other bytes")
    assert await artefact.fetched(peers, under, POLICY, DIGEST) == builders.POLICY
    with pytest.raises(CeremonyError, match="cannot be the routes of an epoch"):
        await artefact.fetched(peers, under, ROUTES, DIGEST)
    valkeys[2].do("DEL", layout.blob_key("test", DIGEST))
    with pytest.raises(CeremonyError, match=r"no peer has sha256:.*epochgate policy publish FILE"):
        await artefact.fetched(peers, under, POLICY, DIGEST)
    for peer in peers:
        peer.close()
