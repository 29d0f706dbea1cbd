"""The digest of a configuration: the same for the same settings, however they are written."""

import hashlib
import json
from pathlib import Path

from sidecar.config.fingerprint import digest
from sidecar.config.read import read_sidecar
from tests.config.builders import SIDECAR, write


def of(folder: Path, text: str = SIDECAR, **variables: str) -> str:
    named = {f"EPOCHGATE_{key}": value for key, value in variables.items()}
    return digest(read_sidecar(write(folder, text), named).origins)


def test_it_is_the_digest_of_what_config_show_prints(tmp_path: Path) -> None:
    origins = read_sidecar(write(tmp_path, SIDECAR), {}).origins
    shown = {item.path: item.value for item in origins}
    assert "spec.sync.peers[0].url" in shown
    text = json.dumps(shown, sort_keys=True, separators=(",", ":"))
    assert of(tmp_path) == hashlib.sha256(text.encode()).hexdigest()


def test_how_it_is_written_does_not_matter(tmp_path: Path) -> None:
    before = of(tmp_path)
    assert of(tmp_path, f"# comment\n{SIDECAR}  workers: 1\n") == before, "the default, written out"
    assert of(tmp_path, SIDECAR.replace("ttl: 4s", "ttl: 4000ms")) == before
    assert of(tmp_path, SIDECAR.replace("ttl: 4s", "ttl: 9s"), SYNC__TTL="4s") == before
    assert of(tmp_path, SIDECAR.replace("name: test", "name: other")) == before


def test_each_setting_matters_and_so_does_a_variable(tmp_path: Path) -> None:
    found = {
        of(tmp_path),
        of(tmp_path, SIDECAR.replace("ttl: 4s", "ttl: 5s")),
        of(tmp_path, SYNC__POLL="100ms"),
        of(tmp_path, SIDECAR.replace("6380", "6390")),
        of(tmp_path, f"{SIDECAR}  integrity: {{files: [{{name: m, path: /m}}]}}\n"),
    }
    assert len(found) == 5


def test_passwords_and_the_image_are_left_out(tmp_path: Path) -> None:
    text = SIDECAR.replace('6380"}', '6380", passwordFile: password}')
    (tmp_path / "password").write_text("one")
    before = of(tmp_path, text)
    (tmp_path / "password").write_text("two")
    assert of(tmp_path, text) == before != of(tmp_path)
    assert of(tmp_path, text, INTEGRITY__IMAGE_DIGEST="sha256:1") == before
