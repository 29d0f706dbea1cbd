"""Checkpoint and key files."""

import hashlib
from pathlib import Path

import pytest

from sidecar.audit import checkpoints
from sidecar.core.log import note
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.note import MAX_BYTES
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner
from tests.audit.journals import KEY, ORIGIN, SIGNER

MADE = Checkpoint(ORIGIN, 3, bytes(32))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert checkpoints.read(tmp_path, KEY) is None
    checkpoints.write(tmp_path, checkpoints.seal(MADE, SIGNER))
    assert checkpoints.read(tmp_path, KEY) == MADE


def test_a_new_checkpoint_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    newer = Checkpoint(ORIGIN, 4, bytes(32))
    for made in (MADE, newer):
        checkpoints.write(tmp_path, checkpoints.seal(made, SIGNER))
    assert checkpoints.read(tmp_path, KEY) == newer
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_checkpoint_half_written_before_a_crash_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, checkpoints.seal(MADE, SIGNER))
    (tmp_path / "checkpoint.new").write_bytes(b"half")
    assert checkpoints.read(tmp_path, KEY) == MADE
    checkpoints.write(tmp_path, checkpoints.seal(MADE, SIGNER))


def test_a_checkpoint_of_another_key_is_refused(tmp_path: Path) -> None:
    other = FileSigner(hashlib.sha256(b"other").digest())
    checkpoints.write(tmp_path, checkpoints.seal(MADE, other))
    with pytest.raises(ProtocolError) as caught:
        checkpoints.read(tmp_path, KEY)
    assert caught.value.reason is Reason.KEY_UNKNOWN


def test_a_checkpoint_of_another_log_signed_by_this_key_is_refused(tmp_path: Path) -> None:
    """A key that signs for two logs must not make one stand for the other."""
    other = Checkpoint("epochgate/test/other", 3, bytes(32))
    crossed = note.seal(other.text(), KEY, SIGNER.sign(other.text().encode()))
    checkpoints.write(tmp_path, crossed)
    with pytest.raises(ProtocolError, match="other") as caught:
        checkpoints.read(tmp_path, KEY)
    assert caught.value.reason is Reason.AUDIT_CHAIN_BREAK


@pytest.mark.parametrize("raw", [b"", b"x", b"\xff", b"a" * (MAX_BYTES + 1)])
def test_a_file_that_is_no_checkpoint_is_refused_and_not_taken_for_absent(
    tmp_path: Path, raw: bytes
) -> None:
    (tmp_path / "checkpoint").write_bytes(raw)
    with pytest.raises(ProtocolError):
        checkpoints.read(tmp_path, KEY)


def test_the_key_is_left_beside_the_log(tmp_path: Path) -> None:
    assert checkpoints.read_vkey(tmp_path) is None
    checkpoints.write_vkey(tmp_path, KEY)
    assert (tmp_path / "log.vkey").read_text() == f"{KEY}\n"
    assert checkpoints.read_vkey(tmp_path) == KEY


@pytest.mark.parametrize("raw", [b"", b"\xff", b"name+1+2"])
def test_a_file_that_is_no_key_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        checkpoints.parse_vkey(raw)
    assert caught.value.reason is Reason.NONCANONICAL
