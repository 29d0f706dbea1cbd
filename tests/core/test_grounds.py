"""What a decision rested on is what it names, and signed by whom it must be, or it is refused."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sidecar.core import envelope, grounds
from sidecar.core.log.grounds import NOTHING, Grounds
from sidecar.core.log.record import BeatRef, Decision, EpochRef
from sidecar.core.objects.trust import Trust
from sidecar.core.reason import ProtocolError, Reason
from tests import builders, rotation

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
BEAT = builders.make_beat(TRUST, EPOCH)


def text(sealed: envelope.Envelope | None) -> str:
    assert sealed is not None
    return envelope.encode(sealed).decode()


GROUNDS = Grounds(beat=text(BEAT.sealed), epoch=text(EPOCH.sealed), trust=())


def decided(**changes: Any) -> Decision:
    """A permit under `EPOCH` and `BEAT`, made while the beat was live."""
    said: dict[str, Any] = {
        "beat": BeatRef(issuer=BEAT.issuer, seq=BEAT.seq, sha=BEAT.sha256),
        "boot": "0123456789abcdef", "decision": "permit", "decision_id": "0123456789abcdef-0",
        "epoch": EpochRef(seq=EPOCH.seq, sha=EPOCH.sha256), "inst": "pod-1", "lease_ms_left": 1,
        "method": "POST", "parent_id": None, "path": "/", "policy_sha": EPOCH.says.policy.sha256,
        "prev": "0" * 64, "reason": None, "req_h": None, "route": "api", "rule": "chat", "seq": 0,
        "subject_h": None, "trace_id": None, "trust_v": 1, "ts": BEAT.says.issued_at + 1,
        "type": "decision", "upstream": "model", "v": 1,
    }  # fmt: skip
    return Decision(**(said | changes))


def refused(said: Decision, held: Grounds, pinned: Trust = TRUST) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        grounds.check(said, held, pinned)
    return caught.value


def test_everything_there_holds_and_is_said() -> None:
    found = grounds.check(decided(), GROUNDS, TRUST)
    assert found.unchecked == []
    assert [line.split()[0:2] for line in found.checked] == [
        ["trust", "document"], ["epoch", "1"], ["the", "policy"], ["beat", str(BEAT.seq)],
        ["the", "beat"],
    ]  # fmt: skip


def test_what_is_missing_is_said_to_be_missing() -> None:
    found = grounds.check(decided(), NOTHING, TRUST)
    assert [line.partition(":")[0] for line in found.unchecked] == ["the epoch", "the beat"]
    found = grounds.check(decided(epoch=None, beat=None), GROUNDS, TRUST)
    assert [line.partition(":")[0] for line in found.unchecked] == ["the epoch", "the beat"]


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": EpochRef(seq=EPOCH.seq, sha="0" * 64)},
        {"epoch": EpochRef(seq=EPOCH.seq + 1, sha=EPOCH.sha256)},
        {"policy_sha": "0" * 64},
        {"beat": BeatRef(issuer=BEAT.issuer, seq=BEAT.seq, sha="0" * 64)},
        {"beat": BeatRef(issuer=BEAT.issuer, seq=BEAT.seq + 1, sha=BEAT.sha256)},
        {"beat": BeatRef(issuer="0" * 64, seq=BEAT.seq, sha=BEAT.sha256)},
    ],
)
def test_a_record_that_names_something_else_is_refused(changes: dict[str, Any]) -> None:
    assert refused(decided(**changes), GROUNDS).reason is Reason.AUDIT_INCONSISTENT


@pytest.mark.parametrize("named", [(EPOCH.seq, "0" * 64), (EPOCH.seq + 1, EPOCH.sha256)])
def test_an_epoch_is_held_against_the_record_also_where_no_beat_is(named: tuple[int, str]) -> None:
    said = decided(epoch=EpochRef(seq=named[0], sha=named[1]), beat=None)
    assert refused(said, GROUNDS).reason is Reason.AUDIT_INCONSISTENT


def test_a_beat_for_another_epoch_is_refused() -> None:
    other = builders.make_epoch(TRUST, reason="other")
    said = decided(epoch=EpochRef(seq=other.seq, sha=other.sha256))
    held = msgspec.structs.replace(GROUNDS, epoch=text(other.sealed))
    assert refused(said, held).reason is Reason.AUDIT_INCONSISTENT


@pytest.mark.parametrize("which", ["epoch", "beat"])
def test_what_nobody_signed_is_refused(which: str) -> None:
    whole = {"epoch": EPOCH.sealed, "beat": BEAT.sealed}[which]
    assert whole is not None
    bare = text(replace(whole, signatures=()))
    error = refused(decided(), msgspec.structs.replace(GROUNDS, **{which: bare}))
    assert error.detail.startswith(f"{which}: ")


def test_a_beat_in_the_place_of_an_epoch_is_refused() -> None:
    held = msgspec.structs.replace(GROUNDS, epoch=GROUNDS.beat)
    assert refused(decided(), held).reason in {Reason.TYPE_CONFUSION, Reason.KEY_UNKNOWN}


def test_documents_are_walked_from_the_one_given_to_the_one_that_the_record_names() -> None:
    second = TRUST.rotate(rotation.successor_bytes(TRUST), builders.NOW)
    third = second.rotate(rotation.successor_bytes(second), builders.NOW)
    raws = tuple(document.raw.decode() for document in (second, third))
    held = msgspec.structs.replace(GROUNDS, trust=raws)
    assert not grounds.check(decided(trust_v=3), held, TRUST).unchecked
    assert not grounds.check(decided(trust_v=3), held, second).unchecked
    gap = msgspec.structs.replace(GROUNDS, trust=raws[1:])
    assert refused(decided(trust_v=3), gap).reason is Reason.TRUST_CHAIN_BREAK
    [unchecked] = grounds.check(decided(trust_v=3), GROUNDS, TRUST).unchecked
    assert "this file leads to 1" in unchecked
    [unchecked] = grounds.check(decided(trust_v=1), held, third).unchecked
    assert "from the one given, 3" in unchecked


def test_a_beat_that_had_lapsed_by_the_records_own_clock_is_not_called_live() -> None:
    late = decided(ts=BEAT.says.issued_at + BEAT.says.ttl_ms)
    assert [line[:13] for line in grounds.check(late, GROUNDS, TRUST).unchecked] == [
        "the beat was "
    ]
