"""`epochgate trust`: keys that nobody else can read, and a document that verifies."""

import hashlib
import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar import clock, signer
from sidecar.cli import epochgate
from sidecar.cli.text import UNVERIFIABLE, USAGE, VERIFICATION_FAILED
from sidecar.core.objects import trust
from sidecar.core.objects.trust import Role


def run(*arguments: object) -> Result:
    return CliRunner().invoke(epochgate, [str(part) for part in arguments])


def test_init_makes_private_keys_and_a_document_that_verifies(tmp_path: Path) -> None:
    out = tmp_path / "t"
    result = run("trust", "init", "--domain", "prod", "--out", out, "--beat-not-after", "24h")
    assert result.exit_code == 0, result.output
    made = trust.parse((out / "trust.json").read_bytes(), clock.now().wall)
    files = sorted((out / "keys").iterdir())
    assert len(files) == 15
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        role, number = file.stem.split("-")
        assert int(number) >= 1
        assert signer.load(file).key_id in made.keys[Role(role)]
        assert json.loads(file.read_text())["seed"] not in result.output
    beat = next(iter(made.keys[Role.BEAT]))
    assert made.body.keys[beat].not_after == made.body.issued_at + 86_400_000
    assert made.body.expires == made.body.issued_at + 365 * 86_400_000


