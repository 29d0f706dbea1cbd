"""The key of parent decisions, as a configuration names it."""

from pathlib import Path

import pytest

from sidecar.config.read import read_sidecar
from sidecar.core.parent import Claim, Tokens
from sidecar.roles.descent import parent_keys, tokens
from sidecar.roles.start import StartError
from tests.config import builders

KEY, OTHER = bytes(range(32)), bytes(32)
HEX = KEY.hex()
ID = "0123456789abcdef-1"


def test_the_file_holds_the_key_in_hex(tmp_path: Path) -> None:
    path = tmp_path / "parent.key"
    path.write_text(KEY.hex() + "\n")
    assert parent_keys(path) == (KEY,)
    path.write_text(f"{KEY.hex()}\n{OTHER.hex()}\n")
    assert parent_keys(path) == (KEY, OTHER)


def test_no_file_is_no_key_and_no_tokens(tmp_path: Path) -> None:
    assert parent_keys(None) == ()
    config = read_sidecar(builders.write(tmp_path, builders.SIDECAR), {}).config
    assert config.parent_key_file is None
    assert tokens((), config) is None


def test_the_path_is_relative_to_the_configuration(tmp_path: Path) -> None:
    text = builders.SIDECAR + "  parent: {keyFile: parent.key}\n"
    config = read_sidecar(builders.write(tmp_path, text), {}).config
    assert config.parent_key_file == tmp_path / "parent.key"


@pytest.mark.parametrize(
    "text", [None, "", "00" * 31, "zz" * 32, f"{HEX}\n\n", f"{HEX}\n{HEX}\n{HEX}\n"]
)
def test_what_is_no_key_is_an_error_with_its_setting(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "parent.key"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StartError, match=r"parent\.key: .*spec\.parent\.keyFile"):
        parent_keys(path)


def test_two_clocks_may_differ_by_twice_the_skew(tmp_path: Path) -> None:
    config = read_sidecar(builders.write(tmp_path, builders.SIDECAR), {}).config
    made = tokens([KEY], config)
    assert isinstance(made, Tokens)
    ahead_ms = 2 * config.sync.skew_ms
    headers = [(b"parent-decision", made.make(ID, "permit", 10**12))]
    assert made.claim(headers, 10**12 - ahead_ms) == Claim("permit", ID, 0)
    assert made.claim(headers, 10**12 - ahead_ms - 1).kind == "false"
