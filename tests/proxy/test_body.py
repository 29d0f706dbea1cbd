"""Bodies: where they end, however the bytes are cut up."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.reason import ProtocolError, Reason
from sidecar.proxy.body import NOTHING, Bounds, Broken, Chunked, Fixed, UntilClose, announced

BOUNDS = Bounds(64, 4096)


def read(body: Chunked, pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    """Payload, what was left, whether complete."""
    payload, left, done = b"", b"", False
    for piece in pieces:
        if done:
            left += piece
            continue
        got, taken, done = body.feed(piece, 0)
        payload += got
        left += piece[taken:]
    return payload, left, done


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({index % (len(data) + 1) for index in at}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def outcome(pieces: list[bytes]) -> tuple[bytes, bytes, bool] | Reason:
    try:
        return read(Chunked(BOUNDS), pieces)
    except ProtocolError as error:
        return error.reason


@given(st.lists(st.binary(min_size=1, max_size=50)), st.lists(st.integers(0, 10_000)))
def test_what_was_cut_into_chunks_comes_out_whole(chunks: list[bytes], at: list[int]) -> None:
    data = b"".join(b"%x;e\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    pieces = cut(data + b"0\r\nT: x\r\n\r\nnext", at)
    payload, left, done = read(Chunked(BOUNDS), pieces)
    assert (payload, left, done) == (b"".join(chunks), b"next", True) or len(chunks) * 2 > 1024


@given(st.text("0123af;x\r\n :T", max_size=60), st.lists(st.integers(0, 100)))
def test_any_bytes_end_alike_however_they_are_cut_up(text: str, at: list[int]) -> None:
    data = text.encode() + b"0\r\n\r\n"
    one, many = outcome([data]), outcome(cut(data, at))
    assert one == many or (isinstance(one, tuple) and isinstance(many, tuple) and not one[2])


PLAIN = [
    b"1\r\na\r\n",
    b"a\r\n0123456789\r\n",
    b"2\r\n\r\n\r\n",
    b"01\r\na\r\n",
    b"2\r\na\r\n",
    b"0\r\n",
    b"1\r\naXX",
]


@given(st.lists(st.sampled_from(PLAIN), max_size=8), st.integers(0, 12))
def test_a_piece_that_is_one_chunk_is_read_like_any_other(chunks: list[bytes], most: int) -> None:
    def ended(pieces: list[bytes]) -> tuple[bytes, bytes, bool] | Reason:
        try:
            return read(Chunked(Bounds(64, 4096, most)), pieces)
        except ProtocolError as error:
            return error.reason

    whole = b"".join(chunks)
    assert ended(chunks) == ended([whole[i : i + 1] for i in range(len(whole))])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_body_or_a_protocol_error(data: bytes) -> None:
    outcome([data])


def test_payload_over_the_limit_is_denied_at_the_size() -> None:
    with pytest.raises(ProtocolError) as caught:
        Chunked(Bounds(64, 4096, 10)).feed(b"b\r\n", 0)
    assert caught.value.reason is Reason.REQUEST_BODY_TOO_LARGE


def test_a_fixed_body_takes_its_size_and_no_more() -> None:
    body = Fixed(3)
    assert body.feed(b"..ab", 2) == (b"ab", 4, False)
    assert body.feed(b"cd", 0) == (b"c", 1, True)


def test_other_bodies() -> None:
    assert NOTHING.feed(b"abc", 1) == (b"", 1, True)
    assert UntilClose().feed(b"abc", 1) == (b"bc", 3, False)
    with pytest.raises(ProtocolError):
        Broken().feed(b"\r\n", 0)


def test_a_request_announces_its_body() -> None:
    assert isinstance(announced(0, BOUNDS, chunked=False), Fixed)
    assert isinstance(announced(None, BOUNDS, chunked=True), Chunked)
    assert announced(None, BOUNDS, chunked=False) is NOTHING


def test_a_flood_of_tiny_chunks_is_taken_in_turns_and_nothing_of_it_is_lost() -> None:
    data = b"1\r\na\r\n" * 1000 + b"0\r\n\r\nnext"
    body = Chunked(Bounds(64, 4096, turn_lines=10))
    payload, start, turns, done = b"", 0, 0, False
    while not done:
        piece, start, done = body.feed(data, start)
        assert len(piece) <= 5
        payload += piece
        turns += 1
    assert (payload, data[start:]) == (b"a" * 1000, b"next")
    assert turns == 201  # 2,002 lines, ten a turn
