"""One value has one byte form, and nothing else is read."""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical
from sidecar.core.canonical import DEPTH_MAX, INTEGER_LIMIT, Count, Id16, Json, Name, Sha256, Strict
from sidecar.core.reason import ProtocolError, Reason

MAX_BYTES = 4096
Tree: TypeAlias = Json

KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-INTEGER_LIMIT + 1, INTEGER_LIMIT - 1)
    | st.text(st.characters(codec="utf-8"), max_size=8)
)
VALUES: st.SearchStrategy[Tree] = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=12
)


def refused(raw: bytes, max_bytes: int = MAX_BYTES) -> Reason:
    with pytest.raises(ProtocolError) as error:
        canonical.parse(raw, max_bytes)
    return error.value.reason


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (None, b"null"),
        (True, b"true"),
        (0, b"0"),
        (-1, b"-1"),
        ([], b"[]"),
        ({}, b"{}"),
        ({"b": 1, "a": [None, False]}, b'{"a":[null,false],"b":1}'),
        ({"B": 1, "a": 2, "_": 3}, b'{"B":1,"_":3,"a":2}'),
        ('"\\/\b\f\n\r\t\x00\x1f', b'"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f"'),
        ("\x7fé€😀\u2028", b'"\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8"'),
        (INTEGER_LIMIT - 1, b"9007199254740991"),
        (1 - INTEGER_LIMIT, b"-9007199254740991"),
    ],
)
def test_a_value_has_this_form_and_reads_as_itself(value: Json, raw: bytes) -> None:
    assert canonical.encode(value) == raw
    assert canonical.parse(raw, MAX_BYTES) == value


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"a":1,"a":1}', id="duplicate key"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="duplicate key, once escaped"),
        pytest.param(b'{"b":1,"a":2}', id="keys out of order"),
        pytest.param(b'{"a": 1}', id="space"),
        pytest.param(b"1\n", id="trailing newline"),
        pytest.param(b" 1", id="leading space"),
        pytest.param(b"1.0", id="float"),
        pytest.param(b"1e3", id="exponent"),
        pytest.param(b"-0", id="minus zero"),
        pytest.param(b"01", id="leading zero"),
        pytest.param(b"NaN", id="not a number"),
        pytest.param(b"Infinity", id="infinity"),
        pytest.param(b"-Infinity", id="minus infinity"),
        pytest.param(b"9007199254740992", id="integer too large"),
        pytest.param(b"-9007199254740992", id="integer too small"),
        pytest.param(b"1" * 4000, id="thousands of digits"),
        pytest.param(b'"\\u0041"', id="needless escape"),
        pytest.param(b'"\\/"', id="escaped slash"),
        pytest.param(b'"\\u000a"', id="long form of a short escape"),
        pytest.param(b'"\\u001F"', id="upper-case escape"),
        pytest.param(b'"\\ud800"', id="lone surrogate, escaped"),
        pytest.param(b'"\\ud83d\\ude00"', id="surrogate pair, escaped"),
        pytest.param(b'"\xed\xa0\x80"', id="lone surrogate, encoded"),
        pytest.param(b'"\xc0\xaf"', id="overlong UTF-8"),
        pytest.param(b'"\xff"', id="no UTF-8"),
        pytest.param(b"\xef\xbb\xbf1", id="byte order mark"),
        pytest.param('{"é":1}'.encode(), id="key is not ASCII"),
        pytest.param(b'"a', id="unterminated"),
        pytest.param(b'"\n"', id="raw control character"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}{}", id="two values"),
        pytest.param(b"[1,]", id="trailing comma"),
        pytest.param(b"{'a':1}", id="other quotes"),
        pytest.param(b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), id="one level too deep"),
        pytest.param(b"[" * 2000, id="deep and unterminated"),
        pytest.param(b"[" * 2000 + b"]" * 2000, id="deep"),
    ],
)
def test_any_other_bytes_are_not_canonical(raw: bytes) -> None:
    assert refused(raw) is Reason.NONCANONICAL


def test_the_deepest_value_that_is_read() -> None:
    raw = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX
    assert canonical.encode(canonical.parse(raw, MAX_BYTES)) == raw


