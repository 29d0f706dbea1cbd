"""The files of a witness: what was cosigned is there again, and nothing else is taken for it."""

import hashlib
from pathlib import Path

import pytest

from sidecar.authority import witnessed
from sidecar.authority.witnessed import Witnessed, WitnessedStore
from sidecar.core.log import note
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.reason import ProtocolError, Reason
from tests.audit.journals import KEY, SIGNER

HEAD = Checkpoint(KEY.name, 5, bytes(32))
NAME = hashlib.sha256(KEY.name.encode()).hexdigest()


def cosigned(head: Checkpoint = HEAD) -> Witnessed:
    text = head.text()
    return Witnessed(KEY, note.seal(text, KEY, SIGNER.sign(text.encode())).encode(), head)


def test_what_was_saved_is_there_for_the_next_process(tmp_path: Path) -> None:
    WitnessedStore(tmp_path / "witness").save(cosigned())
    again = WitnessedStore(tmp_path / "witness")
    assert again.known == {NAME}
    assert again.load(NAME) == cosigned()


def test_a_log_that_was_never_cosigned_has_no_file(tmp_path: Path) -> None:
    assert WitnessedStore(tmp_path).known == set()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b"x"), (b'"_type"', b'"type"'), (b":v1", b":v2"), (b"pod-1", b"pod-2"),
        (b"\\n5\\n", b"\\n6\\n"), (SIGNER.public.hex().encode(), b"00" * 32),
    ],
)  # fmt: skip
def test_a_damaged_file_is_not_taken(tmp_path: Path, old: bytes, new: bytes) -> None:
    store = WitnessedStore(tmp_path)
    store.save(cosigned())
    raw = store.path(NAME).read_bytes()
    changed = raw.replace(old, new, 1)
    assert changed != raw
    store.path(NAME).write_bytes(changed)
    with pytest.raises(ProtocolError) as caught:
        store.load(NAME)
    assert caught.value.reason is Reason.STATE_CORRUPT


def test_the_file_of_one_log_is_not_that_of_another(tmp_path: Path) -> None:
    store = WitnessedStore(tmp_path)
    store.save(cosigned())
    other = witnessed.digest("epochgate/test/other")
    store.path(NAME).rename(store.path(other))
    with pytest.raises(ProtocolError) as caught:
        WitnessedStore(tmp_path).load(other)
    assert caught.value.reason is Reason.STATE_CORRUPT


def test_there_is_an_end_to_how_many_logs_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witnessed, "LOGS_MAX", 1)
    store = WitnessedStore(tmp_path)
    assert not store.full
    store.save(cosigned())
    assert store.full
