"""What one peer's reply amounts to."""

from typing import Any

import pytest

from sidecar.core import canonical, envelope, layout, reply
from sidecar.core.lease import Terms
from sidecar.core.objects import halt
from sidecar.core.objects.trust import Role, TrustRef
from sidecar.core.reason import Reason
from sidecar.core.reply import Heard, Verifier
from tests import builders
from tests.builders import NOW, now

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
TERMS = Terms(ttl_ms=4000, skew_ms=500, drift_ppm=2000)
BEAT = builders.beat_bytes(TRUST, EPOCH)
HALTS = layout.halts_key("test")


def beat_key(number: int = 1) -> str:
    return layout.beat_key("test", builders.signer(Role.BEAT, number).key_id)


@pytest.fixture
def verifier() -> Verifier:
    return Verifier(TRUST, TERMS)


def hear_beat(verifier: Verifier, raw: bytes, at_ms: int = 0) -> Heard:
    return verifier.hear({beat_key(): (raw,)}, now(at_ms).wall)


def test_asks_for_the_beat_of_every_issuer_and_for_all_halts(verifier: Verifier) -> None:
    strings, hashes = verifier.keys()
    assert set(strings) == {beat_key(1), beat_key(2)}
    assert hashes == (HALTS,)


def test_hears_a_beat_and_the_bytes_that_carried_it(verifier: Verifier) -> None:
    heard = hear_beat(verifier, BEAT)
    assert heard.beats == ((builders.open_beat(BEAT, TRUST), BEAT),)
    assert heard.faults == ()


def test_an_empty_reply_is_no_fault(verifier: Verifier) -> None:
    assert verifier.hear({}, NOW) == Heard((), (), (), ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"domain": "other"}, Reason.TYPE_CONFUSION),
        ({"trust": TrustRef(version=2, sha256="00" * 32)}, Reason.TRUST_WITHHELD),
        ({"trust": TrustRef(version=1, sha256="00" * 32)}, Reason.EQUIVOCATION),
        ({"issued_at": NOW + 501}, Reason.BEAT_FROM_FUTURE),
        ({"issued_at": NOW - 3500}, Reason.BEAT_STALE),
        ({"ttl_ms": 500}, Reason.BEAT_STALE),
    ],
)
def test_a_signed_beat_that_proves_nothing_now_has_no_vote(
    verifier: Verifier, changes: dict[str, Any], reason: Reason
) -> None:
    heard = hear_beat(verifier, builders.beat_bytes(TRUST, EPOCH, **changes))
    assert heard.beats == ()
    assert heard.faults == (reason,)


def test_a_beat_under_an_older_trust_document_says_that_the_peer_lags() -> None:
    newer = builders.make_trust(version=2, prev_sha256=TRUST.sha256)
    heard = Verifier(newer, TERMS).hear({beat_key(): (BEAT,)}, NOW)
    assert heard.beats == ()
    assert heard.faults == (Reason.ROLLBACK,)


def test_an_expired_beat_is_still_heard_for_contradictions(verifier: Verifier) -> None:
    heard = hear_beat(verifier, BEAT, at_ms=60_000)
    assert [raw for _, raw in heard.stale] == [BEAT]


def test_a_beat_at_the_edges_of_its_life_counts(verifier: Verifier) -> None:
    assert hear_beat(verifier, BEAT, at_ms=-500).beats
    assert hear_beat(verifier, BEAT, at_ms=3499).beats
    assert not hear_beat(verifier, BEAT, at_ms=3500).beats


def forged(key_id: str, signer: builders.FileSigner) -> bytes:
    body = canonical.dump(builders.beat_body(TRUST, EPOCH))
    signature = signer.sign(envelope.pae(builders.beat.PAYLOAD_TYPE, body))
    return envelope.seal(builders.beat.PAYLOAD_TYPE, body, {envelope.KeyId(key_id): signature})


