"""Any bytes are a reply of a known shape, within the limit, or a `PeerError`; nothing else."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.fault import Fault, PeerError
from sidecar.sync.resp import ELEMENTS_MAX, GREETING_BYTES, Parser, Reply

LIMIT = 100


def read(raw: bytes, limit: int | None = LIMIT) -> Reply:
    """The first reply in `raw`, which then ends."""

    async def run() -> Reply:
        stream = asyncio.StreamReader()
        stream.feed_data(raw)
        stream.feed_eof()
        parser = Parser(socket_read_size=4096)
        parser.on_connect(SimpleNamespace(_reader=stream, encoder=None))
        if limit is not None:
            parser.limit(limit)
        return await parser.read_response()

    return asyncio.run(run())


pieces = st.sampled_from(
    [b"$", b"*", b"+", b"-", b":", b"\r\n", b"\r", b"0", b"1", b"2", b"-1", b"99", b"ab", b"\xff"]
)


@given(st.one_of(st.binary(max_size=60), st.lists(pieces, max_size=20).map(b"".join)))
@example(b"*2\r\n$1\r\na\r\n:-5\r\n")
@example(b"*1\r\n*1\r\n")
def test_any_bytes_give_a_known_shape_or_a_peer_error(raw: bytes) -> None:
    try:
        reply = read(raw)
    except PeerError:
        return
    flat = reply if isinstance(reply, list) else [reply]
    assert all(item is None or isinstance(item, (bytes, str, int)) for item in flat)
    assert sum(len(item) for item in flat if isinstance(item, bytes)) <= LIMIT


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_values_come_back_as_they_were_sent(values: list[bytes]) -> None:
    bulks = b"".join(b"$%d\r\n%b\r\n" % (len(value), value) for value in values)
    assert read(b"*%d\r\n%b" % (len(values), bulks)) == values


def test_limit_counts_all_values_together() -> None:
    half = b"$50\r\n" + b"x" * 50 + b"\r\n"
    assert read(b"*2\r\n" + half + half) == [b"x" * 50, b"x" * 50]
    with pytest.raises(PeerError) as caught:
        read(b"*3\r\n" + half + half + b"$1\r\nx\r\n")
    assert caught.value.fault is Fault.OVERSIZE


def test_server_that_greets_with_a_flood_is_cut_off_before_any_limit_was_set() -> None:
    with pytest.raises(PeerError) as caught:
        read(b"$%d\r\n" % (GREETING_BYTES + 1), limit=None)
    assert caught.value.fault is Fault.OVERSIZE


def test_array_of_very_many_empty_values_is_refused() -> None:
    with pytest.raises(PeerError) as caught:
        read(b"*%d\r\n" % (ELEMENTS_MAX + 1))
    assert caught.value.fault is Fault.OVERSIZE


def test_statuses_count_against_the_limit_like_values() -> None:
    """An array of 4096 lines of 64 KiB would else be held in memory: 256 MB per read."""
    status = b"+" + b"x" * 60 + b"\r\n"
    assert read(status) == "x" * 60
    with pytest.raises(PeerError) as caught:
        read(b"*2\r\n" + status + status)
    assert caught.value.fault is Fault.OVERSIZE
