"""Records: two encoders, one form; and a parser that gives a record or the one error."""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core import canonical
from sidecar.core.canonical import INTEGER_LIMIT
from sidecar.core.log import record
from sidecar.core.log.record import BeatRef, Decision, EpochRef, Outcome, StateChange
from sidecar.core.reason import ProtocolError, Reason

hexes = st.binary(min_size=32, max_size=32).map(bytes.hex)
counts = st.integers(0, INTEGER_LIMIT - 1)
integers = st.integers(1 - INTEGER_LIMIT, INTEGER_LIMIT - 1)
names = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,9}\Z")
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def unset(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just(msgspec.UNSET) | strategy


def by_key(said: dict[str, str]) -> dict[str, str]:
    return dict(sorted(said.items()))


decisions: st.SearchStrategy[Decision] = st.builds(
    Decision,
    beat=maybe(st.builds(BeatRef, issuer=hexes, seq=counts, sha=hexes)),
    boot=st.binary(min_size=8, max_size=8).map(bytes.hex),
    decision=st.sampled_from(["permit", "deny"]),
    decision_id=texts,
    epoch=maybe(st.builds(EpochRef, seq=counts, sha=hexes)),
    inst=texts,
    lease_ms_left=maybe(integers),
    method=texts,
    parent_id=maybe(texts),
    path=texts,
    policy_sha=maybe(hexes),
    prev=hexes,
    reason=maybe(st.from_regex(r"\AEG[0-9]{3}\Z")),
    req_h=maybe(texts),
    route=maybe(texts),
    rule=maybe(texts),
    seq=counts,
    subject_h=maybe(texts),
    annotations=unset(st.dictionaries(names, texts, max_size=3).map(by_key)),
    clause=unset(names),
    rollout=unset(st.sampled_from(["within", "otherwise"])),
    trace_id=maybe(texts),
    trust_v=maybe(integers),
    ts=counts,
    type=st.just("decision"),
    upstream=maybe(texts),
    v=st.just(1),
)
outcomes: st.SearchStrategy[Outcome] = st.builds(
    Outcome,
    boot=st.binary(min_size=8, max_size=8).map(bytes.hex),
    decision_id=texts,
    dur_us=counts,
    inst=texts,
    outcome=st.sampled_from(["permit", "abort", "error", "late"]),
    prev=hexes,
    reason=maybe(st.from_regex(r"\AEG[0-9]{3}\Z")),
    resp_h=maybe(texts),
    sent=st.booleans(),
    seq=counts,
    status=counts,
    ts=counts,
    type=st.just("outcome"),
    v=st.just(1),
)
jsons = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(max_codepoint=127), max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
states: st.SearchStrategy[StateChange] = st.builds(
    StateChange,
    boot=st.binary(min_size=8, max_size=8).map(bytes.hex),
    detail=st.dictionaries(
        st.text(st.characters(max_codepoint=127), max_size=8), jsons, max_size=4
    ),
    inst=texts,
    prev=hexes,
    seq=counts,
    ts=counts,
    type=st.sampled_from(["start", "stop", "transition", "recovered", "gap"]),
    v=st.just(1),
)


@given(decisions | outcomes)
def test_the_fast_encoder_writes_the_canonical_form(said: Decision | Outcome) -> None:
    """The hot path encodes with msgspec; readers accept only what `canonical.encode` writes."""
    fast = msgspec.json.Encoder().encode(said)
    assert fast == canonical.encode(msgspec.to_builtins(said))
    assert record.parse(fast) == said


@given(states)
def test_a_change_of_state_round_trips(said: StateChange) -> None:
    line = canonical.dump(said)
    again = record.parse(line)
    assert again == said
    assert canonical.dump(again) == line


def said_of(parse: Callable[[bytes], record.Record], line: bytes) -> record.Record | Reason:
    try:
        return parse(line)
    except ProtocolError as error:
        return error.reason


SPOILS: list[Callable[[bytes], bytes]] = [
    lambda line: line + b" ",
    lambda line: line.replace(b'":', b'": ', 1),
    lambda line: line.replace(b'"seq":', b'"seq":0'),
    lambda line: line.replace(b'"seq":', b'"seq":-'),
    lambda line: line.replace(b',"ts":', b'.0,"ts":'),
    lambda line: line.replace(b',"ts":', b'e0,"ts":'),
    lambda line: line.replace(b'"ts":', b'"ts":%d' % INTEGER_LIMIT),
    lambda line: line.replace(b'"ts":', b'"ts":1,"ts":'),
    lambda line: line.replace(b'"lease_ms_left":', b'"lease_ms_left":-%d' % INTEGER_LIMIT),
    lambda line: line.replace(b'"lease_ms_left":', b'"lease_ms_left":9' + b"9" * 400),
    lambda line: line.replace(b'"path":"', b'"path":"\\u0041'),
    lambda line: line.replace(b'"path":"', b'"path":"\\ud800'),
    lambda line: line.replace(b'"path":"', b'"path":"\xff'),
    lambda line: line.replace(b'"path":"', b'"path":"\\/'),
    lambda line: line.replace(b'"inst":', b'"headers":{"b":"","a":""},"inst":'),
    lambda line: line.replace(b'"inst":', b'"headers":{"a":"","a":""},"inst":'),
    lambda line: line.replace(b'"inst":', b'"headers":{"\xc3\xa9":""},"inst":'),
    lambda line: line.replace(b'"inst":', b'"headers":{},"inst":'),
    lambda line: line.replace(b'{"beat":', b'{"annotations":{"b":"","a":""},"beat":'),
    lambda line: line.replace(b'{"beat":', b'{"annotations":{},"beat":'),
    lambda line: line.replace(b'"decision":', b'"clause":null,"decision":', 1),
    lambda line: line.replace(b'"route":', b'"rollout":"half","route":'),
    lambda line: line.replace(b'"tenant_h":', b'"tenant_h":null,"x":'),
    lambda line: line.replace(b'"type":"outcome"', b'"type":"decision"'),
    lambda line: line.replace(b'"type":"decision"', b'"type":"start"'),
    lambda line: line.replace(b'"v":1', b'"v":true'),
    lambda line: line.replace(b'"parent_id":null,', b""),
]


@settings(max_examples=25, deadline=None)
@given(decisions | outcomes)
def test_the_short_way_to_read_a_line_says_what_the_long_one_says(said: Decision | Outcome) -> None:
    for spoil in SPOILS:
        line = spoil(canonical.dump(said))
        assert said_of(record.parse, line) == said_of(record.parse_any, line), line


@settings(deadline=None)
@given(decisions | outcomes, st.data())
def test_so_it_does_of_a_line_with_any_byte_changed(
    said: Decision | Outcome, data: st.DataObject
) -> None:
    raw = bytearray(canonical.dump(said))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    line = bytes(raw)
    assert said_of(record.parse, line) == said_of(record.parse_any, line)


def test_fields_stand_in_alphabetical_order() -> None:
    """What the fast encoder relies on, said where a new field would be added out of place."""
    for kind in (Decision, Outcome, StateChange, BeatRef, EpochRef):
        fields = kind.__struct_encode_fields__
        assert list(fields) == sorted(fields)


@given(st.binary(max_size=200) | jsons.map(canonical.encode))
def test_any_bytes_give_a_record_or_the_one_error(raw: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        record.parse(raw)


STATE = StateChange(
    boot="0" * 16, detail={}, inst="a", prev=record.FIRST_PREV, seq=0, ts=0, type="start", v=1
)
LINE = canonical.dump(STATE)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda line: line + b"\n", Reason.NONCANONICAL),
        (lambda line: b" " + line, Reason.NONCANONICAL),
        (lambda line: line.replace(b'"seq":0', b'"seq":0.0'), Reason.NONCANONICAL),
        (lambda line: line.replace(b'"seq":0,"ts":0', b'"ts":0,"seq":0'), Reason.NONCANONICAL),
        (lambda line: line.replace(b'"seq":0', b'"seq":0,"seq":0'), Reason.NONCANONICAL),
        (lambda line: line.replace(b'"seq":0', b'"seq":-1'), Reason.TYPE_CONFUSION),
        (lambda line: line.replace(b'"v":1', b'"v":2'), Reason.TYPE_CONFUSION),
        (lambda line: line.replace(b'"v":1', b'"v":1,"x":1'), Reason.TYPE_CONFUSION),
        (lambda line: line.replace(b'"start"', b'"begin"'), Reason.TYPE_CONFUSION),
        (lambda line: line.replace(b'"start"', b'"decision"'), Reason.TYPE_CONFUSION),
        (lambda line: line.replace(b'"inst":"a",', b""), Reason.TYPE_CONFUSION),
        (lambda line: line.replace(b"0" * 16, b"g" * 16, 1), Reason.TYPE_CONFUSION),
        (lambda line: b"[" + line + b"]", Reason.TYPE_CONFUSION),
        (lambda line: line.replace(b'"a"', b'"' + b"a" * record.MAX_BYTES + b'"'), Reason.OVERSIZE),
    ],
)
def test_a_spoilt_record_is_refused(spoil: Callable[[bytes], bytes], reason: Reason) -> None:
    assert record.parse(LINE) == STATE
    spoilt = spoil(LINE)
    assert spoilt != LINE
    with pytest.raises(ProtocolError) as caught:
        record.parse(spoilt)
    assert caught.value.reason is reason


def test_a_decision_id_names_boot_and_index() -> None:
    assert record.decision_id("0123456789abcdef", 42) == "0123456789abcdef-42"
