"""What the hand signs is genuine, unless a check asked for something else."""

import pytest

from sidecar import clock
from sidecar.authority import ceremony
from sidecar.core import canonical, envelope, layout
from sidecar.core.objects import beat
from sidecar.core.objects.trust import Role
from sidecar.core.reason import ProtocolError
from tests.cli.conformance.deaf import DeafDeployment


def opened(deployment: DeafDeployment, raw: bytes) -> beat.Beat:
    trust = deployment.hand.trust
    sealed = envelope.parse(raw, beat.MAX_BYTES)
    return beat.parse(trust.open(sealed, Role.BEAT, beat.PAYLOAD_TYPE, clock.now().wall))


def test_its_beats_are_valid_and_numbered(deaf: DeafDeployment) -> None:
    one, two = (opened(deaf, deaf.hand.sign_beat()) for _ in range(2))
    assert two.seq == one.seq + 1
    assert one.says.epoch.sha256 == deaf.hand.newest().sha256


def test_its_epochs_follow_the_newest_and_need_both_keys(deaf: DeafDeployment) -> None:
    hand, now = deaf.hand, clock.now().wall
    before = hand.newest()
    _, raw, made = hand.sign_epoch()
    assert made.says.prev_sha256 == before.sha256
    assert ceremony.open_epoch(raw, hand.trust, now) == made
    _, short, _ = hand.sign_epoch(keys=1)
    with pytest.raises(ProtocolError):
        ceremony.open_epoch(short, hand.trust, now)


async def test_it_is_gone_when_its_work_is_done(deaf: DeafDeployment) -> None:
    hand, peer = deaf.hand, deaf.peers[0]
    async with deaf.instead():
        hand.tell()
        assert peer.get(hand.beat_key) is not None
        hand.show = lambda number, raw: raw if number else None
        hand.tell()
        assert (peer.get(hand.beat_key), bool(deaf.peers[1].get(hand.beat_key))) == (None, True)
    assert [peer.get(hand.beat_key) for peer in deaf.peers] == [None] * 3
    assert hand.show(0, b"raw") == b"raw"


def test_what_it_puts_lies_where_it_is_looked_for(deaf: DeafDeployment) -> None:
    sha256 = canonical.digest(b"blob")
    deaf.hand.put_blob(sha256, b"blob")
    assert deaf.hand.blob(sha256) == b"blob"
    assert deaf.peers[2].get(layout.blob_key(deaf.hand.trust.domain, sha256)) == b"blob"