def test_a_beat_signed_by_somebody_else_in_the_name_of_an_issuer_is_refused(
    verifier: Verifier,
) -> None:
    thief = builders.signer(Role.HALT)
    issuer = builders.signer(Role.BEAT).key_id
    assert hear_beat(verifier, forged(issuer, thief)).faults == (Reason.SIG_INVALID,)
    assert hear_beat(verifier, forged(thief.key_id, thief)).faults == (Reason.KEY_UNKNOWN,)


def test_a_beat_of_a_revoked_key_is_refused() -> None:
    lost = builders.signer(Role.BEAT).key_id
    revoking = builders.make_trust(
        revoked=(builders.trust.Revoked(keyid=lost, reason="stolen", at=NOW),)
    )
    verifier = Verifier(revoking, TERMS)
    assert beat_key() not in verifier.keys()[0]
    raw = builders.beat_bytes(revoking, EPOCH)
    heard = verifier.hear({beat_key(2): (raw,)}, NOW)
    assert heard.faults == (Reason.KEY_REVOKED,)


def test_one_issuer_may_not_speak_in_the_stream_of_another(verifier: Verifier) -> None:
    other = builders.signer(Role.BEAT, 2)
    body = canonical.dump(builders.beat_body(TRUST, EPOCH, number=1))
    raw = builders.sign(builders.beat.PAYLOAD_TYPE, body, other)
    assert hear_beat(verifier, raw).faults == (Reason.SIG_INVALID,)


@pytest.mark.parametrize("raw", [b"", b"\x00" * 100, BEAT[:-1], BEAT + b" ", b"[" * 5000])
def test_garbage_is_a_fault_and_the_rest_of_the_reply_counts(
    verifier: Verifier, raw: bytes
) -> None:
    found = {beat_key(1): (raw,), beat_key(2): (builders.beat_bytes(TRUST, EPOCH, number=2),)}
    heard = verifier.hear(found, NOW)
    assert len(heard.beats) == 1
    assert len(heard.faults) == 1


def test_an_epoch_served_under_the_name_of_a_beat_is_a_fault(verifier: Verifier) -> None:
    assert hear_beat(verifier, builders.epoch_bytes(TRUST)).faults == (Reason.TYPE_CONFUSION,)


