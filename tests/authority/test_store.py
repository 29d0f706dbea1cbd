"""The state file: absent is a first boot, damaged never is, and one process at a time."""

import stat
from pathlib import Path

import pytest

from sidecar.authority.store import StateError, StateStore
from sidecar.core.issued import Issued
from sidecar.core.objects.trust import Role
from tests import builders

KEY = builders.signer(Role.BEAT).key_id


def body() -> bytes:
    return Issued(builders.make_trust(), KEY, None).body()


def test_first_boot_has_no_state_and_what_is_saved_comes_back(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "new" / "folder")
    assert store.load("test", KEY) is None
    store.save(body())
    state = store.load("test", KEY)
    assert state is not None
    assert state.issuer == KEY
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    store.close()


@pytest.mark.parametrize("raw", [b"", b"{}", b"\x00" * 100, body()[:-1], body() + b"\n"])
def test_damaged_file_says_what_to_do(tmp_path: Path, raw: bytes) -> None:
    store = StateStore(tmp_path)
    store.path.write_bytes(raw)
    with pytest.raises(StateError, match=r"damaged.*new beat key"):
        store.load("test", KEY)
    store.close()


def test_file_that_cannot_be_read_is_not_absent(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.path.mkdir()
    with pytest.raises(StateError, match="cannot be read"):
        store.load("test", KEY)
    store.close()


def test_folder_in_use_is_refused_until_it_is_free(tmp_path: Path) -> None:
    first = StateStore(tmp_path)
    with pytest.raises(StateError, match="another authority"):
        StateStore(tmp_path)
    first.close()
    StateStore(tmp_path).close()


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be used"):
        StateStore(tmp_path / "file")


def test_failed_write_leaves_the_old_state(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.save(body())
    store.path.with_suffix(".new").mkdir()
    with pytest.raises(OSError, match="directory"):
        store.save(b"other")
    assert store.load("test", KEY) is not None
    store.close()
