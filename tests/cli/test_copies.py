"""Where a published log is read from: what is absent, what is too much, and who is told what."""

from pathlib import Path

import pytest

from sidecar.cli import copies
from sidecar.cli.text import CliError
from sidecar.core.log import note
from sidecar.core.reason import ProtocolError, Reason


def test_a_file_of_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(b"c")
    assert copies.folder(tmp_path)("checkpoint") == b"c"


def test_without_a_checkpoint_there_is_no_log_and_without_a_tile_one_was_promised(
    tmp_path: Path,
) -> None:
    with pytest.raises(CliError, match="holds no checkpoint"):
        copies.folder(tmp_path)("checkpoint")
    with pytest.raises(ProtocolError, match="tile/0/000 is missing"):
        copies.folder(tmp_path)("tile/0/000")


def test_more_than_a_file_can_hold_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(b"c" * (note.MAX_BYTES + 1))
    with pytest.raises(ProtocolError) as caught:
        copies.folder(tmp_path)("checkpoint")
    assert caught.value.reason is Reason.OVERSIZE


def test_an_address_that_is_none_is_said_at_once() -> None:
    with pytest.raises(CliError, match="must begin with http"):
        copies.url("authority:17013")


def test_nobody_there_is_said_with_what_to_look_at() -> None:
    with pytest.raises(CliError, match=r"is --url its listen\.public"):
        copies.url("http://127.0.0.1:1")("checkpoint")
