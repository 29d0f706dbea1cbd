"""The key of the fence, as a service finds it."""

from pathlib import Path

import pytest

from sidecar.roles.fencing import fence_key, sealing
from sidecar.roles.start import StartError


def test_each_start_makes_another_key_and_the_file_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "fence.key"
    first, second = fence_key(path), fence_key(path)
    assert first is not None
    assert second is not None
    assert first != second
    assert path.read_text() == second.hex() + "\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_no_file_is_no_fence() -> None:
    assert fence_key(None) is None
    assert sealing(None) is None


def test_a_key_that_cannot_be_written_is_an_error_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"spec\.fence\.keyFile"):
        fence_key(tmp_path / "missing" / "fence.key")
