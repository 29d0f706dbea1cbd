"""Texts with units."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import units
from sidecar.config.sections import Address, UnixAddress


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


def test_a_listener_is_an_address_or_a_unix_socket() -> None:
    folder = Path("/etc/epochgate")
    assert units.listening("[::]:17001", folder) == Address("::", 17001)
    assert units.listening("unix:/run/eg/in.sock", folder) == UnixAddress(Path("/run/eg/in.sock"))
    assert str(units.listening("unix:in.sock", folder)) == "unix:/etc/epochgate/in.sock"


@pytest.mark.parametrize("text", ["unix:", "unix:/run/", "unix:.", "/run/in.sock", "17001", "x:y"])
def test_other_texts_are_no_listener(text: str) -> None:
    with pytest.raises(ValueError, match=r"unix:"):
        units.listening(text, Path("/etc"))


def test_a_path_that_no_socket_can_have_is_refused_with_the_limit() -> None:
    longest = "unix:/" + "x" * 102
    assert str(units.listening(longest, Path("/"))) == longest
    with pytest.raises(ValueError, match="103 bytes"):
        units.listening(longest + "x", Path("/"))


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_a_flag_is_true_or_false(text: str, *, value: bool) -> None:
    assert units.flag(text) is value


@pytest.mark.parametrize("text", ["yes", "True", "1", "on", "", "false "])
def test_other_texts_are_no_flag(text: str) -> None:
    with pytest.raises(ValueError, match="must be true or false"):
        units.flag(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("8000", (8000, 8000)), ("8000-8010", (8000, 8010)), ("60000", (60000, 60000)),
     ("1-32767", (1, 32767))],
)  # fmt: skip
def test_a_port_range_is_its_first_and_its_last(text: str, value: tuple[int, int]) -> None:
    assert units.port_range(text) == value


@pytest.mark.parametrize(
    "text", ["0", "65536", "-1", "80-", "-80", "90-80", "0-5", "8000,8001", "http", "", "1-32768"]
)
def test_other_texts_are_no_port_range(text: str) -> None:
    """A range into the ports of outgoing connections would refuse the answers to those."""
    with pytest.raises(ValueError, match="must"):
        units.port_range(text)


def test_ports_are_shown_as_they_are_written() -> None:
    assert units.show_ports(((8000, 8000), (9000, 9010))) == "[8000, 9000-9010]"
    assert units.show_ports(()) == "[]"
