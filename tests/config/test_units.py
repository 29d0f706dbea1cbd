"""Texts with units."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import units
from sidecar.config.sections import Address


@pytest.mark.parametrize(
    ("text", "value"),
    [("250ms", 250), ("4s", 4000), ("2m", 120_000), ("1h", 3_600_000), ("0", 0), ("0s", 0)],
)
def test_a_duration_is_milliseconds(text: str, value: int) -> None:
    assert units.duration(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("512B", 512), ("64KiB", 65536), ("1MiB", 1048576), ("0", 0)]
)
def test_a_size_is_bytes(text: str, value: int) -> None:
    assert units.size(text) == value


@pytest.mark.parametrize("text", ["2000ppm", "0"])
def test_a_rate_is_parts_per_million(text: str) -> None:
    assert units.ppm(text) == int(text.removesuffix("ppm"))


@pytest.mark.parametrize(
    "text",
    ["250", "4 s", "-4s", "1.5s", "4S", "1e3ms", "04s", "\u0664s", "s", "", "4s\n", "9" * 20 + "s"],
)
def test_other_texts_are_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        units.duration(text)


@pytest.mark.parametrize("text", ["64KB", "64kib", "1M", "5", "1.5MiB"])
def test_other_texts_are_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        units.size(text)


@pytest.mark.parametrize("text", ["2ms", "1:30", "yes", "+2", "0x2"])
def test_a_count_has_no_unit_and_no_other_notation(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        units.count(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:17001", "127.0.0.1", 17001), ("[::]:0", "::", 0), ("localhost:1", "localhost", 1)],
)
def test_an_address_reads_and_prints_itself(text: str, host: str, port: int) -> None:
    assert units.address(text) == Address(host, port)
    assert str(units.address(text)) == text


@pytest.mark.parametrize(
    "text",
    ["17001", ":17001", "::1:17001", "[::1]", "[::1:80", "h:65536", "h:x", "a b:1", "h:\u0661"],
)
def test_other_texts_are_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        units.address(text)


def test_a_peer_url_has_defaults() -> None:
    assert units.peer_url("redis://r1.example") == units.PeerUrl(
        "r1.example", 6379, 0, None, tls=False
    )
    assert units.peer_url("rediss://u%40x@[::1]:7/3") == units.PeerUrl("::1", 7, 3, "u@x", tls=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://r1:1", "redis://", "redis://r1:0", "redis://r1:99999", "redis://r1/x", "r1:6379",
        "redis://r1/0?ssl=no", "redis://r1/0#x", "redis://r1,r2/0", "redis://r1/0/", "unix:///x",
        "redis://[::1", "redis://r1/99999",
    ],
)  # fmt: skip
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be redis://"):
        units.peer_url(url)


@pytest.mark.parametrize("url", ["redis://u:hunter2@r1", "redis://:hunter2@r1", "redis://u:@r1"])
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="passwordFile") as refused:
        units.peer_url(url)
    assert "hunter2" not in str(refused.value)


READERS = [
    units.duration, units.size, units.ppm, units.count, units.address, units.peer_url,
]  # fmt: skip


@given(st.sampled_from(READERS), st.text())
def test_any_text_is_read_or_refused_with_a_reason(
    reader: Callable[[str], object], text: str
) -> None:
    refused = ""
    try:
        reader(text)
    except ValueError as error:
        refused = str(error)
    assert not refused or refused.startswith("must ")


@given(st.integers(0, 10**12))
def test_what_is_shown_reads_as_the_same_value(value: int) -> None:
    assert units.duration(units.show_duration(value)) == value
    assert units.size(units.show_size(value)) == value
