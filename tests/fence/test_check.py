"""One request against one key and two clock readings: what passes, and why not."""

import hashlib
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.fence import check
from sidecar.fence.check import INVALID, LATE, MISSING, Clocks, Refusal
from tests.fence.caller import KEY

METHOD, TARGET = b"POST", b"/v1/chat/completions?user=%C3%A9"
NOW = Clocks(boot_ms=5_000, wall_ms=1_760_000_000_000)
DEADLINES = b"1760000000100;boot=5100"


def headers(
    not_after: bytes = DEADLINES, key: bytes = KEY, target: bytes = TARGET
) -> list[tuple[bytes, bytes]]:
    told = check.mac(key, METHOD, target, b"0123456789abcdef-17", b"42", not_after)
    return [
        (check.EPOCH, b"42"),
        (check.DECISION_ID, b"0123456789abcdef-17"),
        (check.NOT_AFTER, not_after),
        (check.FENCE, told),
        (b"host", b"x"),
    ]


def judge(fields: list[tuple[bytes, bytes]], now: Clocks = NOW) -> Refusal | None:
    return check.verify(KEY, METHOD, TARGET, fields, now)


def test_a_permitted_request_passes_before_both_deadlines() -> None:
    assert judge(headers()) is None


def test_the_mac_is_the_one_that_the_readme_describes() -> None:
    """Spelled out once more, so that a change of the format is a change of this test."""
    said = METHOD + b"\n" + TARGET + b"\n" + b"0123456789abcdef-17" + b"\n42\n" + DEADLINES
    expected = hashlib.blake2s(said, key=KEY, digest_size=16, person=b"eg-fence").hexdigest()
    assert dict(headers())[check.FENCE] == expected.encode()


@pytest.mark.parametrize(
    "now",
    [Clocks(5_100, NOW.wall_ms), Clocks(NOW.boot_ms, 1_760_000_000_100), Clocks(2**60, 2**60)],
    ids=["boot", "wall", "both"],
)
def test_late_at_the_very_millisecond_of_either_deadline(now: Clocks) -> None:
    assert judge(headers(), now) is LATE


def test_in_time_one_millisecond_before_both_deadlines() -> None:
    assert judge(headers(), Clocks(5_099, 1_760_000_000_099)) is None


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_missing_when_any_of_the_four_fields_is_missing(count: int) -> None:
    for kept in combinations(headers()[:4], count):
        assert judge(list(kept)) is MISSING


@pytest.mark.parametrize("index", range(4))
def test_a_field_that_comes_twice_is_refused_even_with_the_same_value(index: int) -> None:
    fields = headers()
    assert judge([*fields, fields[index]]) is INVALID
    name, value = fields[index]
    assert judge([*fields, (name.upper(), value)]) is INVALID


@pytest.mark.parametrize("index", range(4))
def test_any_change_of_a_field_breaks_the_mac(index: int) -> None:
    fields = headers()
    name, value = fields[index]
    for changed in (value + b"0", value[:-1], b"", b"9" + value[1:], value + b",1", value.upper()):
        if changed != value:
            assert judge([*fields[:index], (name, changed), *fields[index + 1 :]]) is INVALID


def test_a_permit_for_another_method_target_or_key_is_refused() -> None:
    assert check.verify(KEY, b"GET", TARGET, headers(), NOW) is INVALID
    assert judge(headers(target=TARGET + b"&admin=1")) is INVALID
    assert judge(headers(key=bytes(32))) is INVALID


def test_what_nobody_vouched_for_is_invalid_not_late() -> None:
    """Otherwise the answer would confirm a guess about somebody else's deadlines."""
    assert judge(headers(key=bytes(32)), Clocks(2**60, 2**60)) is INVALID


@pytest.mark.parametrize(
    "not_after",
    [
        b"1760000000100", b"1760000000100;boot=", b";boot=5100", b"1760000000100; boot=5100",
        b"-1;boot=5100", b"1760000000100;boot=5100;x=1", b"1e18;boot=5100", b"9" * 19 + b";boot=1",
        "\u0661;boot=5100".encode(), b"1760000000100;boot=5100\n",
    ],
)  # fmt: skip
def test_deadlines_of_another_form_are_refused_although_the_mac_is_right(not_after: bytes) -> None:
    assert judge(headers(not_after)) is INVALID


def test_names_are_compared_without_case() -> None:
    assert judge([(name.title(), value) for name, value in headers()]) is None


@given(st.lists(st.tuples(st.sampled_from([*check.NAMES, b"host"]), st.binary(max_size=40))))
def test_no_fields_pass_that_were_not_made_with_the_key(fields: list[tuple[bytes, bytes]]) -> None:
    assert judge(fields) in (MISSING, INVALID)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\n", b"00" * 32, b"00" * 31 + b"\n", b"00" * 33 + b"\n", b"AB" * 32 + b"\n",
     b"00" * 32 + b"\n\n", b"zz" * 32 + b"\n", b"00" * 32 + b"\r\n"],
)  # fmt: skip
def test_a_key_file_of_another_form_holds_no_key(raw: bytes) -> None:
    assert check.parse_key(raw) is None


def test_a_key_file_holds_the_key_in_lower_case_hex() -> None:
    assert check.parse_key(KEY.hex().encode() + b"\n") == KEY
