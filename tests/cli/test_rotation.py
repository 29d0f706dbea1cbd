"""`epochgate trust rotate|revoke|add-key|set-threshold|set`: drafts, without any root key."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar import clock, signer
from sidecar.authority import rotation
from sidecar.cli import epochgate, main
from sidecar.cli.text import BAD_DATA, USAGE
from sidecar.core.objects.trust import Body, Role, RoleKeys
from tests import builders
from tests.builders import DAY_MS
from tests.cli.fleet import make_fleet

EDITS = ["rotate", "revoke", "add-key", "set-threshold", "set"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_fleet(tmp_path, [])
    return tmp_path


def run(folder: Path, *arguments: object) -> Result:
    """An edit of the draft in `folder`."""
    more = ["--trust", folder / "trust.json", "--out", folder / "draft.json"]
    return CliRunner().invoke(epochgate, ["trust", *(str(part) for part in [*arguments, *more])])


def done(folder: Path, *arguments: object) -> Body:
    """The same, and what the draft then says."""
    result = run(folder, *arguments)
    assert result.exit_code == 0, result.output
    draft = rotation.read((folder / "draft.json").read_bytes())
    assert not draft.signatures
    return draft.body


def ids(body: Body, role: Role) -> set[str]:
    held: RoleKeys = getattr(body.roles, role.value)
    return set(held.keyids)


def old(role: Role, *numbers: int) -> set[str]:
    return {builders.signer(role, number).key_id for number in numbers}


def test_role_gets_new_keys_whose_secrets_stay_in_their_files(folder: Path) -> None:
    before = clock.now().wall
    options = ["--role", "beat", "--generate", 2, "--out-keys", folder / "new"]
    result = run(folder, "rotate", *options, "--not-after", "30d")
    assert result.exit_code == 0, result.output
    body = rotation.read((folder / "draft.json").read_bytes()).body
    files = sorted((folder / "new").iterdir())
    assert [file.name for file in files] == ["beat-v2-1.key", "beat-v2-2.key"]
    for file in files:
        key = signer.load(file)  # refuses a file that others may read
        assert key.key_id in ids(body, Role.BEAT)
        end = body.keys[key.key_id].not_after or 0
        assert before + 30 * DAY_MS <= end <= clock.now().wall + 30 * DAY_MS
        assert json.loads(file.read_text())["seed"] not in result.output
    assert not ids(body, Role.BEAT) & old(Role.BEAT, 1, 2)
    assert not body.keys.keys() & old(Role.BEAT, 1, 2)


def test_only_the_named_key_leaves(folder: Path) -> None:
    (gone,) = old(Role.ROOT, 2)
    public = builders.signer(Role.ROOT, 9).public.hex()
    body = done(folder, "rotate", "--role", "root", "--retire", gone[:12], "--new-key", public)
    assert ids(body, Role.ROOT) == old(Role.ROOT, 1, 3, 9)
    assert body.revoked == ()


def test_threshold_changes_with_the_keys(folder: Path) -> None:
    keys = [
        part
        for n in (7, 8, 9)
        for part in ("--new-key", builders.signer(Role.EPOCH, n).public.hex())
    ]
    body = done(folder, "rotate", "--role", "epoch", *keys, "--threshold", 3)
    assert (ids(body, Role.EPOCH), body.roles.epoch.threshold) == (old(Role.EPOCH, 7, 8, 9), 3)


def test_revoked_key_leaves_and_is_named(folder: Path) -> None:
    (gone,) = old(Role.EPOCH, 1)
    body = done(folder, "revoke", gone[:8], "--reason", "laptop stolen")
    assert ids(body, Role.EPOCH) == old(Role.EPOCH, 2, 3)
    assert [(item.keyid, item.reason) for item in body.revoked] == [(gone, "laptop stolen")]


def test_key_joins_beside_the_others(folder: Path) -> None:
    builders.signer(Role.HALT, 9).save(folder / "halt-9.key")
    body = done(folder, "add-key", "--role", "halt", "--new-key", folder / "halt-9.key")
    assert ids(body, Role.HALT) == old(Role.HALT, 1, 2, 9)


def test_threshold_is_set(folder: Path) -> None:
    assert done(folder, "set-threshold", "--role", "resume", 3).roles.resume.threshold == 3


def test_quorum_limits_and_ends_are_set_and_what_is_not_named_stays(folder: Path) -> None:
    before = rotation.read((folder / "trust.json").read_bytes()).body
    body = done(
        folder, "set", "--peers", 5, "--read-quorum", 3, "--write-quorum", 3, "--ttl-max", "2s",
        "--drift", "100ppm", "--expires", "30d", "--beat-not-after", "24h",
    )  # fmt: skip
    assert (body.quorum.n, body.quorum.r, body.quorum.w) == (5, 3, 3)
    assert (body.limits.ttl_max_ms, body.limits.drift_ppm) == (2000, 100)
    assert body.limits.skew_max_ms == before.limits.skew_max_ms
    now = clock.now().wall
    assert now + 29 * DAY_MS < body.expires <= now + 30 * DAY_MS
    for key in ids(body, Role.BEAT):
        assert now < (body.keys[key].not_after or 0) <= now + DAY_MS
    assert (body.roles, body.revoked) == (before.roles, ())


def test_without_options_a_document_is_renewed(folder: Path) -> None:
    before = rotation.read((folder / "trust.json").read_bytes()).body
    body = done(folder, "set")
    assert body.expires - body.issued_at == before.expires - before.issued_at
    assert body.issued_at >= before.issued_at


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["rotate", "--role", "beat"], USAGE, "no new keys"),
        (["rotate", "--role", "beat", "--generate", 1], USAGE, "--out-keys"),
        (["rotate", "--role", "beat", "--new-key", "00" * 32], BAD_DATA, "no point of Ed25519"),
        (["rotate", "--role", "beat", "--new-key", "nowhere.key"], BAD_DATA, "nowhere.key"),
        (["rotate", "--role", "king", "--new-key", "x"], USAGE, "king"),
        (["revoke", "abcd", "--reason", "x"], BAD_DATA, "at least 8 letters"),
        (["revoke", "0" * 12, "--reason", "x"], BAD_DATA, "no key of version 2"),
        (["set-threshold", "--role", "epoch", 4], BAD_DATA, "threshold out of reach"),
        (["set", "--read-quorum", 1], BAD_DATA, "r + w > n"),
        (["set", "--drift", "2"], USAGE, "--drift 2"),
        (["set", "--ttl-max", "1ms"], BAD_DATA, "ttl_max_ms"),
        (["revoke", builders.signer(Role.ROOT).key_id, "--reason", "x" * 513], BAD_DATA, "512"),
    ],
)
def test_edit_that_makes_no_sense_writes_nothing(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[object],
    code: int,
    message: str,
) -> None:
    more = ["--trust", folder / "trust.json", "--out", folder / "draft.json"]
    with pytest.raises(SystemExit) as ended:
        main(["trust", *(str(part) for part in [*arguments, *more])])
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (code, 1), error
    assert message in error
    assert not (folder / "draft.json").exists()


def test_keys_are_written_only_for_a_draft_that_stands(folder: Path) -> None:
    options = ["--role", "beat", "--generate", 1, "--out-keys", folder / "new", "--threshold", 2]
    assert run(folder, "rotate", *options).exit_code == BAD_DATA
    assert not (folder / "new").exists()
    (folder / "new").mkdir()
    (folder / "new" / "beat-v2-1.key").write_text("mine")
    assert run(folder, "rotate", *options[:-2]).exit_code == USAGE
    assert (folder / "new" / "beat-v2-1.key").read_text() == "mine"
    assert not (folder / "draft.json").exists()


@pytest.mark.parametrize("command", EDITS)
def test_help_ends_with_an_example(command: str) -> None:
    result = CliRunner().invoke(epochgate, ["trust", command, "--help"])
    assert f"Example:\n    epochgate trust {command}" in result.output
