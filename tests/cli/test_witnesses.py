"""Cosigned proofs and the policy file, as the commands are called."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.audit import checkpoints
from sidecar.cli.audit import audit
from sidecar.cli.proof import proof
from sidecar.core.log import cosignature, note
from sidecar.core.log.cosignature import Cosignature, WitnessKey
from sidecar.core.objects.trust import Role
from tests import builders
from tests.audit.journals import KEY, make_journal, write_checkpoint

ONE, TWO = (
    WitnessKey(f"w/{number}", builders.signer(Role.WITNESS, number).public) for number in (1, 2)
)
TIME_S = 1_800_000_000


def cosign(folder: Path, *numbers: int) -> None:
    """The checkpoint that stands there, cosigned."""
    raw = checkpoints.held(folder)
    assert raw is not None
    text = note.unverified(raw)
    for number in numbers:
        key = builders.signer(Role.WITNESS, number)
        signature = key.sign(cosignature.message(text, TIME_S))
        made = Cosignature(WitnessKey(f"w/{number}", key.public), TIME_S, signature)
        raw += made.line.encode()
    checkpoints.write_cosigned(folder, raw)


def trust(folder: Path, keys: int, threshold: int, ends: int | None = None) -> Path:
    path = folder / "trust.json"
    roles = {**builders.ROLES, Role.WITNESS: (keys, threshold)}
    ended = {} if ends is None else {Role.WITNESS: ends}
    path.write_bytes(builders.trust_bytes(roles=roles, not_after=ended, issued_at=1))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine records, of which five are under a cosigned checkpoint, and seven under the newest."""
    path = tmp_path / "audit"
    lines = make_journal(path, records=9, signed=5)
    cosign(path, 1)
    write_checkpoint(path, lines[:7])
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(proof, [str(argument) for argument in arguments])


def get(folder: Path, index: int) -> Path:
    path = folder.parent / "proof.json"
    assert call("get", folder, index, "-O", path).exit_code == 0
    return path


@pytest.mark.parametrize(("index", "size"), [(4, 5), (5, 7)])
def test_a_proof_is_under_the_cosigned_checkpoint_where_that_covers_the_record(
    folder: Path, index: int, size: int
) -> None:
    assert f"  {size} records" not in call("inspect", get(folder, index)).stdout
    assert f"log     {KEY.name}, {size} records" in call("inspect", get(folder, index)).stdout


def test_enough_witnesses_are_said_with_their_names_and_times(folder: Path) -> None:
    path = trust(folder.parent, keys=2, threshold=1)
    done = call("verify", get(folder, 4), "--key", KEY, "--trust", path)
    assert done.exit_code == 0
    assert "cosigned by w/1 at 2027-01-15T08:00:00.000Z; needed: 1 of 2" in done.stdout
    assert "no witness was named" not in done.stdout


@pytest.mark.parametrize(
    ("index", "threshold", "ends"), [(4, 2, None), (5, 1, None), (4, 1, TIME_S * 1000)]
)
def test_fewer_than_needed_fail(folder: Path, index: int, threshold: int, ends: int | None) -> None:
    path = trust(folder.parent, 2, threshold, ends)
    done = call("verify", get(folder, index), "--key", KEY, "--trust", path)
    assert done.exit_code == 80
    assert "witnesses" in done.stdout


def test_a_witness_can_be_named_by_its_key(folder: Path) -> None:
    good = call("verify", get(folder, 4), "--key", KEY, "--witness", ONE)
    assert good.exit_code == 0
    both = call("verify", get(folder, 4), "--key", KEY, "--witness", ONE, "--witness", TWO)
    assert both.exit_code == 80


def test_where_nobody_is_named_it_is_said_that_nothing_was_checked(folder: Path) -> None:
    path = trust(folder.parent, keys=0, threshold=1)
    for more in ((), ("--trust", path)):
        done = call("verify", get(folder, 4), "--key", KEY, *more)
        assert done.exit_code == 0
        assert "no witness was named" in done.stdout


def test_a_spoilt_cosignature_fails(folder: Path) -> None:
    file = get(folder, 4)
    made = checkpoints.held_cosigned(folder)
    assert made is not None
    line = made.decode().splitlines()[-1]
    file.write_text(file.read_text().replace(line[-12:], "AAAA" + line[-8:], 1))
    assert call("verify", file, "--key", KEY, "--witness", ONE).exit_code == 80


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--witness", "w+1+2"), 65, "expected name+id+base64"),
        (("--witness", KEY), 65, "--witness"),
    ],
)
def test_what_names_nobody_is_one_error(
    folder: Path, more: tuple[object, ...], code: int, says: str
) -> None:
    done = call("verify", get(folder, 4), "--key", KEY, *more)
    assert (done.exit_code, says in done.output) == (code, True)


def policy(*arguments: object) -> Result:
    return CliRunner().invoke(audit, ["tlog-policy", *(str(one) for one in arguments)])


def test_the_policy_names_log_and_witnesses_as_they_sign(folder: Path) -> None:
    done = policy(folder, "--trust", trust(folder.parent, keys=2, threshold=2))
    assert done.exit_code == 0
    second = builders.signer(Role.WITNESS, 2)
    name = cosignature.witness_name("test", second.key_id)
    keys = {str(ONE), str(WitnessKey(name, second.public))}
    lines = done.stdout.splitlines()
    assert lines[0] == f"log {KEY}"
    assert {line.split()[2] for line in lines[1:3]} == keys
    assert lines[3:] == ["group witnesses 2 w1 w2", "quorum witnesses"]


def test_without_witnesses_the_policy_needs_none(folder: Path) -> None:
    done = policy(folder, "--trust", trust(folder.parent, keys=0, threshold=1), "--key", KEY)
    assert done.stdout == f"log {KEY}\nquorum none\n"


def test_a_cosigned_checkpoint_that_is_damaged_is_one_error(folder: Path) -> None:
    (folder / checkpoints.COSIGNED).write_bytes(b"damaged")
    done = policy(folder, "--trust", trust(folder.parent, keys=1, threshold=1))
    assert done.exit_code == 65
    assert "cosigned: not a signed note" in done.output