def test_every_seed_is_drawn_anew(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run("trust", "init", "--domain", "prod", "--out", tmp_path / name).exit_code == 0
    seeds = {json.loads(file.read_text())["seed"] for file in tmp_path.glob("*/keys/*.key")}
    assert len(seeds) == 30


def test_options_reach_the_document(tmp_path: Path) -> None:
    result = run(
        "trust", "init", "--domain", "prod", "--out", tmp_path / "t", "--epoch-keys", 5,
        "--epoch-threshold", 3, "--peers", 5, "--read-quorum", 4, "--write-quorum", 4, "--ttl-max",
        "2s", "--skew-max", "250ms", "--drift", "100ppm", "--expires", "30d", "-o", "json",
    )  # fmt: skip
    assert json.loads(result.stdout)["keys"]["epoch"] == 5
    body = trust.parse((tmp_path / "t" / "trust.json").read_bytes(), clock.now().wall).body
    assert (body.roles.epoch.threshold, len(body.roles.epoch.keyids)) == (3, 5)
    assert (body.quorum.n, body.quorum.r, body.quorum.w) == (5, 4, 4)
    limits = body.limits
    assert (limits.ttl_max_ms, limits.skew_max_ms, limits.drift_ppm) == (2000, 250, 100)


def test_existing_keys_are_never_replaced(tmp_path: Path) -> None:
    out = tmp_path / "t"
    run("trust", "init", "--domain", "prod", "--out", out)
    before = {file.name: file.read_bytes() for file in (out / "keys").iterdir()}
    (out / "trust.json").unlink()
    result = run("trust", "init", "--domain", "prod", "--out", out)
    assert result.exit_code == USAGE
    assert "exists; keys are never replaced" in result.output
    assert {file.name: file.read_bytes() for file in (out / "keys").iterdir()} == before


@pytest.mark.parametrize(
    "options",
    [
        ["--read-quorum", 1, "--write-quorum", 1],
        ["--epoch-threshold", 4],
        ["--ttl-max", "4"],
        ["--expires", "soon"],
        ["--drift", "2"],
        ["--domain", "With Space"],
    ],
)
def test_plan_that_makes_no_sense_writes_nothing(tmp_path: Path, options: list[object]) -> None:
    result = run("trust", "init", "--domain", "prod", "--out", tmp_path / "t", *options)
    assert result.exit_code not in (0, 1)
    assert not (tmp_path / "t").exists()


def test_show_says_roles_thresholds_and_ends(tmp_path: Path) -> None:
    run("trust", "init", "--domain", "prod", "--out", tmp_path, "--beat-not-after", "24h")
    result = run("trust", "show", tmp_path / "trust.json")
    assert result.exit_code == 0
    assert "domain:  prod" in result.output
    assert "2 of 3 peers to run, 2 to commit a write" in result.output
    roles = {line.split()[0]: line.split()[1:3] for line in result.output.splitlines() if line}
    assert (roles["epoch"], roles["beat"]) == (["2", "3"], ["1", "2"])
    said = json.loads(run("trust", "show", tmp_path / "trust.json", "-o", "json").stdout)
    assert (said["domain"], said["version"]) == ("prod", 1)


def test_edited_document_is_refused(tmp_path: Path) -> None:
    run("trust", "init", "--domain", "prod", "--out", tmp_path)
    file = tmp_path / "trust.json"
    said = json.loads(file.read_bytes())
    said["signatures"] = said["signatures"][:1]
    file.write_bytes(json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
    result = run("trust", "show", file)
    assert result.exit_code == VERIFICATION_FAILED
    assert "EG602" in result.output


def test_key_is_made_where_it_stays_and_only_its_public_half_is_told(tmp_path: Path) -> None:
    result = run("trust", "new-key", tmp_path / "root-4.key")
    assert result.exit_code == 0, result.output
    key = signer.load(tmp_path / "root-4.key")
    assert f"key id:  {key.key_id}" in result.output
    assert f"public:  {key.public.hex()}" in result.output
    assert json.loads((tmp_path / "root-4.key").read_text())["seed"] not in result.output
    assert run("trust", "new-key", tmp_path / "root-4.key").exit_code == USAGE
    assert signer.load(tmp_path / "root-4.key").key_id == key.key_id


def drafted(tmp_path: Path) -> list[object]:
    """A draft with one signature of two, and how to show it."""
    run("trust", "init", "--domain", "prod", "--out", tmp_path)
    previous, draft = tmp_path / "trust.json", tmp_path / "draft.json"
    run("trust", "set-threshold", "--role", "epoch", 3, "--trust", previous, "--out", draft)
    run("trust", "sign", draft, "--previous", previous, "--key", tmp_path / "keys" / "root-1.key")
    return ["trust", "show", draft, "--previous", previous]


def test_draft_is_shown_with_its_changes_and_is_not_verified_while_signatures_are_missing(
    tmp_path: Path,
) -> None:
    show = drafted(tmp_path)
    result = run(*show)
    assert result.exit_code == UNVERIFIABLE
    for line in ("version: 2", "epoch threshold", "signatures are missing, nothing is in force"):
        assert line in result.output
    said = json.loads(run(*show, "-o", "json").stdout)
    assert (said["complete"], [side["missing"] for side in said["thresholds"]]) == (False, [1, 1])
    alone = run("trust", "show", tmp_path / "draft.json")
    assert alone.exit_code == VERIFICATION_FAILED
    assert "--previous" in alone.output


def test_complete_draft_is_a_verified_document_that_names_its_signers(tmp_path: Path) -> None:
    show = drafted(tmp_path)
    key = tmp_path / "keys" / "root-2.key"
    run("trust", "sign", tmp_path / "draft.json", "--previous", tmp_path / "trust.json",
        "--key", key)  # fmt: skip
    assert run(*show).exit_code == 0
    said = json.loads(run("trust", "show", tmp_path / "draft.json", "-o", "json").stdout)
    assert signer.load(key).key_id in said["signers"]
    assert len(said["signers"]) == 2


def test_document_that_does_not_follow_the_previous_one_is_refused(tmp_path: Path) -> None:
    show = drafted(tmp_path)
    run("trust", "init", "--domain", "prod", "--out", tmp_path / "other")
    show[-1] = tmp_path / "other" / "trust.json"
    result = run(*show)
    assert result.exit_code == VERIFICATION_FAILED
    assert "give the one before it" in result.output


def test_export_gives_the_signed_bytes_and_the_public_keys(tmp_path: Path) -> None:
    run("trust", "init", "--domain", "prod", "--out", tmp_path)
    file = tmp_path / "trust.json"
    made = trust.parse(file.read_bytes(), clock.now().wall)
    body = run("trust", "export", file).stdout_bytes
    assert hashlib.sha256(body).hexdigest() == made.sha256
    lines = run("trust", "export", file, "--format", "hex").stdout.splitlines()
    keys = {
        (role.value, key, public.hex()) for role in Role for key, public in made.keys[role].items()
    }
    assert {tuple(line.split()) for line in lines} == keys
    pem = run("trust", "export", file, "--format", "pem").stdout
    assert pem.count("-----BEGIN PUBLIC KEY-----") == len(keys)
    assert all(f"# {role} {key}" in pem for role, key, _ in keys)


@pytest.mark.parametrize("command", ["init", "show", "new-key", "export"])
def test_help_ends_with_an_example(command: str) -> None:
    assert "Example:\n    epochgate trust" in run("trust", command, "--help").output
