"""What is stored comes back as it was, or is called corrupt."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, marks
from sidecar.core.marks import Latch, Marks, ObjectMark
from sidecar.core.objects.trust import TrustRef
from sidecar.core.reason import ProtocolError, Reason
from tests import builders

TRUST = builders.make_trust()
SHA = "ab" * 32
FULL = Marks(
    type=marks.TYPE,
    domain="test",
    generation=7,
    trust=TrustRef(version=1, sha256=SHA),
    trust_envelope=None,
    epoch=ObjectMark(seq=3, sha256=SHA, envelope="{}"),
    beats={SHA: ObjectMark(seq=9, sha256=SHA, envelope="é")},
    halts=("one", "two"),
    latches=(Latch(reason="EG803", evidence="cd" * 16, envelopes=("x", "y")),),
    routes="{}",
    last_wall=5,
)
EMPTY = Marks(
    type=marks.TYPE,
    domain="test",
    generation=0,
    trust=TrustRef(version=1, sha256=SHA),
    trust_envelope=None,
    epoch=None,
    beats={},
    halts=(),
    latches=(),
    routes=None,
    last_wall=0,
)
STORED = marks.encode(FULL)


def refused(raw: bytes, domain: str = "test") -> Reason:
    with pytest.raises(ProtocolError) as caught:
        marks.decode(raw, domain)
    return caught.value.reason


@pytest.mark.parametrize("kept", [FULL, EMPTY])
def test_marks_come_back_as_they_were_stored(kept: Marks) -> None:
    assert marks.decode(marks.encode(kept), "test") == kept


@given(where=st.integers(0, len(STORED) - 1), flip=st.integers(1, 255))
def test_any_flipped_byte_is_corrupt(where: int, flip: int) -> None:
    changed = bytearray(STORED)
    changed[where] ^= flip
    assert refused(bytes(changed)) is Reason.STATE_CORRUPT


@given(st.integers(0, len(STORED) - 1))
def test_a_file_cut_short_is_corrupt_and_never_a_first_boot(length: int) -> None:
    assert refused(STORED[:length]) is Reason.STATE_CORRUPT


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_corrupt(raw: bytes) -> None:
    assert refused(raw) is Reason.STATE_CORRUPT


@given(st.binary(max_size=300))
def test_arbitrary_bytes_under_their_right_digest_are_corrupt(body: bytes) -> None:
    """Whoever can write the file can compute a digest: the content is checked all the same."""
    raw = canonical.digest(body).encode() + b"\n" + body
    assert refused(raw) is Reason.STATE_CORRUPT


def test_marks_of_another_domain_are_corrupt() -> None:
    assert refused(STORED, "other") is Reason.STATE_CORRUPT


def test_another_kind_of_object_is_corrupt() -> None:
    other = msgspec.structs.replace(FULL, type="urn:epochgate:marks:v2")
    assert refused(marks.encode(other)) is Reason.STATE_CORRUPT


def test_an_unknown_field_is_corrupt() -> None:
    body = canonical.encode({**msgspec.to_builtins(FULL), "more": 1})
    assert refused(canonical.digest(body).encode() + b"\n" + body) is Reason.STATE_CORRUPT


def test_more_orders_than_anybody_expects_can_be_read_again() -> None:
    """Else whoever has a halt key could turn the next restart into one with corrupt state."""
    many = msgspec.structs.replace(FULL, halts=tuple("x" * 12_000 for _ in range(1000)))
    assert marks.decode(marks.encode(many), "test") == many


def test_a_latch_for_a_reason_that_this_build_does_not_know_is_corrupt() -> None:
    """Marks of a newer build: refused with a reason, not with a crash."""
    latch = Latch(reason="EG899", evidence="cd" * 16, envelopes=())
    assert refused(marks.encode(msgspec.structs.replace(FULL, latches=(latch,)))) is (
        Reason.STATE_CORRUPT
    )


@pytest.mark.parametrize(
    ("version", "sha256", "reason"),
    [(2, SHA, Reason.TRUST_WITHHELD), (1, SHA, Reason.EQUIVOCATION)],
)
def test_marks_go_on_under_their_own_trust_document_only(
    version: int, sha256: str, reason: Reason
) -> None:
    made = TrustRef(version=version, sha256=sha256)
    with pytest.raises(ProtocolError) as caught:
        marks.in_force(msgspec.structs.replace(FULL, trust=made), TRUST, builders.NOW)
    assert caught.value.reason is reason


def test_marks_go_on_under_the_pinned_document_they_were_made_under() -> None:
    kept = msgspec.structs.replace(FULL, trust=builders.trust_ref(TRUST))
    assert marks.in_force(kept, TRUST, builders.NOW) is TRUST
    assert marks.in_force(None, TRUST, builders.NOW) is TRUST


def test_marks_go_on_under_a_newer_pinned_document() -> None:
    newer = builders.make_trust(version=2, prev_sha256=SHA)
    assert marks.in_force(FULL, newer, builders.NOW) is newer


def rotated(**changes: object) -> marks.Marks:
    newer = builders.make_trust(version=2, prev_sha256=TRUST.sha256)
    said = {"trust": builders.trust_ref(newer), "trust_envelope": newer.raw.decode(), **changes}
    return msgspec.structs.replace(FULL, **said)


def test_a_document_that_came_over_the_peers_outlives_a_restart() -> None:
    """Going back to the pinned one would take back its revocations."""
    assert marks.in_force(rotated(), TRUST, builders.NOW).version == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"trust": TrustRef(version=2, sha256=SHA)},
        {"trust": TrustRef(version=3, sha256=SHA)},
    ],
)
def test_another_document_than_the_marks_name_is_corruption(changes: dict[str, object]) -> None:
    with pytest.raises(ProtocolError) as caught:
        marks.in_force(rotated(**changes), TRUST, builders.NOW)
    assert caught.value.reason is Reason.STATE_CORRUPT
