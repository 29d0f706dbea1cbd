"""The files that `demo --stay` leaves to try things on. What they are for: tests/policies."""

from pathlib import Path

from sidecar.cli.demo.stay import Stay, _what_to_try
from sidecar.config import read


def test_every_sidecar_has_its_own_place_and_what_is_printed_names_what_is_there(
    tmp_path: Path,
) -> None:
    made = Stay(tmp_path, 3)
    made.write()
    files = [tmp_path / f"sidecar{suffix}.yaml" for suffix in ("", "-2", "-3")]
    held = [read.read_sidecar(file, {}).config for file in files]
    assert len({str(one.proxy.inbound) for one in held}) == 3
    assert len({str(one.status) for one in held}) == 3
    assert len({one.state_dir for one in held}) == 3
    assert {one.service for one in held} == {"demo-model"}
    assert all(one.state_dir.is_dir() for one in held)
    assert len({process.log for process in made.processes}) == 3 + 2 + 3

    said = _what_to_try(made)
    assert f"cd {tmp_path}" in said
    for name in ("demo.env", "policy.yaml", "cases.yaml", "authority.yaml"):
        assert name in said
        assert (tmp_path / name).is_file()
    assert (tmp_path / "demo.env").read_text().splitlines()[0] == f"GATE={made.fleet.url}"
    for number in (1, 2):
        key = f"trust/keys/epoch-{number}.key"
        assert f"--key {key}" in said
        assert (tmp_path / key).is_file()
