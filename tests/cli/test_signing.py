"""`epochgate trust sign` and `publish`: a document is in force when every sidecar would take it."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sidecar import clock
from sidecar.cli import epochgate, main
from sidecar.cli.text import BAD_DATA, UNAVAILABLE, USAGE
from sidecar.core import layout
from sidecar.core.objects.trust import Role
from tests.builders import signer
from tests.cli.fleet import Fleet, make_fleet
from tests.valkey import ValkeyServer

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(epochgate, ["trust", *(str(part) for part in arguments)])


def draft(folder: Path, *arguments: object, name: str = "draft.json") -> Path:
    """A draft of other root keys: 7, 8, 9, of which two must sign."""
    keys = [part for n in (7, 8, 9) for part in ("--new-key", signer(Role.ROOT, n).public.hex())]
    for number in (7, 8, 9):
        path = folder / f"root-{number}.key"
        if not path.exists():
            signer(Role.ROOT, number).save(path)
    out = folder / name
    edit = arguments or ("rotate", "--role", "root", *keys)
    result = run(*edit, "--trust", folder / "trust.json", "--out", out)
    assert result.exit_code == 0, result.output
    return out


def sign(folder: Path, out: Path, *numbers: int) -> Any:
    keys = [part for number in numbers for part in ("--key", folder / f"root-{number}.key")]
    result = run("sign", out, "--previous", folder / "trust.json", *keys, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_fleet(tmp_path, [])
    return tmp_path


def missing(said: Any) -> list[int]:
    return [side["missing"] for side in said["thresholds"]]


def test_signatures_are_added_one_machine_at_a_time(folder: Path) -> None:
    out = draft(folder)
    seen = [missing(sign(folder, out, number)) for number in (1, 7, 3, 8)]
    assert seen == [[1, 2], [1, 1], [0, 1], [0, 0]]
    assert sign(folder, out, 9)["complete"]


def test_signer_is_told_what_changes_who_signed_and_who_may_still(folder: Path) -> None:
    out = draft(folder)
    previous = folder / "trust.json"
    result = run("sign", out, "--previous", previous, "--key", folder / "root-1.key")
    assert "root key joins" in result.output
    lines = [line.split() for line in result.output.splitlines() if line.startswith("version ")]
    assert [line[2:5] for line in lines] == [["2", "1", "1"], ["2", "0", "2"]]
    assert signer(Role.ROOT, 1).key_id[:12] in result.output
    assert "next: pass" in result.output
    seed = json.loads((folder / "root-1.key").read_text())["seed"]
    assert seed not in result.output


def test_drafts_signed_apart_are_merged(folder: Path) -> None:
    one = draft(folder)
    two = folder / "copy.json"
    two.write_bytes(one.read_bytes())
    sign(folder, one, 1, 7)
    sign(folder, two, 2, 8)
    previous = folder / "trust.json"
    result = run("sign", one, "--previous", previous, "--merge", two)
    assert result.exit_code == 0, result.output
    assert "complete. next: epochgate trust publish" in result.output


def test_draft_that_says_something_else_is_not_merged(folder: Path) -> None:
    one = draft(folder)
    other = draft(folder, "set", "--expires", "30d", name="other.json")
    sign(folder, other, 1)
    before = one.read_bytes()
    result = run("sign", one, "--previous", folder / "trust.json", "--merge", other)
    assert (result.exit_code, one.read_bytes()) == (BAD_DATA, before)
    assert "another draft" in result.output


def test_key_without_the_role_does_not_sign(folder: Path) -> None:
    out = draft(folder)
    before = out.read_bytes()
    result = run("sign", out, "--previous", folder / "trust.json", "--key", folder / "epoch-1.key")
    assert (result.exit_code, out.read_bytes()) == (BAD_DATA, before)
    assert "no usable root key of version 1 or 2" in result.output


def test_nothing_to_add_is_a_usage_error(folder: Path) -> None:
    out = draft(folder)
    assert run("sign", out, "--previous", folder / "trust.json").exit_code == USAGE


PROGRAM = """
import sys
from pathlib import Path
from sidecar import signer
key = signer.load(Path(sys.argv[1]))
if sys.argv[2:] == ["--public"]:
    print(key.public.hex())
else:
    print(key.sign(sys.stdin.buffer.read()).hex())