def test_the_limit_is_looked_at_before_the_bytes() -> None:
    assert canonical.parse(b'"ab"', 4) == "ab"
    assert refused(b'"abc"', 4) is Reason.OVERSIZE
    assert refused(b"\xff" * 5, 4) is Reason.OVERSIZE


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(1.5, id="float"),
        pytest.param([float("nan")], id="not a number"),
        pytest.param(b"ab", id="bytes"),
        pytest.param(INTEGER_LIMIT, id="too large"),
        pytest.param({"é": 1}, id="key is not ASCII"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param({"a": {"b": "\udfff"}}, id="lone surrogate inside"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(value: Json) -> None:
    with pytest.raises(ProtocolError) as error:
        canonical.encode(value)
    assert error.value.reason is Reason.NONCANONICAL


def test_a_value_without_end_is_not_written() -> None:
    endless: list[Json] = []
    endless.append(endless)
    with pytest.raises(ProtocolError, match="nested"):
        canonical.encode(endless)


@given(VALUES)
def test_what_was_written_reads_as_itself(value: Json) -> None:
    raw = canonical.encode(value)
    assert canonical.parse(raw, len(raw)) == value
    assert canonical.encode(canonical.parse(raw, len(raw))) == raw


@given(VALUES)
def test_another_writer_of_json_agrees_about_the_bytes(value: Json) -> None:
    """Which encoder stands behind `encode` must not show: old signatures cover its bytes."""
    other = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert canonical.encode(value) == other.encode()


@given(VALUES, st.integers(0, 2))
def test_another_form_of_the_same_value_is_refused(value: Json, indent: int) -> None:
    """Otherwise one signature would have two digests, and that is what equivocation looks like."""
    raw = json.dumps(value, indent=indent).encode()
    if raw != canonical.encode(value):
        assert refused(raw, len(raw)) is Reason.NONCANONICAL


JSON_LIKE = st.lists(
    st.sampled_from([*'{}[]",:-.eE0123456789\\u \n', "true", "null", '"a"', "NaN"])
).map("".join)


@given(st.binary() | JSON_LIKE.map(str.encode))
def test_any_bytes_are_canonical_or_a_protocol_error(raw: bytes) -> None:
    try:
        value = canonical.parse(raw, MAX_BYTES)
    except ProtocolError:
        return
    assert canonical.encode(value) == raw


class Thing(Strict, frozen=True):
    """An object with every kind of field."""

    name: Name
    count: Count
    sha: Sha256 | None
    tag: Id16


GOOD: Mapping[str, Json] = {"name": "a", "count": 1, "sha": None, "tag": "0" * 32}


def test_a_typed_object_is_written_and_read() -> None:
    thing = canonical.load(canonical.encode(GOOD), Thing, MAX_BYTES)
    assert canonical.load(canonical.dump(thing), Thing, MAX_BYTES) == thing


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1}, {"name": 1}, {"name": "A"}, {"name": "a\n"}, {"name": ""}, {"name": "-a"},
        {"name": "a" * 64}, {"count": -1}, {"count": "1"}, {"count": True}, {"count": None},
        {"sha": "0" * 63}, {"sha": "0" * 64 + "\n"}, {"sha": "A" * 64}, {"tag": "0" * 31},
        {"tag": ["0" * 32]},
    ],
)  # fmt: skip
def test_a_field_of_another_type_is_type_confusion(change: Mapping[str, Json]) -> None:
    raw = canonical.encode({**GOOD, **change})
    with pytest.raises(ProtocolError) as error:
        canonical.load(raw, Thing, MAX_BYTES)
    assert error.value.reason is Reason.TYPE_CONFUSION


@pytest.mark.parametrize("missing", GOOD)
def test_a_missing_field_is_type_confusion(missing: str) -> None:
    raw = canonical.encode({key: value for key, value in GOOD.items() if key != missing})
    with pytest.raises(ProtocolError) as error:
        canonical.load(raw, Thing, MAX_BYTES)
    assert error.value.reason is Reason.TYPE_CONFUSION


def test_an_array_is_not_taken_for_an_object() -> None:
    values: Sequence[Json] = [[], "x", 1, None]
    for value in values:
        with pytest.raises(ProtocolError) as error:
            canonical.convert(value, Thing)
        assert error.value.reason is Reason.TYPE_CONFUSION


def test_a_digest_is_sha_256_in_lower_case() -> None:
    """Of nothing, as FIPS 180-4 examples give it."""
    assert canonical.digest(b"") == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_objects_cannot_be_changed_after_they_were_read() -> None:
    thing = canonical.load(canonical.encode(GOOD), Thing, MAX_BYTES)
    with pytest.raises(AttributeError):
        thing.count = 2  # type: ignore[misc]
    assert isinstance(thing, msgspec.Struct)
