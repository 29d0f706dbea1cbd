"""What every pod agrees on. Each rule of the module, named by the attack or the condition."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, envelope
from sidecar.core.envelope import Payload
from sidecar.core.instant import WallMs
from sidecar.core.objects import epoch
from sidecar.core.reason import ProtocolError, Reason
from tests import builders
from tests.builders import NOW

TRUST = builders.make_trust()
FIRST = builders.make_epoch(TRUST)
CODE = msgspec.structs.replace(epoch.NO_DEMANDS, code_sha256=("0" * 64,))


def payload(body: bytes) -> Payload:
    return Payload(body, epoch.PAYLOAD_TYPE, canonical.digest(body), ())


def test_epoch_comes_back_as_it_was_signed() -> None:
    said = builders.predicate(TRUST)
    made = epoch.parse(payload(epoch.statement(said)))
    assert made.says == said
    assert made.sha256 == canonical.digest(epoch.statement(said))


def test_subjects_that_differ_from_the_predicate_are_refused() -> None:
    """Tools that read only Statements would see other artefacts than the sidecar serves under."""
    said = canonical.load(epoch.statement(FIRST.says), epoch.Statement, epoch.MAX_BYTES)
    other = epoch.Subject(name="policy", digest=epoch.Digest(sha256="0" * 64))
    forged = msgspec.structs.replace(said, subject=(other, said.subject[1]))
    for subjects in (forged.subject, said.subject[:1], said.subject[::-1], ()):
        body = canonical.dump(msgspec.structs.replace(said, subject=subjects))
        with pytest.raises(ProtocolError, match="subjects and predicate differ"):
            epoch.parse(payload(body))


@pytest.mark.parametrize("field", ["type", "predicate_type"])
def test_statement_of_another_type_is_refused(field: str) -> None:
    said = canonical.load(epoch.statement(FIRST.says), epoch.Statement, epoch.MAX_BYTES)
    body = canonical.dump(msgspec.structs.replace(said, **{field: "https://other/v1"}))
    with pytest.raises(ProtocolError) as caught:
        epoch.parse(payload(body))
    assert caught.value.reason is Reason.TYPE_CONFUSION


@pytest.mark.parametrize("change", [{"seq": 1, "prev_sha256": "0" * 64}, {"seq": 2}, {"seq": 0}])
def test_only_the_first_epoch_has_no_predecessor(change: dict[str, Any]) -> None:
    body = epoch.statement(builders.predicate(TRUST, **change))
    with pytest.raises(ProtocolError) as caught:
        epoch.parse(payload(body))
    assert caught.value.reason in (Reason.EPOCH_CHAIN_BREAK, Reason.TYPE_CONFUSION)


def test_epoch_that_lapsed_is_still_history() -> None:
    assert builders.make_epoch(TRUST, not_after=NOW - 1).seq == 1


def test_epoch_too_large_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ProtocolError) as caught:
        epoch.parse(payload(b'"' + b"x" * epoch.MAX_BYTES + b'"'))
    assert caught.value.reason is Reason.OVERSIZE


def test_epoch_signed_by_one_key_of_two_does_not_open() -> None:
    with pytest.raises(ProtocolError) as caught:
        builders.make_epoch(TRUST, signed_by=1)
    assert caught.value.reason is Reason.THRESHOLD_NOT_MET


@pytest.mark.parametrize(
    ("change", "at", "reason"),
    [
        ({}, NOW, None),
        (
            {"scope": epoch.Scope(services=("s",), regions=("r",), tenants=(), instances=())},
            NOW,
            None,
        ),
        (
            {"scope": epoch.Scope(services=("other",), regions=(), tenants=(), instances=())},
            NOW,
            Reason.SERVICE_NOT_AUTHORIZED,
        ),
        (
            {"scope": epoch.Scope(services=(), regions=("other",), tenants=(), instances=())},
            NOW,
            Reason.REGION_NOT_AUTHORIZED,
        ),
        (
            {"scope": epoch.Scope(services=(), regions=(), tenants=("t",), instances=())},
            NOW,
            None,  # its tenants are judged with the route table, in `core/scoped.py`
        ),
        ({"enforcement": "observe"}, NOW, None),
        (
            {"profile": epoch.ProfileRef(name="strict", sha256="0" * 64)},
            NOW,
            None,  # judged once it was fetched, in `core/granting.py`
        ),
        (
            {"audit": epoch.Audit(max_checkpoint_age_ms=1, max_unacked_ms=1, overflow="contain")},
            NOW,
            None,  # judged with the witnesses that there are, and where the log is written
        ),
        # Judged against what was measured, by core/runtime.py.
        ({"runtime": CODE}, NOW, None),
        ({"not_before": NOW}, NOW, None),
        ({"not_before": NOW}, NOW - 1, Reason.EPOCH_NOT_YET_VALID),
        ({"not_after": NOW}, NOW - 1, None),
        ({"not_after": NOW}, NOW, Reason.EPOCH_EXPIRED),
    ],
)  # fmt: skip
def test_epoch_is_admissible_only_in_scope_in_time_and_when_all_demands_can_be_met(
    change: dict[str, Any], at: int, reason: Reason | None
) -> None:
    made = builders.make_epoch(TRUST, **change)
    assert epoch.inadmissible(made, "s", "r", WallMs(at)) is reason


@given(st.binary(max_size=200))
def test_any_bytes_are_an_epoch_or_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        epoch.parse(payload(raw))


@given(st.data())
def test_any_single_changed_byte_of_the_envelope_is_refused(data: st.DataObject) -> None:
    raw = bytearray(builders.epoch_bytes(TRUST))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        builders.open_epoch(bytes(raw), TRUST)


def test_in_toto_tools_find_the_statement_they_expect() -> None:
    sealed = envelope.parse(builders.epoch_bytes(TRUST), epoch.MAX_BYTES)
    assert sealed.payload_type == "application/vnd.in-toto+json"
    said = canonical.parse(sealed.unverified_payload, epoch.MAX_BYTES)
    assert isinstance(said, dict)
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["subject"] == [
        {"digest": {"sha256": FIRST.says.policy.sha256}, "name": "policy"},
        {"digest": {"sha256": FIRST.says.routes.sha256}, "name": "routes"},
    ]
