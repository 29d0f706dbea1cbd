"""One text as the value it stands for."""

from pathlib import Path

import pytest

from sidecar.config import units, value
from sidecar.config.table import Field, Unit


def test_a_relative_path_is_relative_to_the_folder() -> None:
    field = Field("trust.file", Unit.FILE, "")
    assert value.read(field, "trust.json", Path("/etc/x")) == Path("/etc/x/trust.json")
    assert value.read(field, "/a/trust.json", Path("/etc/x")) == Path("/a/trust.json")


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (Unit.NAME, "Chat"), (Unit.NAME, ""), (Unit.NAME, "a" * 64), (Unit.NAME, "a b"),
        (Unit.LEVEL, "loud"), (Unit.LEVEL, "INFO"), (Unit.FILE, "a\x00b"), (Unit.TEXT, "a\nb"),
        (Unit.COUNT, "11"), (Unit.COUNT, "0"), (Unit.COUNT, "auto"),
        (Unit.WORKERS, "11"), (Unit.WORKERS, "0"), (Unit.WORKERS, "Auto"),
    ],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused(unit: Unit, text: str) -> None:
    with pytest.raises(ValueError, match="must be "):
        value.read(Field("x", unit, "", 1, 10), text, Path())


def test_auto_is_a_number_of_workers_and_is_shown_as_it_is_written() -> None:
    field = Field("workers", Unit.WORKERS, "", 1, 10)
    assert (value.read(field, "auto", Path()), value.read(field, "4", Path())) == (0, 4)
    assert (field.show(0), field.show(4)) == ("auto", "4")


URL = units.peer_url("rediss://r1:1")


def test_a_password_comes_from_its_file_without_the_newline(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    peer = value.peer({"id": "r1", "url": URL, "passwordFile": file, "username": "u"})
    assert (peer.password, peer.username, peer.tls) == ("hunter2", "u", True)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff", b"x" * 5000])
def test_another_content_is_refused_and_not_repeated(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="passwordFile") as refused:
        value.peer({"id": "r1", "url": URL, "passwordFile": file})
    assert "two" not in str(refused.value)


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        value.peer({"id": "r1", "url": URL, "passwordFile": tmp_path / "none"})


def test_contradictions_of_a_peer_are_refused() -> None:
    with pytest.raises(ValueError, match="differs"):
        value.peer({"id": "r1", "url": units.peer_url("redis://a@r1"), "username": "b"})
    with pytest.raises(ValueError, match="rediss"):
        value.peer({"id": "r1", "url": units.peer_url("redis://r1"), "caFile": Path("ca.pem")})
