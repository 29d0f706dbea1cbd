"""The wire format of protocol buffers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.cli.cel.wire import Message, WireError, decoded, varints


def test_fields_are_read_by_number() -> None:
    message = Message(bytes.fromhex("08 96 01 12 02 6869 12 00 1d 01000000 21 0200000000000000"))
    assert message.integer(1) == 150
    assert message.all_bytes(2) == [b"hi", b""]
    assert message.text(2) == ""
    assert message.bytes_of(3) == b"\1\0\0\0"
    assert message.has(4)
    assert not message.has(5)


def test_a_negative_number_has_ten_bytes() -> None:
    assert Message(b"\x08" + b"\xff" * 9 + b"\x01").signed(1) == -1


def test_what_is_absent_is_empty() -> None:
    message = Message(b"")
    assert (message.integer(1), message.text(1), message.messages(1)) == (0, "", [])


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        ("08", "too early"), ("12 05 00", "too early"), ("0b", "wire type 3"),
        ("08" + "ff" * 10 + "01", "64 bits"), ("08" + "ff" * 9 + "7f", "64 bits"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_message_are_refused(raw: str, wrong: str) -> None:
    with pytest.raises(WireError, match=wrong):
        Message(bytes.fromhex(raw))


def test_a_field_of_another_form_or_number_is_refused() -> None:
    message = Message(bytes.fromhex("08 01 12 00"))
    with pytest.raises(WireError):
        message.bytes_of(1)
    with pytest.raises(WireError):
        message.integer(2)
    with pytest.raises(WireError, match="number 2"):
        message.only(1)
    with pytest.raises(WireError):
        decoded(b"\xff")


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_a_message_or_refused(raw: bytes) -> None:
    try:
        Message(raw)
        varints(raw)
    except WireError:
        return
