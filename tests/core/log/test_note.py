"""Signed notes: a note of another implementation verifies, and nothing that was changed does."""

import base64
import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.envelope import PublicKey
from sidecar.core.log.note import (
    MAX_BYTES,
    SIGNATURES_MAX,
    NoteKey,
    open_note,
    parse_key,
    seal,
    valid_name,
)
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner

# Source: documentation of golang.org/x/mod/sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_NOTE = (
    GO_TEXT + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXg"
    "KvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

SIGNER = FileSigner(hashlib.sha256(b"note").digest())
KEY = NoteKey("epochgate/test/a", SIGNER.public)
KEYS = {KEY.name: KEY}
TEXT = "one\ntwo\n"
SEALED = seal(TEXT, KEY, SIGNER.sign(TEXT.encode()))


def refusal(raw: bytes, keys: dict[str, NoteKey] = KEYS) -> Reason:
    with pytest.raises(ProtocolError) as caught:
        open_note(raw, keys)
    return caught.value.reason


def test_a_note_of_the_go_implementation_verifies() -> None:
    key = parse_key(GO_KEY)
    assert open_note(GO_NOTE.encode(), {key.name: key}) == GO_TEXT
    assert str(key) == GO_KEY


def test_a_sealed_note_opens_to_its_text() -> None:
    assert open_note(SEALED.encode(), KEYS) == TEXT


def test_a_signature_of_a_known_key_that_fails_refuses_the_note() -> None:
    assert refusal(SEALED.replace("one", "0ne").encode()) is Reason.SIG_INVALID


def test_a_note_without_a_known_key_is_refused() -> None:
    assert refusal(SEALED.encode(), {}) is Reason.KEY_UNKNOWN


def test_a_key_of_the_same_name_and_another_id_is_unknown() -> None:
    other = FileSigner(hashlib.sha256(b"other").digest())
    keys = {KEY.name: NoteKey(KEY.name, other.public)}
    assert refusal(SEALED.encode(), keys) is Reason.KEY_UNKNOWN


def test_signatures_of_strangers_are_ignored() -> None:
    stranger = base64.b64encode(b"\1\2\3\4" + bytes(64)).decode()
    assert open_note(f"{SEALED}— stranger {stranger}\n".encode(), KEYS) == TEXT


def test_a_good_signature_does_not_outweigh_a_bad_one_of_a_known_key() -> None:
    bad = base64.b64encode(KEY.id + bytes(64)).decode()
    assert refusal(f"{SEALED}— {KEY.name} {bad}\n".encode()) is Reason.SIG_INVALID


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"text only\n",
        TEXT.encode() + b"\n",
        SEALED.encode()[:-1],
        SEALED.replace("— ", "- ").encode(),
        SEALED.replace("\n— ", "\n—  ").encode(),
        SEALED.encode().replace(b"one", b"o\x00e"),
        SEALED.encode().replace(b"one", b"o\xffe"),
        SEALED.replace("\n", "\r\n").encode(),
        f"{TEXT}\n— name AQID\n".encode(),
    ],
)
def test_what_is_not_a_note_is_refused(raw: bytes) -> None:
    assert refusal(raw) is Reason.NONCANONICAL


def test_what_is_too_large_is_refused_unread() -> None:
    assert refusal(b"a" * (MAX_BYTES + 1)) is Reason.OVERSIZE


def test_too_many_signatures_are_refused() -> None:
    line = SEALED.splitlines(keepends=True)[-1]
    assert open_note((SEALED + line * (SIGNATURES_MAX - 1)).encode(), KEYS) == TEXT
    assert refusal((SEALED + line * SIGNATURES_MAX).encode()) is Reason.OVERSIZE


@given(st.integers(0, len(SEALED.encode()) * 8 - 1))
def test_no_flipped_bit_goes_unnoticed(bit: int) -> None:
    raw = bytearray(SEALED.encode())
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtocolError):
        open_note(bytes(raw), KEYS)


@given(
    st.binary(max_size=300) | st.text(max_size=200).map(lambda text: f"{text}\n\n— a b\n".encode())
)
def test_any_bytes_give_a_text_or_the_one_error(raw: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        open_note(raw, KEYS)


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1))
def test_a_verifier_key_round_trips(name: str) -> None:
    if valid_name(name):
        key = NoteKey(name, SIGNER.public)
        assert parse_key(str(key)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+",
        GO_KEY.replace("c74f20a3", "c74f20a4"),
        GO_KEY.replace("c74f20a3", "C74F20A3"),
        GO_KEY[:-4],
        GO_KEY + "\n",
        GO_KEY.replace("Peter", "Peter "),
        GO_KEY.replace("PeterNeumann", ""),
        str(NoteKey("short", PublicKey(bytes(31)))),
    ],
)
def test_what_is_not_a_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_key(text)
    assert caught.value.reason is Reason.NONCANONICAL


@given(st.text(max_size=120))
def test_any_text_gives_a_key_or_the_one_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        parse_key(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b"])
def test_names_that_break_the_line_are_not_valid(name: str) -> None:
    assert not valid_name(name)