"""


def test_program_of_the_holder_signs_in_the_place_of_a_file(folder: Path) -> None:
    program = folder / "device.py"
    program.write_text(PROGRAM)
    command = shlex.join([sys.executable, str(program), str(folder / "root-1.key")])
    out = draft(folder)
    previous = folder / "trust.json"
    result = run("sign", out, "--previous", previous, "--key", f"exec:{command}", "-o", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["thresholds"][0]["signed"] == [signer(Role.ROOT, 1).key_id]


def test_program_that_fails_signs_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = draft(folder)
    before = out.read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(["trust", "sign", str(out), "--previous", str(folder / "trust.json"), "--key",
              "exec:false"])  # fmt: skip
    assert (ended.value.code, out.read_bytes()) == (BAD_DATA, before)
    assert "exec:false: ended with status 1" in capsys.readouterr().err


# --- publish


@pytest.fixture
def fleet(valkeys: Three, tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, valkeys)


def held(fleet: Fleet, version: int) -> list[bytes | None]:
    name = layout.trust_key("test", version)
    return [server.do("GET", name) for server in fleet.servers]  # type: ignore[misc]


def publish(fleet: Fleet, *files: Path) -> Result:
    return run("publish", *files, *fleet.peers())


def complete(fleet: Fleet) -> Path:
    out = draft(fleet.folder)
    sign(fleet.folder, out, 1, 2, 7, 8)
    return out


@pytest.mark.redis
def test_complete_document_is_put_on_every_peer(fleet: Fleet) -> None:
    out = complete(fleet)
    said = json.loads(run("publish", out, *fleet.peers(), "-o", "json").stdout)
    assert (said["version"], said["acks"], said["needed"]) == (2, 3, 2)
    assert held(fleet, 2) == [out.read_bytes()] * 3
    for raw in held(fleet, 2):
        assert raw is not None
        assert fleet.trust.rotate(raw, clock.now().wall).sha256 == said["sha256"]
    assert publish(fleet, out).exit_code == 0, "again is harmless"


@pytest.mark.redis
def test_draft_that_lacks_signatures_is_not_published(fleet: Fleet) -> None:
    out = draft(fleet.folder)
    sign(fleet.folder, out, 1, 2, 7)
    result = publish(fleet, out)
    assert result.exit_code == BAD_DATA
    assert "needs 1 more of version 2's root keys" in result.output
    assert held(fleet, 2) == [None] * 3


@pytest.mark.redis
def test_chain_is_published_in_its_order_and_in_no_other(fleet: Fleet) -> None:
    second = complete(fleet)
    third = fleet.folder / "third.json"
    assert run("set", "--trust", second, "--out", third).exit_code == 0
    keys = [part for n in (7, 8) for part in ("--key", fleet.folder / f"root-{n}.key")]
    assert run("sign", third, "--previous", second, *keys).exit_code == 0
    for wrong in ([third], [third, second]):
        assert publish(fleet, *wrong).exit_code == BAD_DATA
    assert held(fleet, 3) == [None] * 3
    assert publish(fleet, second, third).exit_code == 0
    assert (held(fleet, 2), held(fleet, 3)) == ([second.read_bytes()] * 3, [third.read_bytes()] * 3)


@pytest.mark.redis
def test_second_document_of_one_version_is_not_published(fleet: Fleet) -> None:
    """Two ceremonies that did not know of each other: the fleet would split."""
    first = complete(fleet)
    other = draft(fleet.folder, "set", "--expires", "30d", name="other.json")
    sign(fleet.folder, other, 1, 2)
    fleet.servers[1].do("SET", layout.trust_key("test", 2), first.read_bytes())
    result = publish(fleet, other)
    assert result.exit_code == BAD_DATA
    assert "holds another signed version 2" in result.output
    assert held(fleet, 2)[0] is None


@pytest.mark.redis
def test_junk_under_its_name_is_replaced(fleet: Fleet) -> None:
    out = complete(fleet)
    unsigned = draft(fleet.folder, "set", "--expires", "30d", name="other.json").read_bytes()
    for server, junk in zip(fleet.servers, (b"junk", unsigned, fleet.trust.raw), strict=True):
        server.do("SET", layout.trust_key("test", 2), junk)
    assert publish(fleet, out).exit_code == 0
    assert held(fleet, 2) == [out.read_bytes()] * 3


@pytest.mark.redis
def test_expired_document_is_not_published(fleet: Fleet) -> None:
    out = draft(fleet.folder, "set", "--expires", "1ms")
    sign(fleet.folder, out, 1, 2)
    result = publish(fleet, out)
    assert result.exit_code == BAD_DATA
    assert "no sidecar would run under it" in result.output


@pytest.mark.redis
def test_too_few_acknowledgements_are_an_error_with_a_table(fleet: Fleet) -> None:
    out = complete(fleet)
    for server in fleet.servers[:2]:
        server.stop()
    result = publish(fleet, out)
    assert result.exit_code == UNAVAILABLE
    assert "1 of 2 needed peers took it" in result.output
    assert "was not looked at" in result.stderr
    assert fleet.servers[2].do("GET", layout.trust_key("test", 2)) == out.read_bytes()


@pytest.mark.parametrize("command", ["sign", "publish"])
def test_help_ends_with_an_example(command: str) -> None:
    assert f"epochgate trust {command}" in run(command, "--help").output.split("Example:")[1]
