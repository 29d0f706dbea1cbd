"""`epochgate proof`, as it is called; and what becomes of a file that somebody changed."""

import json
from base64 import b64encode
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.cli.proof import proof
from sidecar.core.log.merkle import leaf_hash
from sidecar.core.log.note import NoteKey
from tests import builders
from tests.audit.journals import BOOT, KEY, make_journal

ID = f"{BOOT}-3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proof") / "audit"
    make_journal(folder, records=9, signed=7)
    return folder


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    path = folder.parent / "proof.json"
    assert call("get", folder, ID, "-O", path).exit_code == 0
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(proof, [str(argument) for argument in arguments])


def test_a_proof_says_where_it_went(folder: Path, tmp_path: Path) -> None:
    done = call("get", folder, ID, "-O", tmp_path / "proof.json")
    assert done.stdout == f"record 3 of 7, log epochgate/test/pod-1: {tmp_path / 'proof.json'}\n"


def test_an_index_gives_the_same_proof_as_the_id(folder: Path, file: Path) -> None:
    assert call("get", folder, "3").stdout == file.read_text()


def test_a_proof_verifies_with_the_key_alone(file: Path) -> None:
    done = call("verify", file, "--key", KEY)
    assert done.exit_code == 0
    assert done.stdout.startswith("verified: ")
    assert "checked      the record is number 3 of these" in done.stdout
    assert "not checked  what the decision rested on: no trust document" in done.stdout


def test_the_answer_for_programs(file: Path) -> None:
    said = json.loads(call("verify", file, "--key", KEY, "-o", "json").stdout)
    assert (said["result"], said["wrong"], said["index"]) == ("verified", None, 3)
    assert said["record"]["decision_id"] == ID
    assert said["log"] == {"origin": KEY.name, "size": 7}
    assert said["unchecked"]


def receipt_of(file: Path) -> str:
    line = json.loads(file.read_text())["record"].encode()
    return f"{KEY.name} 3 {b64encode(leaf_hash(line)).decode()}"


def test_a_receipt_is_held_against_the_record(file: Path) -> None:
    done = call("verify", file, "--key", KEY, "--receipt", receipt_of(file))
    assert done.exit_code == 0
    assert "checked      the receipt is of this very record" in done.stdout
    for wrong in (receipt_of(file).replace(" 3 ", " 4 "), "x", f"other{receipt_of(file)}"):
        assert call("verify", file, "--key", KEY, "--receipt", wrong).exit_code == 80


def test_what_a_decision_rested_on_is_checked_with_a_trust_document(
    file: Path, tmp_path: Path
) -> None:
    pinned = tmp_path / "trust.json"
    pinned.write_bytes(builders.trust_bytes())
    done = call("verify", file, "--key", KEY, "--trust", pinned)
    assert done.exit_code == 0
    assert "checked      trust document 1" in done.stdout
    assert "not checked  the epoch: the record names none" in done.stdout
    pinned.write_bytes(b"{}")
    assert call("verify", file, "--key", KEY, "--trust", pinned).exit_code == 65


@pytest.mark.parametrize("keys", [(), ("--key", NoteKey("epochgate/test/pod-2", KEY.public))])
def test_without_the_key_of_that_log_nothing_is_known(file: Path, keys: tuple[object, ...]) -> None:
    done = call("verify", file, *keys)
    assert done.exit_code == 81
    assert done.stdout.startswith("unverifiable: ")


def test_another_key_under_that_name_exits_80_or_81_and_never_0(file: Path) -> None:
    other = NoteKey(KEY.name, type(KEY.public)(bytes(32)))
    assert call("verify", file, "--key", other).exit_code in {80, 81}


def test_inspect_says_that_it_checks_nothing(file: Path) -> None:
    done = call("inspect", file)
    assert done.exit_code == 0
    assert ID in done.stdout
    assert "nothing of this was checked" in done.stdout


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.data())
def test_no_changed_bit_verifies(file: Path, tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 2))  # the newline at the end says nothing
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    changed = tmp_path / "changed.json"
    changed.write_bytes(raw)
    assert call("verify", changed, "--key", KEY).exit_code in {65, 80, 81}


@pytest.mark.parametrize(
    ("which", "code", "says"),
    [
        (f"{BOOT}-8", 69, "not proved yet: record 8: the newest checkpoint covers 7 records"),
        ("fedcba9876543210-3", 1, "no such decision"),
        ("soon", 2, "neither a decision id"),
        ("99999999999999999999", 2, "neither a decision id"),
    ],
)
def test_what_cannot_be_proved_is_one_error(folder: Path, which: str, code: int, says: str) -> None:
    done = call("get", folder, which)
    assert done.exit_code == code
    assert says in done.stderr


def test_an_index_in_several_journals_asks_for_one(folder: Path, tmp_path: Path) -> None:
    for name in ("worker-0", "worker-1"):
        make_journal(tmp_path / name, 3, 3)
    done = call("get", tmp_path, "1")
    assert done.exit_code == 2
    assert "several journals; name one of worker-0, worker-1" in done.stderr


def test_what_is_no_proof_is_said_to_be_none(folder: Path) -> None:
    done = call("verify", folder / "checkpoint", "--key", KEY)
    assert done.exit_code == 65
    assert done.stderr.startswith("error: not a proof: ")