def test_identical_bytes_are_verified_once_for_all_peers(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = 0
    verify = envelope.verify

    def counted(*args: Any) -> bool:
        nonlocal checks
        checks += 1
        return verify(*args)

    monkeypatch.setattr(envelope, "verify", counted)
    for _ in range(5):
        hear_beat(verifier, BEAT)
    assert checks == 1


def test_a_remembered_beat_still_goes_stale(verifier: Verifier) -> None:
    """What is remembered is the signature, not that the beat was fresh."""
    assert hear_beat(verifier, BEAT).beats
    assert hear_beat(verifier, BEAT, at_ms=4000).beats == ()


def test_a_remembered_beat_ends_with_its_key() -> None:
    """A stolen key dates a beat ahead, to be used from memory when the key is over."""
    short = builders.make_trust(not_after={Role.BEAT: NOW + 1000})
    raw = builders.beat_bytes(short, builders.make_epoch(short), issued_at=NOW + 2000)
    verifier = Verifier(short, TERMS)
    assert hear_beat(verifier, raw).faults == (Reason.BEAT_FROM_FUTURE,)
    heard = hear_beat(verifier, raw, at_ms=2000)
    assert (heard.beats, heard.faults) == ((), (Reason.KEY_REVOKED,))


def test_memory_is_bounded_however_much_garbage_peers_serve(verifier: Verifier) -> None:
    for number in range(reply.KNOWN_ORDERS_MAX + 100):
        hear_beat(verifier, b"garbage %d" % number)
        verifier.hear({HALTS: (b"garbage %d" % number,)}, NOW)
    verifier.forget()
    assert len(verifier._beats) <= reply.BEATS_MAX
    assert len(verifier._orders) <= reply.KNOWN_ORDERS_MAX


# -- orders


def hear_orders(verifier: Verifier, *raws: bytes) -> Heard:
    return verifier.hear({HALTS: raws}, NOW)


def test_halts_and_clears_are_heard(verifier: Verifier) -> None:
    stop = builders.make_order(TRUST)
    clear = builders.make_order(TRUST, number=2, clears=stop.says.halt_id)
    assert hear_orders(verifier, stop.raw, clear.raw).orders == (stop, clear)


def test_a_clear_signed_by_those_who_may_only_halt_is_refused(verifier: Verifier) -> None:
    """Easy to stop, hard to start."""
    stopped = builders.make_order(TRUST)
    for keys in ([builders.signer(Role.HALT)], builders.signers(Role.RESUME, 1)):
        raw = builders.order_bytes(TRUST, clears=stopped.says.halt_id, keys=keys)
        heard = hear_orders(verifier, stopped.raw, raw)
        assert heard.orders == (stopped,)
        assert len(heard.faults) == 1


def test_a_forged_order_does_not_hide_the_others(verifier: Verifier) -> None:
    good = builders.make_order(TRUST)
    bad = builders.order_bytes(TRUST, number=2, keys=[builders.signer(Role.BEAT)])
    heard = hear_orders(verifier, bad, good.raw)
    assert heard.orders == (good,)
    assert heard.faults == (Reason.KEY_UNKNOWN,)


def test_forgeries_are_checked_a_few_at_a_time_and_hide_an_order_for_some_rounds_at_most(
    verifier: Verifier,
) -> None:
    rounds = 5
    forged = [
        builders.order_bytes(TRUST, number=number + 2, keys=[builders.signer(Role.BEAT)])
        for number in range(rounds * reply.FORGERIES_MAX)
    ]
    good = builders.make_order(TRUST)
    for _ in range(rounds):
        heard = hear_orders(verifier, *forged, good.raw)
        assert heard.orders == ()
        assert Reason.OVERSIZE in heard.faults
    heard = hear_orders(verifier, *forged, good.raw)
    assert heard.orders == (good,)
    assert heard.faults == (Reason.KEY_UNKNOWN,)


def test_an_order_that_is_known_is_heard_behind_any_number_of_forgeries(
    verifier: Verifier,
) -> None:
    good = builders.make_order(TRUST)
    hear_orders(verifier, good.raw)
    flood = [b"garbage %d" % number for number in range(100)]
    assert hear_orders(verifier, *flood, good.raw).orders == (good,)


def test_a_halt_is_heard_behind_more_drills_than_a_domain_should_hold(verifier: Verifier) -> None:
    """A stolen halt key must not be able to hide a halt behind orders that stop nothing."""
    drill = halt.Scope(kind="drill", value="")
    drills = [
        builders.order_bytes(TRUST, number=number + 2, scope=drill)
        for number in range(halt.ORDERS_MAX)
    ]
    good = builders.make_order(TRUST)
    assert good in hear_orders(verifier, *drills, good.raw).orders


def test_faults_are_told_once_each_by_code(verifier: Verifier) -> None:
    stale = builders.beat_bytes(TRUST, EPOCH, issued_at=NOW - 10_000)
    foreign = builders.beat_bytes(TRUST, EPOCH, number=2, domain="other")
    found = {beat_key(1): (stale, stale), beat_key(2): (foreign, foreign)}
    faults = verifier.hear(found, NOW).faults
    assert faults == (Reason.BEAT_STALE, Reason.TYPE_CONFUSION)


def test_the_id_of_a_contradiction_does_not_depend_on_which_came_first() -> None:
    assert reply.evidence_id((b"one", b"other")) == reply.evidence_id((b"other", b"one"))
    assert reply.evidence_id((b"one", b"other")) != reply.evidence_id((b"one", b"one"))
